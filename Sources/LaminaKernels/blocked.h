// What the drivers of blocked convolutions (blocked_*.c) and the kernels of each instruction set
// (blocked_kernels.h) share.
#ifndef BLOCKED_H
#define BLOCKED_H
#include "lamina_kernels.h"
#include "sizes.h"

enum {
  LK_MAX_TILE_PIXELS = 14,
  /// Channels of a block that are summed up in one step: the last block's are rounded up to these.
  LK_STEP_CHANNELS = 4,
  LK_MAX_BLOCK = 16,
  LK_AHEAD = 2048,
  /// What the second-level caches keep of maps.
  LK_CACHED_BYTES = 2 << 20,
  LK_WINOGRAD_FORMS = 10,
  /// Taps along an axis of a convolution that has a gradient here.
  LK_MAX_PHASE_TAPS = 16,
};

/// A tile of some pixels in a row times one or two blocks of output channels.
typedef struct lk_pixel_tile {
  /// The first pixel, and where each tap lies from there.
  const float *input;
  const ptrdiff_t *taps;
  size_t tap_count;
  /// Blocks of input channels, their distance, and how many channels of the last one count.
  size_t blocks, block_stride, last_channels;
  /// Distance of neighbouring pixels in the input, where it is neither 1 nor 2 blocks.
  size_t pixel_stride;
  const float *weights, *bias;
  /// How far ahead weights are fetched, in floats: a tile that reads them from afar does not wait.
  size_t ahead;
  /// From here to the input of the next tile, which is fetched meanwhile; 0 where caches hold it.
  ptrdiff_t input_ahead;
  /// NULL, or with the distance of the blocks of output channels.
  const float *residual;
  size_t residual_block;
  float *output;
  size_t output_block;
  lk_activation activation;
} lk_pixel_tile;

typedef void (*lk_pixel_tile_kernel)(const lk_pixel_tile *tile);

/// Where the results of a Winograd tile go.
typedef struct lk_winograd_target {
  const float *residual;
  size_t residual_row;
  float *to;
  size_t row;
  /// Rows and columns of the tile inside the map.
  size_t height, width;
  const float *bias;
  lk_activation activation;
} lk_winograd_target;

/// Winograd's transforms of tiles of `rows` × `columns` inputs under windows of `height` × `width`
/// taps, to (rows − height + 1) × (columns − width + 1) outputs. Element p of what is transformed
/// goes to to[p · position_stride].
typedef struct lk_winograd_kernels {
  size_t rows, columns, height, width;
  /// Bᵀ d B of a block of channels.
  void (*input)(const float *from, size_t row, float *to, size_t position_stride);
  /// Aᵀ m A, then bias, residual and activation.
  void (*output)(const float *products, size_t position_stride, const lk_winograd_target *target);
  /// G g Gᵀ of windows [tap][block].
  void (*weight)(const float *windows, float *to, size_t position_stride);
  /// A y Aᵀ of a block of an output's gradient.
  void (*output_gradient)(const float *from, size_t row, float *to, size_t position_stride);
  /// Gᵀ u G, to windows [tap][block].
  void (*weight_gradient)(const float *sums, size_t position_stride, float *windows);
} lk_winograd_kernels;

/// One output row of a depthwise convolution: `width` pixels of one block.
typedef struct lk_depthwise_row {
  const float *input;
  const ptrdiff_t *taps;
  size_t tap_count, pixel_stride, width;
  const float *weights, *bias, *residual;
  float *output;
  lk_activation activation;
} lk_depthwise_row;

/// Input channels, or taps that lie side by side, of a tile of a weight's gradient.
enum { LK_MAX_WEIGHT_CHANNELS = 8 };

/// Products of `count` inputs that lie side by side with one or two blocks of output gradients,
/// summed over the pixels of some rows of some images and added to to[j · to_stride].
typedef struct lk_weight_tile {
  const float *input, *gradient;
  size_t input_pixel, input_row, input_image;
  size_t gradient_row, gradient_image, gradient_block;
  size_t images, rows, width;
  float *to;
  size_t to_stride;
  /// From here to what is read next, for the processor to fetch.
  ptrdiff_t input_ahead, gradient_ahead;
} lk_weight_tile;

