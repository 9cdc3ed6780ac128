// Elementary functions on vectors. Polynomials: weighted minimax fits on the reduced ranges named
// below.
#define LK_SIGN_BIT ((vi){0} + INT32_MIN)

LK_INLINE vf vf_abs(vf x) { return (vf)((vi)x & ~LK_SIGN_BIT); }
LK_INLINE vf vf_copysign(vf magnitude, vf sign) {
  return (vf)(((vi)magnitude & ~LK_SIGN_BIT) | ((vi)sign & LK_SIGN_BIT));
}
LK_INLINE vf vf_sqrt(vf x) { return __builtin_elementwise_sqrt(x); }

/// 1/√x for x above 0, within 2 ulp; NaN below, and at 0 and infinity unspecified.
LK_INLINE vf vf_rsqrt(vf x) {
#if defined(LK_TARGET_AVX512)
  const vf guess = (vf)_mm512_rsqrt14_ps((__m512)x);
  const vf error = vf_fma(-x * guess, guess, vf_set(1));
  return vf_fma(guess * 0.5f, error, guess);
#else
  return 1 / vf_sqrt(x);
#endif
}

/// The larger; NaN when either is. (The instructions give b when either is NaN.)
LK_INLINE vf vf_maximum(vf a, vf b) {
#if defined(LK_TARGET_AVX512)
  const __mmask16 a_is_number = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_ORD_Q);
  return (vf)_mm512_mask_max_ps((__m512)a, a_is_number, (__m512)a, (__m512)b);
#elif defined(LK_TARGET_AVX2)
  const __m256 larger = _mm256_max_ps((__m256)a, (__m256)b);
  return (vf)_mm256_blendv_ps(larger, (__m256)a, _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q));
#else
  return vf_select((b > a) | (b != b), b, a);
#endif
}
/// The smaller; NaN when either is.
LK_INLINE vf vf_minimum(vf a, vf b) { return -vf_maximum(-a, -b); }

/// (eʳ − 1 − r) / r² for |r| ≤ ½ ln 2.
LK_INLINE vf vf_exp_tail(vf r) {
  vf p = vf_set(1.395048806e-3f);
  p = vf_fma(p, r, vf_set(8.368887939e-3f));
  p = vf_fma(p, r, vf_set(4.166620597e-2f));
  p = vf_fma(p, r, vf_set(1.666651815e-1f));
  return vf_fma(p, r, vf_set(0.5f));
}

/// eˣ; 0 below −104, infinity above 88.73.
LK_INLINE vf vf_exp(vf x) {
  x = vf_min(vf_max(x, vf_set(-104)), vf_set(89));
  const vf round = vf_set(0x1.8p23f);
  const vf shifted = vf_fma(x, vf_set(1.44269504f), round);
  const vf n = shifted - round;
  const vf r = vf_fma(n, vf_set(-1.42860677e-6f), vf_fma(n, vf_set(-0.693145752f), x));
  const vf p = vf_fma(vf_exp_tail(r), r * r, r) + 1;
  const vi exponent = (vi)shifted - 0x4B400000, half = exponent >> 1;
  return p * (vf)((half + 127) << 23) * (vf)((exponent - half + 127) << 23);
}

/// eˣ − 1.
LK_INLINE vf vf_expm1(vf x) {
  return vf_select(vf_abs(x) < 0.34657359f, vf_fma(vf_exp_tail(x), x * x, x), vf_exp(x) - 1);
}

/// The natural logarithm; −infinity at 0, NaN below.
LK_INLINE vf vf_log(vf x) {
  const vi tiny = x < 0x1p-126f;
  const vi bits = (vi)vf_select(tiny, x * 0x1p23f, x);
  const vi exponent = (bits - 0x3F3504F3) >> 23;
  const vf e = __builtin_convertvector(exponent + (tiny & -23), vf);
  const vf f = (vf)(bits - (exponent << 23)) - 1;
  vf p = vf_set(6.746638566e-2f);
  p = vf_fma(p, f, vf_set(-1.167565137e-1f));
  p = vf_fma(p, f, vf_set(1.188816279e-1f));
  p = vf_fma(p, f, vf_set(-1.240558922e-1f));
  p = vf_fma(p, f, vf_set(1.421955228e-1f));
  p = vf_fma(p, f, vf_set(-1.666799635e-1f));
  p = vf_fma(p, f, vf_set(2.000211924e-1f));
  p = vf_fma(p, f, vf_set(-2.500000894e-1f));
  p = vf_fma(p, f, vf_set(3.333331347e-1f));
  const vf square = f * f;
  vf y = vf_fma(p, square * f, e * 1.42860677e-6f);
  y = vf_fma(square, vf_set(-0.5f), y) + f;
  y = vf_fma(e, vf_set(0.693145752f), y);
  y = vf_select(x < __builtin_inff(), y, x);
  y = vf_select(x == 0, vf_set(-__builtin_inff()), y);
  return vf_select(x < 0, vf_set(__builtin_nanf("")), y);
}

/// ln(1 + u) for u ≥ 0.
LK_INLINE vf vf_log1p(vf u) {
  const vf w = u + 1;
  return vf_select(w == 1, u, vf_log(w) * u / (w - 1));
}

LK_INLINE vf vf_sigmoid(vf x) { return 1 / (vf_exp(-x) + 1); }

LK_INLINE vf vf_tanh(vf x) {
  const vf square = x * x;
  vf p = vf_set(-5.717045628e-3f);
  p = vf_fma(p, square, vf_set(2.065058798e-2f));
  p = vf_fma(p, square, vf_set(-5.374349654e-2f));
  p = vf_fma(p, square, vf_set(1.333149076e-1f));
  p = vf_fma(p, square, vf_set(-3.333328366e-1f));
  const vf magnitude = vf_abs(x), far = 1 - 2 / (vf_exp(magnitude * 2) + 1);
  return vf_select(magnitude < 0.625f, vf_fma(p, square * x, x), vf_copysign(far, x));
}

/// erf x: x·P(x²) up to 0.92, 1 − e^(t·Q(t)) with t = min(|x|, 4) beyond.
LK_INLINE vf vf_erf(vf x) {
  const vf square = x * x, magnitude = vf_abs(x), t = vf_min(magnitude, vf_set(4));
  vf p = vf_set(-5.953781656e-4f);
  p = vf_fma(p, square, vf_set(4.985950422e-3f));
  p = vf_fma(p, square, vf_set(-2.676172741e-2f));
  p = vf_fma(p, square, vf_set(1.128168255e-1f));
  p = vf_fma(p, square, vf_set(-3.761247993e-1f));
  p = vf_fma(p, square, vf_set(1.283791512e-1f));
  vf q = vf_set(-1.123127640e-5f);
  q = vf_fma(q, t, vf_set(3.228035639e-4f));
  q = vf_fma(q, t, vf_set(-3.642458003e-3f));
  q = vf_fma(q, t, vf_set(2.376206033e-2f));
  q = vf_fma(q, t, vf_set(-1.062368751e-1f));
  q = vf_fma(q, t, vf_set(-6.351513267e-1f));
  q = vf_fma(q, t, vf_set(-1.128648520f));
  const vf far = vf_copysign(1 - vf_exp(q * t), x);
  return vf_select(magnitude < 0.92f, vf_fma(p, x, x), vf_select(x == x, far, x));
}
