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

/// A map x [batch, channels, height, width] and one of the same shape y, plain without halos, or in
/// blocks of lk_block_channels.
typedef struct lk_channel_maps {
  lk_blocked_maps maps;
  bool is_blocked;
} lk_channel_maps;

/// Channels rounded up to whole blocks: the length of the tables by channel below.
size_t lk_padded_channels(const lk_channel_maps *maps);

/// Floats of scratch for the next two functions.
size_t lk_channel_sums_scratch_floats(const lk_channel_maps *maps);

/// The mean and the population variance of each channel, by sums around its first number that are
/// merged in double in a fixed order. Tables are written whole, 0 for missing channels.
void lk_f32_channel_moments(lk_pool *pool, const lk_channel_maps *maps, const float *x, float *mean,
                            float *variance, float *scratch);

/// What batch normalisation does to a channel: y = min(max(scale·x + shift, low), high).
typedef struct lk_batch_norm {
  const float *scale, *shift;
  float low, high;
} lk_batch_norm;

/// Batch normalisation; y's halo becomes zeros.
void lk_f32_batch_norm(lk_pool *pool, const lk_channel_maps *maps, const lk_batch_norm *norm,
                       const float *x, float *y);

/// Σ dy and Σ dy·(x − mean) of each channel over the positions where y is between its bounds. dy
/// lies as y does.
void lk_f32_channel_products(lk_pool *pool, const lk_channel_maps *maps, const lk_batch_norm *norm,
                             const float *x, const float *mean, const float *dy, float *sums,
                             float *products, float *scratch);

/// dx = a·dy + b·(x − mean) + c by channel, with 0 for dy where y is a bound, or with `adds` added
/// to dx. dx lies as x does; its halo becomes zeros unless `adds`. Missing channels have a = b = c
/// = 0.
void lk_f32_batch_norm_gradient(lk_pool *pool, const lk_channel_maps *maps,
                                const lk_batch_norm *norm, const float *x, const float *mean,
                                const float *a, const float *b, const float *c, const float *dy,
                                float *dx, bool adds);

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

/// Adds the gradient of lk_f32_normalize by x to dx. `mean` and `inverse_deviation` are those of
/// the rows; dy and the gradients by the two may be NULL.
void lk_f32_normalize_gradient(lk_pool *pool, const lk_rows *rows, const float *x,
                               const float *weight, const float *mean,
                               const float *inverse_deviation, const float *dy, const float *dmean,
                               const float *dinverse_deviation, float *dx);

/// Adds the gradients by weight and bias, each where it is not NULL.
void lk_f32_normalize_parameter_gradients(lk_pool *pool, const lk_rows *rows, const float *x,
                                          const float *mean, const float *inverse_deviation,
                                          const float *dy, float *dweight, float *dbias);

/// y = x / (k + alpha·Σx²)^beta over channels c − before ... c + after of [batch, channels, area].
void lk_f32_lrn(lk_pool *pool, const float *x, float *y, size_t batch, size_t channels, size_t area,
                size_t before, size_t after, float alpha, float beta, float k);

/// Adds the gradient of lk_f32_lrn to dx; scratch holds as many floats as x.
void lk_f32_lrn_gradient(lk_pool *pool, const float *x, const float *dy, float *dx, size_t batch,
                         size_t channels, size_t area, size_t before, size_t after, float alpha,
                         float beta, float k, float *scratch);

/// The same for blocked maps; `before` and `after` are at most the channels of a block.
void lk_f32_lrn_blocked(lk_pool *pool, const lk_blocked_maps *maps, const float *x, float *y,
                        size_t before, size_t after, float alpha, float beta, float k);

/// The same as lk_f32_lrn over the square window y − before ... y + after, x − before ... x + after
/// of each plane.
void lk_f32_lrn_within(lk_pool *pool, const float *x, float *y, size_t planes, size_t height,
                       size_t width, size_t before, size_t after, float alpha, float beta, float k);

/// Adds the gradient of lk_f32_lrn_within to dx; scratch holds as many floats as x.
void lk_f32_lrn_within_gradient(lk_pool *pool, const float *x, const float *dy, float *dx,
                                size_t planes, size_t height, size_t width, size_t before,
                                size_t after, float alpha, float beta, float k, float *scratch);

/// Along the middle axis of [outer, length, inner]: eˣ/Σeˣ, or with `logarithm` x − ln Σeˣ. y may
/// be x.
void lk_f32_softmax(lk_pool *pool, bool logarithm, const float *x, float *y, size_t outer,
                    size_t length, size_t inner);

/// Adds the gradient of lk_f32_softmax by x to dx, from its result y.
void lk_f32_softmax_gradient(lk_pool *pool, bool logarithm, const float *y, const float *dy,
                             float *dx, size_t outer, size_t length, size_t inner);

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
