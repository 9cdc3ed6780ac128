// Opens one instruction set for the code that follows, up to isa_end.h. A kernel family is written
// once, in <family>_kernels.h, and included by one small file per instruction set:
//
//   #define LK_TARGET_AVX512              // or LK_TARGET_AVX2, LK_TARGET_NEON, LK_TARGET_SCALAR
//   #include "isa_begin.h"
//   #if LK_TARGET_COMPILED
//   #include "gemm_kernels.h"             // names its symbols LK_NAME(lk_f32_gemm):
//   lk_f32_gemm_avx512 #endif #include "isa_end.h"
//
// Code in between uses `vf`, a vector of LK_LANES floats, with the operators of the C vector
// extensions and the helpers below. On CPUs of another architecture LK_TARGET_COMPILED is 0.
#include "lamina_kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LK_INLINE static inline __attribute__((always_inline, unused))
#define LK_JOIN2(a, b) a##_##b
#define LK_JOIN(a, b) LK_JOIN2(a, b)
#define LK_NAME(name) LK_JOIN(name, LK_SUFFIX)
#define LK_UNROLL _Pragma("clang loop unroll(full)")

#if defined(LK_TARGET_AVX512)
#define LK_SUFFIX avx512
#define LK_VECTOR_BYTES 64
#if defined(__x86_64__)
#define LK_TARGET_COMPILED 1
#define LK_TARGET_PUSHED
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))),                   \
    apply_to = function)
#endif

#elif defined(LK_TARGET_AVX2)
#define LK_SUFFIX avx2
#define LK_VECTOR_BYTES 32
#if defined(__x86_64__)
#define LK_TARGET_COMPILED 1
#define LK_TARGET_PUSHED
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#endif

#elif defined(LK_TARGET_NEON)
#define LK_SUFFIX neon
#define LK_VECTOR_BYTES 16
#if defined(__aarch64__)
#define LK_TARGET_COMPILED 1
#endif

#else
#define LK_SUFFIX scalar
#define LK_VECTOR_BYTES 16
#define LK_TARGET_COMPILED 1
#endif

#ifndef LK_TARGET_COMPILED
#define LK_TARGET_COMPILED 0
#endif

#if LK_TARGET_COMPILED
#define LK_LANES (LK_VECTOR_BYTES / 4)

/// A vector of LK_LANES floats, which may lie at any address that a float may.
typedef float vf __attribute__((vector_size(LK_VECTOR_BYTES), aligned(4), may_alias));
/// The lanes of a comparison: 0 or -1.
typedef int32_t vi __attribute__((vector_size(LK_VECTOR_BYTES), aligned(4), may_alias));

LK_INLINE vf vf_load(const float *p) { return *(const vf *)p; }
LK_INLINE void vf_store(float *p, vf v) { *(vf *)p = v; }
LK_INLINE vf vf_set(float x) { return x - (vf){0}; }

/// a·b + c, rounded once where the instruction set has that, twice on plain x86-64.
LK_INLINE vf vf_fma(vf a, vf b, vf c) {
#if defined(LK_TARGET_SCALAR) && defined(__x86_64__)
  return a * b + c;
#else
  return __builtin_elementwise_fma(a, b, c);
#endif
}

LK_INLINE vf vf_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
/// The smaller of `x` and `bound`; NaN when `x` is NaN.
LK_INLINE vf vf_min(vf x, vf bound) { return vf_select(bound < x, bound, x); }
/// The larger of `x` and `bound`; NaN when `x` is NaN.
LK_INLINE vf vf_max(vf x, vf bound) { return vf_select(bound > x, bound, x); }

/// Lanes first ..< end from memory, 0 in the others; touches nothing else.
LK_INLINE vf vf_load_lanes(const float *p, int first, int end) {
#if defined(LK_TARGET_AVX512)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << end) - (1u << first)), p);
#else
  vf x = vf_set(0);
  for (int i = first; i < end; i++) x[i] = p[i];
  return x;
#endif
}

/// Stores lanes first ..< end; touches nothing else.
LK_INLINE void vf_store_lanes(float *p, vf x, int first, int end) {
#if defined(LK_TARGET_AVX512)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << end) - (1u << first)), (__m512)x);
#else
  for (int i = first; i < end; i++) p[i] = x[i];
#endif
}

/// Lanes 0 ..< n from memory, 0 in the others; touches nothing else. n may be 0.
LK_INLINE vf vf_load_first(const float *p, int n) { return vf_load_lanes(p, 0, n); }

/// Stores lanes 0 ..< n; touches nothing else. n may be 0.
LK_INLINE void vf_store_first(float *p, vf v, int n) { vf_store_lanes(p, v, 0, n); }

/// The sum of all lanes, in a fixed order.
LK_INLINE float vf_sum(vf v) {
  float lanes[LK_LANES];
  vf_store(lanes, v);
  for (int width = LK_LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}
#endif
