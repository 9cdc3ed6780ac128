#ifndef LK_POOLING_H
#define LK_POOLING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lk_threads.h"

/// A window along one axis: tap t of output o reads input o·stride − before + t·dilation. Taps
/// outside 0 ..< input count as absent.
typedef struct lk_window_axis {
  size_t input, output, kernel, stride, dilation;
  size_t before, after;
} lk_window_axis;

typedef enum lk_pooling {
  LK_POOL_MAX,     ///< NaN when the window holds one; −infinity without taps
  LK_POOL_MIN,     ///< NaN when the window holds one; +infinity without taps
  LK_POOL_AVERAGE, ///< sum of the taps over the product of the axes' divisors; 0 without taps
  LK_POOL_LP,      ///< (Σ|x|ᵖ)^(1/p)
} lk_pooling;

/// How many taps each output position of the axis averages over: those inside the input, or with
/// `include_padding` inside the padded input.
void lk_window_divisors(const lk_window_axis *axis, bool include_padding, float *divisors);

/// Pools `planes` planes [depth, height, width]. `divisors` holds those of the three axes one after
/// the other (average only), `p` is the exponent (lp only).
void lk_f32_pool(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3], const float *divisors,
                 float p, const float *x, float *y, size_t planes);

/// Max pooling that also tells where each maximum lies: the index in the whole tensor, row-major,
/// or with `column_major` with height running fastest within a plane; −1 without taps. The first of
/// equals wins.
void lk_f32_max_pool_indices(lk_pool *pool, const lk_window_axis axes[3], bool column_major,
                             const float *x, float *y, int64_t *indices, size_t planes);

/// Max or average over the bins ⌊i·input/output⌋ ..< ⌈(i+1)·input/output⌉ of each axis [depth,
/// height, width].
void lk_f32_adaptive_pool(lk_pool *pool, lk_pooling op, const size_t input[3],
                          const size_t output[3], const float *x, float *y, size_t planes);

/// Max or average pooling of maps in blocks of `channels` channels: `blocks` maps of pixels
/// [height, width, channels] with `in_halo` pixels of zeros around x's and `out_halo` around y's.
/// The depth axis must be trivial.
void lk_f32_pool_blocked(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3],
                         const float *divisors, size_t channels, size_t in_halo, size_t out_halo,
                         const float *x, float *y, size_t blocks);

/// Adds the gradient of lk_f32_pool by x to dx; with `sets` dx is written whole. A maximum or
/// minimum passes it to the first tap that equals it or is NaN. x and y are read by all but
/// averages.
void lk_f32_pool_gradient(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3],
                          const float *divisors, float p, const float *x, const float *y,
                          const float *dy, float *dx, bool sets, size_t planes);

/// The same for lk_f32_adaptive_pool, but always added.
void lk_f32_adaptive_pool_gradient(lk_pool *pool, lk_pooling op, const size_t input[3],
                                   const size_t output[3], const float *x, const float *y,
                                   const float *dy, float *dx, size_t planes);

/// The same for lk_f32_pool_blocked; with `sets` dx is written whole, its halo with zeros.
void lk_f32_pool_blocked_gradient(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3],
                                  const float *divisors, size_t channels, size_t in_halo,
                                  size_t out_halo, const float *x, const float *y, const float *dy,
                                  float *dx, bool sets, size_t blocks);

/// Adds factor·dy[n, c] to every pixel of channel c of image n, where dx is a map of `batch` images
/// in blocks of `block` channels, at most 16, with a halo; with `sets` dx is written whole, its
/// halo with zeros.
void lk_f32_spread_means(lk_pool *pool, size_t batch, size_t channels, size_t height, size_t width,
                         size_t block, size_t halo, float factor, const float *dy, float *dx,
                         bool sets);
#endif
