// The variants of the normalisation and reduction kernels, one per instruction set.
#include "lamina_kernels.h"

/// Columns that a task of a kernel along a strided axis takes at once.
enum { LK_COLUMNS = 64 };

/// A row of pixels of one block, of which `channels` count, and the same row of the blocks below
/// and above, or NULL.
typedef struct lk_lrn_row {
  const float *x, *below, *above;
  float *y;
  size_t channels, width;
} lk_lrn_row;

/// A row of numbers of one channel, or a row of pixels of one block (see lk_batch_norm); rows of x
/// and of dy lie `x_row` and `dy_row` floats apart.
typedef struct lk_norm_rows {
  const float *x, *dy;
  size_t x_row, dy_row, rows, width;
  const float *scale, *shift, *mean;
  float low, high;
} lk_norm_rows;

typedef struct lk_normalization_variant {
  size_t lanes;
  void (*scale_shift)(const float *x, float scale, float shift, float *y, size_t n);
  void (*scale_shift_vector)(const float *x, const float *scale, const float *shift, float *y,
                             size_t n);
  /// `n` pixels of a block.
  void (*scale_shift_pixels)(const float *x, const float *scale, const float *shift, float *y,
                             size_t n);
  /// Sums of x − mean and of its squares: one number of each for a channel, a vector for a block.
  void (*moments)(const lk_norm_rows *rows, bool is_blocked, float *sums, float *squares);
  /// Sums of dy and of dy·(x − mean).
  void (*products)(const lk_norm_rows *rows, bool is_blocked, float *sums, float *products);
  void (*batch_norm)(const lk_norm_rows *rows, bool is_blocked, float *y);
  void (*batch_norm_gradient)(const lk_norm_rows *rows, bool is_blocked, const float *a,
                              const float *b, const float *c, float *dx, bool adds);
  void (*normalize_gradient_row)(const lk_rows *rows, const float *x, const float *weight,
                                 float mean, float inverse_deviation, const float *dy, float dmean,
                                 float dinverse, float *dx);
  /// At most LK_COLUMNS numbers of every row first, first + step, … below `count`.
  void (*normalize_parameter_columns)(const float *x, const float *dy, const float *mean,
                                      const float *inverse_deviation, size_t first, size_t step,
                                      size_t count, size_t length, size_t columns, float *dweight,
                                      float *dbias);
  void (*lrn_gradient_columns)(const float *x, const float *dy, float *dx, float *ratios,
                               size_t channels, size_t area, size_t columns, size_t before,
                               size_t after, float alpha, float beta, float k);
  void (*lrn_gradient_plane)(const float *x, const float *dy, float *dx, float *ratios,
                             size_t height, size_t width, size_t before, size_t after, float alpha,
                             float beta, float k);
  void (*softmax_gradient_row)(bool logarithm, const float *y, const float *dy, float *dx,
                               size_t n);
  void (*softmax_gradient_columns)(bool logarithm, const float *y, const float *dy, float *dx,
                                   size_t length, size_t inner, size_t columns);
  void (*normalize_row)(const lk_rows *rows, float epsilon, const float *x, const float *weight,
                        const float *bias, float *y, float *mean, float *inverse_deviation);
  /// At most LK_COLUMNS columns, channels `area` apart.
  void (*lrn_columns)(const float *x, float *y, size_t channels, size_t area, size_t columns,
                      size_t before, size_t after, float alpha, float beta, float k);
  /// At most a block before and after.
  void (*lrn_pixels)(const lk_lrn_row *row, size_t before, size_t after, float alpha, float beta,
                     float k);
  void (*lrn_plane)(const float *x, float *y, size_t height, size_t width, size_t before,
                    size_t after, float alpha, float beta, float k);
  void (*softmax_row)(bool logarithm, const float *x, float *y, size_t n);
  void (*softmax_columns)(bool logarithm, const float *x, float *y, size_t length, size_t inner,
                          size_t columns);
  float (*reduce_row)(lk_reduction op, const float *x, size_t n);
  void (*reduce_columns)(lk_reduction op, float scale, const float *x, float *y, size_t length,
                         size_t inner, size_t columns);
} lk_normalization_variant;

extern const lk_normalization_variant lk_normalization_scalar, lk_normalization_neon,
    lk_normalization_avx2, lk_normalization_avx512;
