// The variants of the pooling kernels, one per instruction set.
#include "lamina_kernels.h"

typedef struct lk_pooling_variant {
  /// One output row: width-wise windows over the taps of depth and height that start at `x` and lie
  /// `depth_step` and `height_step` apart. `divisor` belongs to depth and height.
  void (*row)(lk_pooling op, const lk_window_axis *width, const float *width_divisors,
              float divisor, float p, const float *x, size_t depth_taps, size_t depth_step,
              size_t height_taps, size_t height_step, float *y);
  /// Maxima or averages of 2×2 windows with stride 2: `rows` rows of n outputs from rows of x that
  /// are `width` wide.
  void (*squares)(lk_pooling op, const float *x, size_t width, float *y, size_t n, size_t rows);
  /// Adds their gradient to dx, or with `sets` writes the 2·`rows` rows of dx whole. x and y are
  /// read by maxima only.
  void (*squares_gradient)(lk_pooling op, const float *x, const float *y, const float *dy,
                           float *dx, bool sets, size_t width, size_t n, size_t rows);
  /// One output row of blocked pixels.
  void (*blocked_row)(lk_pooling op, const lk_window_axis *width, const float *width_divisors,
                      float divisor, const float *x, size_t height_taps, size_t height_step,
                      size_t channels, float *y);
  /// Adds the gradient of one output row of blocked pixels; x and dx start at the taps alike.
  void (*blocked_gradient_row)(lk_pooling op, const lk_window_axis *width,
                               const float *width_divisors, float divisor, const float *x,
                               const float *y, const float *dy, float *dx, size_t height_taps,
                               size_t height_step, size_t channels);
  /// Adds v, a vector of `channels` numbers, to `n` pixels.
  void (*add_to_pixels)(const float *v, float *dx, size_t n, size_t channels);
} lk_pooling_variant;

extern const lk_pooling_variant lk_pooling_scalar, lk_pooling_neon, lk_pooling_avx2,
    lk_pooling_avx512;

/// The taps of an output position that lie in the input: `first` ..< `end`.
typedef struct lk_taps {
  size_t first, end;
} lk_taps;

static inline lk_taps lk_taps_inside(const lk_window_axis *axis, size_t output) {
  const size_t start = output * axis->stride, limit = axis->before + axis->input;
  lk_taps taps = {0, 0};
  if (start < axis->before)
    taps.first = (axis->before - start + axis->dilation - 1) / axis->dilation;
  if (start < limit) taps.end = (limit - start + axis->dilation - 1) / axis->dilation;
  if (taps.end > axis->kernel) taps.end = axis->kernel;
  if (taps.first > taps.end) taps.first = taps.end;
  return taps;
}
