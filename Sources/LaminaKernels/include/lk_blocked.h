#ifndef LK_BLOCKED_H
#define LK_BLOCKED_H
#include <stdbool.h>
#include <stddef.h>

#include "lk_conv.h"

/// Where the pixels of a feature map lie. In blocks of channels it is [⌈C/channels⌉, batch, height
/// + 2·halo, width + 2·halo, channels], with zeros in the halo and in the missing channels of the
/// last block; a plain one, [batch, C, height, width], has blocks of one channel.
typedef struct lk_map {
  /// Channels in a block, and pixels around a map.
  size_t channels, halo;
  /// Distances, in floats, between blocks, images and rows.
  size_t block, image, row;
} lk_map;

/// Channels in a block of the maps that lk_blocked_conv takes: the lanes of a vector.
size_t lk_block_channels(lk_isa isa);

/// How a convolution of blocked maps runs.
typedef enum lk_conv_algorithm {
  LK_CONV_DIRECT,     ///< sums of products of channels and taps; a grouped one per group
  LK_CONV_FROM_PLAIN, ///< direct, from a plain input [batch, channels, height, width]
  LK_CONV_DEPTHWISE,  ///< a filter for each channel
  LK_CONV_WINOGRAD,   ///< by transforms of tiles
} lk_conv_algorithm;

/// A convolution (see lk_conv2d) from a map to a map, made by lk_make_blocked_conv.
typedef struct lk_blocked_conv {
  lk_conv2d conv;
  lk_map in, out, residual;
  lk_isa isa;
  int threads;
  lk_conv_algorithm algorithm;
  /// Tiles and blocks, chosen for speed; results do not depend on them.
  size_t panel_splits, pixel_splits, winograd_form, winograd_tiles;
} lk_blocked_conv;

/// Chooses the algorithm and its blocking for the instruction set that is active now. `conv`, `in`,
/// `out` and `residual` are filled in; `is_plain` says that the input is plain. False when no
/// algorithm takes it: a group does not fill whole blocks, or the input's halo is narrower than
/// the padding.
bool lk_make_blocked_conv(lk_blocked_conv *conv, bool is_plain, int threads);

/// `direct`, `direct from NCHW`, `depthwise`, or `winograd 4×4` with the outputs of a tile.
const char *lk_blocked_conv_algorithm(const lk_blocked_conv *conv);

/// Bytes of the packed weight.
size_t lk_blocked_conv_packed_bytes(const lk_blocked_conv *conv);

/// Packs weight [out_channels, in_channels / groups, kernel_height, kernel_width] and bias
/// [out_channels] (or NULL). `packed` starts on a 64-byte boundary.
void lk_blocked_conv_pack(lk_pool *pool, const lk_blocked_conv *conv, const float *weight,
                          const float *bias, void *packed);

/// The same with 32-bit arithmetic, for a weight that changes at every step.
///
/// `is_adjoint`: the weight [in_channels, out_channels / groups, kernel_height, kernel_width] is
/// that of the convolution with stride 1 whose input's gradient `conv` computes from its output's.
void lk_blocked_conv_repack(lk_pool *pool, const lk_blocked_conv *conv, const float *weight,
                            const float *bias, bool is_adjoint, void *packed);

/// Bytes of scratch for lk_blocked_conv_run on a pool of `conv->threads` threads.
size_t lk_blocked_conv_scratch_bytes(const lk_blocked_conv *conv);

/// Convolves, and fills the output's halo with zeros. `residual` may be NULL, or the output itself
/// when their maps are equal. Results do not depend on the number of threads.
void lk_blocked_conv_run(lk_pool *pool, const lk_blocked_conv *conv, const float *input,
                         const void *packed, const float *residual, float *output, void *scratch);

