#ifndef LK_OPTIMIZERS_H
#define LK_OPTIMIZERS_H
#include <stdbool.h>
#include <stddef.h>

#include "lk_threads.h"

/// What becomes of a gradient and a weight before the rule of an optimizer:
/// g ← min(max(scale·g, −bound), bound) + decay·w, then w ← keep·w.
typedef struct lk_decay {
  float scale, bound, decay, keep;
} lk_decay;

/// v ← momentum·v + a·g; w ← w + b·(nesterov ? momentum·v + a·g : v). Without v: w ← w + a·b·g.
typedef struct lk_momentum {
  float momentum, a, b;
  bool nesterov;
} lk_momentum;

/// s ← rho·s + (1 − rho)·g²; with `mean`: m ← rho·m + (1 − rho)·g, q = s − m², else q = s;
/// u = a·g / (√(q + inner) + outer); with `buffer`: u ← buffer ← momentum·buffer + u; w ← w + b·u.
/// `rest` is 1 − rho.
typedef struct lk_rmsprop {
  float rho, rest, inner, outer, momentum, a, b;
} lk_rmsprop;

/// m ← beta1·m + (1 − beta1)·g; s ← beta2·s + (1 − beta2)·g²;
/// w ← w − (of_mean·m + of_gradient·g) / (root·√s + epsilon). `rest1`, `rest2` are 1 − beta.
typedef struct lk_adam {
  float beta1, rest1, beta2, rest2, of_mean, of_gradient, root, epsilon;
} lk_adam;

/// One step of `count` weights w by their gradients g, one pass over memory. Denormal numbers count
/// as zero. `velocity` may be NULL.
void lk_f32_momentum_step(lk_pool *pool, const lk_decay *decay, const lk_momentum *rule, float *w,
                          const float *g, float *velocity, size_t count);
/// `mean` and `buffer` may be NULL.
void lk_f32_rmsprop_step(lk_pool *pool, const lk_decay *decay, const lk_rmsprop *rule, float *w,
                         const float *g, float *square, float *mean, float *buffer, size_t count);
void lk_f32_adam_step(lk_pool *pool, const lk_decay *decay, const lk_adam *rule, float *w,
                      const float *g, float *mean, float *square, size_t count);

/// average ← keep·average + (1 − keep)·x.
void lk_f32_moving_average(lk_pool *pool, float keep, const float *x, float *average, size_t count);

/// Σ x² in double precision, in an order that the number of threads does not change: finite exactly
/// when every element is.
double lk_f32_square_sum(lk_pool *pool, const float *x, size_t count);
#endif
