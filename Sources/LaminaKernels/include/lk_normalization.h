#ifndef LK_NORMALIZATION_H
#define LK_NORMALIZATION_H
#include <stdbool.h>
#include <stddef.h>

#include "lk_threads.h"

/// y = scale[c]·x + shift[c] over [batch, channels, area]. y may be x.
void lk_f32_scale_shift(lk_pool *pool, const float *x, const float *scale, const float *shift,
                        float *y, size_t batch, size_t channels, size_t area);

/// Maps in blocks of lk_block_channels, with halos of zeros (see lk_map).
typedef struct lk_blocked_maps {
  size_t batch, channels, height, width;
  size_t in_halo, out_halo;
} lk_blocked_maps;

/// y = scale[c]·x + shift[c] for blocked maps. `scale` and `shift` hold whole blocks; those of
/// missing channels are zeros.
void lk_f32_scale_shift_blocked(lk_pool *pool, const lk_blocked_maps *maps, const float *x,
                                const float *scale, const float *shift, float *y);

/// Rows of `channels`·`area` numbers; row r belongs to group r mod `groups`, and its channel c has
/// weight and bias number (r mod groups)·channels + c.
typedef struct lk_rows {
  size_t count, groups, channels, area;
} lk_rows;

/// y = weight·(x − mean)/√(variance + epsilon) + bias with the mean and the population variance of
/// each row. weight and bias may be NULL: 1 and 0. mean and inverse_deviation, one per row, are
/// written when not NULL. y may be x.
void lk_f32_normalize(lk_pool *pool, const lk_rows *rows, float epsilon, const float *x,
                      const float *weight, const float *bias, float *y, float *mean,
                      float *inverse_deviation);

/// y = x / (k + alpha·Σx²)^beta over channels c − before ... c + after of [batch, channels, area].
void lk_f32_lrn(lk_pool *pool, const float *x, float *y, size_t batch, size_t channels, size_t area,
                size_t before, size_t after, float alpha, float beta, float k);

/// The same for blocked maps; `before` and `after` are at most the channels of a block.
void lk_f32_lrn_blocked(lk_pool *pool, const lk_blocked_maps *maps, const float *x, float *y,
                        size_t before, size_t after, float alpha, float beta, float k);

/// The same as lk_f32_lrn over the square window y − before ... y + after, x − before ... x + after
/// of each plane.
void lk_f32_lrn_within(lk_pool *pool, const float *x, float *y, size_t planes, size_t height,
                       size_t width, size_t before, size_t after, float alpha, float beta, float k);

/// Along the middle axis of [outer, length, inner]: eˣ/Σeˣ, or with `logarithm` x − ln Σeˣ. y may
/// be x.
void lk_f32_softmax(lk_pool *pool, bool logarithm, const float *x, float *y, size_t outer,
                    size_t length, size_t inner);

typedef enum lk_reduction {
  LK_REDUCE_SUM,
  LK_REDUCE_MAX, ///< NaN when one is
  LK_REDUCE_MIN, ///< NaN when one is
  LK_REDUCE_PRODUCT,
  LK_REDUCE_ABSOLUTE_SUM,
  LK_REDUCE_SQUARE_SUM,
} lk_reduction;

/// Reduces the middle axis of [outer, length, inner], then multiplies by `scale`.
void lk_f32_reduce(lk_pool *pool, lk_reduction op, float scale, const float *x, float *y,
                   size_t outer, size_t length, size_t inner);
#endif