/// The gradient of a convolution by its input: from a map of the output's gradient to one of the
/// input's.
typedef struct lk_input_gradient {
  /// The forward convolution, from `in` to `out`.
  lk_blocked_conv forward;
  /// With stride 1, the convolution with the adjoint weight.
  lk_blocked_conv adjoint;
  bool is_strided;
} lk_input_gradient;

/// For a convolution made by lk_make_blocked_conv; false when the halo of its output is narrower
/// than lk_input_gradient_halo or a window does not fit.
bool lk_make_input_gradient(lk_input_gradient *gradient, const lk_blocked_conv *forward);
/// The halo that an output's gradient needs.
size_t lk_input_gradient_halo(const lk_conv2d *conv);
size_t lk_input_gradient_packed_bytes(const lk_input_gradient *gradient);
void lk_input_gradient_pack(lk_pool *pool, const lk_input_gradient *gradient, const float *weight,
                            void *packed);
size_t lk_input_gradient_scratch_bytes(const lk_input_gradient *gradient);
/// Writes the input's gradient with a halo of zeros, or adds to it. Results do not depend on the
/// number of threads.
void lk_input_gradient_run(lk_pool *pool, const lk_input_gradient *gradient,
                           const float *output_gradient, const void *packed, bool adds,
                           float *input_gradient, void *scratch);

/// The gradient of a convolution made by lk_make_blocked_conv by its weight, written or added to
/// weight_gradient [out_channels, in_channels / groups, kernel_height, kernel_width]. The input's
/// halo is as wide as the padding, whatever the algorithm. Results do not depend on the number of
/// threads.
size_t lk_weight_gradient_scratch_bytes(const lk_blocked_conv *conv);
void lk_weight_gradient_run(lk_pool *pool, const lk_blocked_conv *conv, const float *input,
                            const float *output_gradient, bool adds, float *weight_gradient,
                            void *scratch);

/// bias_gradient[o] = Σ output_gradient[n, o, ·, ·], or added to it.
void lk_bias_gradient_run(lk_pool *pool, const lk_blocked_conv *conv, const float *output_gradient,
                          bool adds, float *bias_gradient);

/// A depthwise convolution and the 1×1 convolution of its result, piece by piece of the map, so
/// that what lies between stays in the cache.
typedef struct lk_separable_conv {
  lk_blocked_conv depthwise, pointwise;
  size_t pieces;
} lk_separable_conv;

/// Takes two convolutions made by lk_make_blocked_conv, of which the second reads what the first
/// writes; false when they are not such a pair.
bool lk_make_separable_conv(lk_separable_conv *conv, const lk_blocked_conv *first,
                            const lk_blocked_conv *second);
size_t lk_separable_conv_scratch_bytes(const lk_separable_conv *conv);
/// Both convolutions with their packed weights; the residual is the second's.
void lk_separable_conv_run(lk_pool *pool, const lk_separable_conv *conv, const float *input,
                           const void *packed_depthwise, const void *packed_pointwise,
                           const float *residual, float *output, void *scratch);

/// Copies a map of `channels` channels to another place. Halo and missing channels become zeros.
void lk_f32_copy_map(lk_pool *pool, size_t batch, size_t channels, size_t height, size_t width,
                     const lk_map *from_map, const float *from, const lk_map *to_map, float *to);

/// y[n, c, ·, ·] = activation(factors[n, c] · x[n, c, ·, ·] + residual[n, c, ·, ·]) for maps in
/// blocks of lk_block_channels, all in one layout; factors is plain. `residual` may be NULL, and y
/// be x or the residual. The activation keeps zero.
void lk_f32_scale_map(lk_pool *pool, size_t batch, size_t channels, const lk_map *map,
                      const float *x, const float *factors, const float *residual,
                      lk_activation activation, float *y);

/// y[n, c] = the mean of x[n, c, ·, ·] for a map in blocks of lk_block_channels.
void lk_f32_map_means(lk_pool *pool, size_t batch, size_t channels, size_t height, size_t width,
                      const lk_map *map, const float *x, float *y);
#endif
