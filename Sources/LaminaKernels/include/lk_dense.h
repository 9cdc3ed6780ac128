#ifndef LK_DENSE_H
#define LK_DENSE_H
#include <stdbool.h>
#include <stddef.h>

#include "lk_gemm.h"

// A dense layer: X [rows, inputs], W [outputs, inputs], Y [rows, outputs]; all matrices row-major
// and without gaps. Scratch is as in lk_gemm.h, and so is the order of sums.

/// Bytes of scratch for lk_f32_dense on a pool of `threads` threads.
size_t lk_f32_dense_scratch_bytes(size_t rows, size_t inputs, size_t outputs, int threads);

/// Y = activation(X·Wᵀ + bias); `bias` [outputs] may be NULL.
void lk_f32_dense(lk_pool *pool, size_t rows, size_t inputs, size_t outputs, const float *x,
                  const float *weight, const float *bias, lk_activation activation, float *y,
                  void *scratch);

/// What the gradients of a dense layer are made of, and where they go: each is added when its flag
/// is set, else written whole, and none where its pointer is NULL.
typedef struct lk_dense_gradients {
  /// May be NULL when dx is NULL (`weight`) or dweight is (`x`).
  const float *weight, *x;
  const float *dy;
  float *dx, *dweight, *dbias;
  bool adds_x, adds_weight, adds_bias;
} lk_dense_gradients;

/// Bytes of scratch for lk_f32_dense_gradients on a pool of `threads` threads.
size_t lk_f32_dense_gradients_scratch_bytes(size_t rows, size_t inputs, size_t outputs,
                                            int threads);

/// dX = dY·W, dW = dYᵀ·X, dbias = the sum of dY's rows.
void lk_f32_dense_gradients(lk_pool *pool, size_t rows, size_t inputs, size_t outputs,
                            const lk_dense_gradients *gradients, void *scratch);
#endif