typedef void (*lk_weight_tile_kernel)(const lk_weight_tile *tile);

/// Products of a block of input and output gradient, pixel by pixel, for three taps.
typedef struct lk_depthwise_weights {
  const float *input, *gradient;
  const ptrdiff_t *taps;
  size_t input_pixel, input_row, gradient_row, rows, width;
} lk_depthwise_weights;

/// Vectors of a window of weights that a gradient by a plain input keeps in registers.
enum { LK_MAX_WINDOW = 12 };

/// One pixel of an output's gradient times the windows of its channels, added to the pixels that
/// the window lies on: to[places[k] + …] += Σ over channels of gradient[channel] ·
/// weights[channel][k].
typedef struct lk_window_sum {
  const float *gradient;
  /// Blocks of channels and their distance; the missing channels of the last are zeros.
  size_t blocks, block_stride;
  const float *weights;
  const size_t *places;
  float *to;
} lk_window_sum;

typedef struct lk_blocked_kernels {
  size_t lanes;
  /// Pixels of a tile, and of one whose stride is neither 1 nor 2.
  size_t pixels, strided_pixels;
  /// By stride (1, 2, any other), blocks − 1 and pixels − 1.
  lk_pixel_tile_kernel tile[3][2][LK_MAX_TILE_PIXELS];
  /// From plain rows, by stride (1, 2, 4), blocks − 1 and pixels − 1.
  lk_pixel_tile_kernel plain_tile[3][2][LK_MAX_TILE_PIXELS];
  lk_winograd_kernels winograd[LK_WINOGRAD_FORMS];
  void (*depthwise_row)(const lk_depthwise_row *row);
  /// y = activation(factors · x + residual) for `count` pixels of a block; `residual` may be NULL.
  void (*scale)(const float *x, const float *factors, const float *residual,
                lk_activation activation, float *y, size_t count);
  /// Sums of `rows` rows of `width` pixels.
  void (*sum)(const float *x, size_t row, size_t rows, size_t width, float *sums);
  /// By blocks − 1 and inputs − 1; there are weight_channels of them.
  lk_weight_tile_kernel weight_tile[2][LK_MAX_WEIGHT_CHANNELS];
  size_t weight_channels;
  /// Sums of three blocks.
  void (*depthwise_weights)(const lk_depthwise_weights *w, float *sums);
  /// to[p · stride] = from[p] for `count` pixels of a block, or added; NULL stands for zeros.
  void (*put_pixels)(const float *from, float *to, size_t stride, size_t count, bool adds);
  /// By vectors of a window − 1. Gradients that are zero, as behind a maximum, cost nothing.
  void (*add_window[LK_MAX_WINDOW])(const lk_window_sum *sum);
} lk_blocked_kernels;

extern const lk_blocked_kernels lk_blocked_kernels_scalar, lk_blocked_kernels_neon,
    lk_blocked_kernels_avx2, lk_blocked_kernels_avx512;

const lk_blocked_kernels *lk_blocked_kernels_for(lk_isa isa);

/// to = from, or to += from.
static inline void lk_put(const float *from, size_t count, bool adds, float *to) {
  for (size_t i = 0; i < count; i++) to[i] = adds ? to[i] + from[i] : from[i];
}

/// The first of part `index` when `count` things are dealt out evenly to `parts`.
static inline size_t lk_share(size_t count, size_t parts, size_t index) {
  return count * index / parts;
}

/// Steps of one tap: channels, with those of the last block rounded up.
static inline size_t lk_tap_steps(size_t channels) {
  return lk_ceil_div(channels, LK_STEP_CHANNELS) * LK_STEP_CHANNELS;
}

