#ifndef LK_CONV_H
#define LK_CONV_H
#include <stdbool.h>
#include <stddef.h>

/// A two-dimensional convolution of `input` [batch, in_channels, in_height, in_width] with
/// `weight` [out_channels, in_channels / groups, kernel_height, kernel_width] to
/// `output` [batch, out_channels, out_height, out_width]:
///
/// output[n, o, y, x] = activation(bias[o] + residual[n, o, y, x] + Σ weight[o, i, u, v] ·
///   input[n, i', y·stride_height − pad_top + u·dilation_height, x·stride_width − pad_left +
///   v·dilation_width])
///
/// with 0 outside the picture; padding at the bottom and the right follows from the output's
/// extents. All extents, strides, dilations and `groups` are at least 1; `groups` divides both
/// channel counts.
typedef struct lk_conv2d {
  size_t batch, in_channels, in_height, in_width, out_channels, out_height, out_width;
  size_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
  size_t pad_top, pad_left, groups;
  lk_activation activation;
  /// Whether blocked maps may be convolved by Winograd's larger transforms, whose rounding errors
  /// are a few times those of direct summation. Without, a weight's gradient is summed directly,
  /// and is exactly 0 where every product is.
  bool allow_winograd;
} lk_conv2d;

/// What runs: `gemm` or `depthwise`.
const char *lk_f32_conv2d_algorithm(const lk_conv2d *conv);

/// Bytes of the packed weight.
size_t lk_f32_conv2d_packed_bytes(const lk_conv2d *conv);

/// Packs the weight for the instruction set that is active now. `packed` starts on a 64-byte
/// boundary.
void lk_f32_conv2d_pack(const lk_conv2d *conv, const float *weight, void *packed);

/// Bytes of scratch for lk_f32_conv2d on a pool of `threads` threads.
size_t lk_f32_conv2d_scratch_bytes(const lk_conv2d *conv, int threads);

/// Convolves. `bias` [out_channels] and `residual`, with the shape of the output, may be NULL;
/// `residual` may be the output itself. `scratch` starts on a 64-byte boundary. Results do not
/// depend on the number of threads.
void lk_f32_conv2d(lk_pool *pool, const lk_conv2d *conv, const float *input, const void *packed,
                   const float *bias, const float *residual, float *output, void *scratch);
#endif
