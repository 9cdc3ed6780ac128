#ifndef LK_GEMM_H
#define LK_GEMM_H
#include <stdbool.h>
#include <stddef.h>

// Matrices are row-major. Scratch and packed memory is the caller's and starts on a 64-byte
// boundary; nothing is assumed about its content. Every element is summed in an order that depends
// on the sizes alone, so the number of threads never changes a result.

/// What is applied to a result before it is stored. NaN stays NaN.
typedef enum lk_activation_kind {
  LK_ACTIVATION_NONE = 0,
  /// min(max(x, low), high); ReLU is low = 0, high = infinity.
  LK_ACTIVATION_CLAMP = 1,
  /// x where x >= 0, slope·x elsewhere.
  LK_ACTIVATION_LEAKY = 2,
} lk_activation_kind;

typedef struct lk_activation {
  lk_activation_kind kind;
  float low, high, slope;
} lk_activation;

/// Bytes of scratch for lk_f32_gemm on a pool of `threads` threads.
size_t lk_f32_gemm_scratch_bytes(size_t m, size_t n, size_t k, int threads);

/// Bytes of scratch for lk_f32_gemm_packed on a pool of `threads` threads.
size_t lk_f32_gemm_packed_scratch_bytes(size_t m, size_t n, size_t k, int threads);

/// C = alpha·op(A)·op(B) + beta·C with op(A) [m, k], op(B) [k, n], C [m, n]; op transposes when its
/// flag is set. `lda`, `ldb`, `ldc` are the distances between stored rows. C is not read when beta
/// is 0.
void lk_f32_gemm(lk_pool *pool, size_t m, size_t n, size_t k, float alpha, const float *a,
                 size_t lda, bool transpose_a, const float *b, size_t ldb, bool transpose_b,
                 float beta, float *c, size_t ldc, void *scratch);

/// Bytes of a packed op(B) [k, n].
size_t lk_f32_gemm_packed_bytes(size_t n, size_t k);

/// Packs op(B) [k, n] for lk_f32_gemm_packed, for the instruction set that is active now.
void lk_f32_gemm_pack(size_t n, size_t k, const float *b, size_t ldb, bool transpose_b,
                      void *packed);

/// C = activation(alpha·op(A)·op(B) + beta·C + bias) with a packed op(B); `bias` [n] may be NULL.
/// With op(B) = Wᵀ, W [outputs, inputs], this is a dense layer.
void lk_f32_gemm_packed(lk_pool *pool, size_t m, size_t n, size_t k, float alpha, const float *a,
                        size_t lda, bool transpose_a, const void *packed, const float *bias,
                        lk_activation activation, float beta, float *c, size_t ldc, void *scratch);
#endif
