#ifndef LK_PLANAR_H
#define LK_PLANAR_H
#include <stdbool.h>
#include <stddef.h>

#include "lk_conv.h"

/// A convolution (see lk_conv2d) with stride 1 from a plain map to one of few channels: the lanes
/// of a vector are pixels of a row, where channels would leave most of them empty.
typedef struct lk_planar_conv {
  lk_conv2d conv;
  lk_isa isa;
} lk_planar_conv;

/// For the instruction set that is active now; false when blocks of channels are as good.
bool lk_make_planar_conv(lk_planar_conv *planar, const lk_conv2d *conv);

/// Bytes of scratch for lk_planar_conv_run on a pool of `threads` threads.
size_t lk_planar_conv_scratch_bytes(const lk_planar_conv *planar, int threads);
/// Convolves with weight [out_channels, in_channels, kernel_height, kernel_width] and bias
/// [out_channels] (or NULL). Results do not depend on the number of threads.
void lk_planar_conv_run(lk_pool *pool, const lk_planar_conv *planar, const float *input,
                        const float *weight, const float *bias, float *output, void *scratch);

/// Bytes of scratch for lk_planar_conv_gradient on a pool of `threads` threads.
size_t lk_planar_conv_gradient_scratch_bytes(const lk_planar_conv *planar, int threads);
/// The gradients by weight and bias, each written, or added where `adds_…` says so; either may be
/// NULL. Results do not depend on the number of threads.
void lk_planar_conv_gradient(lk_pool *pool, const lk_planar_conv *planar, const float *input,
                             const float *output_gradient, bool adds_weight, float *weight_gradient,
                             bool adds_bias, float *bias_gradient, void *scratch);
#endif
