// What the driver (depthwise.c) and the kernels of each instruction set (depthwise_kernels.h)
// share.
//
// A channel is copied, a strip of rows at a time, into a picture with its padding around it and its
// columns sorted by x mod stride: every tap then reads side by side what side-by-side outputs need,
// and no edge is special.
#ifndef DEPTHWISE_H
#define DEPTHWISE_H
#include "lamina_kernels.h"

/// Rows of one channel of the output.
typedef struct lk_depthwise_rows {
  /// The strip and the distance between its rows; where in a row each column of taps begins.
  const float *strip;
  size_t line;
  const size_t *column_offsets;
  size_t kernel_height, kernel_width, stride, dilation;
  const float *weight;
  float bias;
  lk_activation activation;
  /// Output and, unless NULL, residual: rows of `width` side by side.
  float *output;
  const float *residual;
  size_t rows, width;
} lk_depthwise_rows;

typedef struct lk_depthwise_kernels {
  void (*rows)(const lk_depthwise_rows *rows);
  /// to[p·phase_width + x] = padded[x·stride + p] for p < stride and x < count, where padded[c] is
  /// from[c - pad] inside 0 ..< width and 0 elsewhere. count is a multiple of the lanes.
  void (*fill)(const float *from, size_t width, size_t pad, size_t stride, float *to, size_t count,
               size_t phase_width);
} lk_depthwise_kernels;

extern const lk_depthwise_kernels lk_f32_depthwise_kernels_scalar, lk_f32_depthwise_kernels_neon,
    lk_f32_depthwise_kernels_avx2, lk_f32_depthwise_kernels_avx512;

/// Whether every output channel reads one input channel.
static inline bool lk_is_depthwise(const lk_conv2d *conv) {
  return conv->groups == conv->in_channels;
}

size_t lk_f32_depthwise_scratch_bytes(const lk_conv2d *conv, int threads);
void lk_f32_depthwise(lk_pool *pool, lk_isa isa, const lk_conv2d *conv, const float *input,
                      const float *weight, const float *bias, const float *residual, float *output,
                      void *scratch);
#endif