/// Cycles that a core needs for a panel of two blocks over `pixels` pixels in tiles of at most
/// `most`, with `steps` steps each.
double lk_panel_cycles(size_t pixels, size_t most, size_t steps);
/// Cycles in which all cores together read `bytes` of weights for the first time.
double lk_weight_cycles(double bytes);
/// Cycles of computing and reading side by side, which do not overlap in full.
static inline double lk_overlapped(double compute, double read) {
  return compute > read ? compute + read / 4 : read + compute / 4;
}

double lk_direct_cost(const lk_blocked_conv *conv);
/// The cost of the best blocking with transform `form`, which it sets; infinite when that does not
/// fit the convolution.
double lk_winograd_cost(lk_blocked_conv *conv, size_t form);
/// `winograd 4×4`, the tile of outputs.
const char *lk_winograd_name(const lk_blocked_conv *conv);

size_t lk_winograd_packed_floats(const lk_blocked_conv *conv);
void lk_winograd_pack(lk_pool *pool, const lk_blocked_conv *conv, const float *weight,
                      float *packed);
void lk_winograd_repack(lk_pool *pool, const lk_blocked_conv *conv, const float *weight,
                        bool is_adjoint, float *packed);
size_t lk_winograd_weight_gradient_scratch_bytes(const lk_blocked_conv *conv);
void lk_winograd_weight_gradient(lk_pool *pool, const lk_blocked_conv *conv, const float *input,
                                 const float *output_gradient, bool adds, float *weight_gradient,
                                 void *scratch);
size_t lk_winograd_scratch_bytes(const lk_blocked_conv *conv);
void lk_winograd_run(lk_pool *pool, const lk_blocked_conv *conv, const float *input,
                     const float *weights, const float *bias, const float *residual, float *output,
                     void *scratch);

/// The gradient by a plain input: see lk_input_gradient_run.
bool lk_make_plain_input_gradient(const lk_blocked_conv *forward);
size_t lk_plain_input_gradient_packed_bytes(const lk_input_gradient *gradient);
void lk_plain_input_gradient_pack(const lk_input_gradient *gradient, const float *weight,
                                  float *packed);
size_t lk_plain_input_gradient_scratch_bytes(const lk_input_gradient *gradient);
void lk_plain_input_gradient_run(lk_pool *pool, const lk_input_gradient *gradient,
                                 const float *output_gradient, const float *packed, bool adds,
                                 float *input_gradient, float *scratch);

/// The window of an output and an input channel of a group. The weight of the adjoint is that of
/// the convolution whose input's gradient `conv` computes: inputs and outputs change places, and
/// the taps their order.
static inline const float *lk_window(const lk_conv2d *conv, const float *weight, bool is_adjoint,
                                     size_t group, size_t output, size_t input) {
  const size_t outputs = conv->out_channels / conv->groups;
  const size_t inputs = conv->in_channels / conv->groups;
  const size_t number = is_adjoint ? (group * inputs + input) * outputs + output
                                   : (group * outputs + output) * inputs + input;
  return weight + number * conv->kernel_height * conv->kernel_width;
}

/// Where the pixel at row `y` and column `x` of an image lies in a block of a map.
static inline size_t lk_place(const lk_map *map, size_t lanes, size_t image, size_t y, size_t x) {
  return image * map->image + (y + map->halo) * map->row + (x + map->halo) * lanes;
}

/// Whether a tap of some output pixel lies outside the map.
bool lk_reads_padding(const lk_conv2d *conv);
/// Floats of the bias, which stands before the packed weight.
size_t lk_bias_floats(const lk_blocked_conv *conv);
/// Where each tap lies from the first, and how many bytes that takes. `line` is the distance of
/// rows gathered from a plain input.
void lk_make_taps(const lk_blocked_conv *conv, size_t lanes, size_t line, ptrdiff_t *taps);
size_t lk_taps_bytes(const lk_blocked_conv *conv);

/// Zeros around pixels first ..< end of row `y` in one block of one image, and above the first and
/// below the last row.
void lk_clear_halo(const lk_blocked_conv *conv, size_t lanes, float *image, size_t y, size_t first,
                   size_t end);
#endif
