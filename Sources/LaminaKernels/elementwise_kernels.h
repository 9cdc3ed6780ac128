#include "elementwise.h"
#include "vector_math.h"

LK_INLINE vf vf_hard_sigmoid(vf t) { return vf_max(vf_min(t, vf_set(1)), vf_set(0)); }

LK_INLINE vf vf_mish(vf v) {
  const vf e = vf_exp(vf_min(v, vf_set(20))), n = e * (e + 2);
  return v * (n / (n + 2));
}

LK_INLINE vf vf_unary(lk_unary f, vf v, vf a, vf b) {
  const vf zero = vf_set(0);
  switch (f) {
  case LK_RELU:
    return vf_max(v, zero);
  case LK_CLIP:
    return vf_min(vf_max(v, a), b);
  case LK_LEAKY_RELU:
    return vf_select(v < 0, a * v, v);
  case LK_ELU:
    return vf_select(v < 0, a * vf_expm1(v), v);
  case LK_CELU:
    return vf_max(v, zero) + vf_min(a * vf_expm1(v / a), zero);
  case LK_SELU:
    return b * vf_select(v > 0, v, a * vf_expm1(v));
  case LK_SIGMOID:
    return vf_sigmoid(v);
  case LK_TANH:
    return vf_tanh(v);
  case LK_SCALED_TANH:
    return a * vf_tanh(b * v);
  case LK_SOFTPLUS:
    return vf_max(v, zero) + vf_log1p(vf_exp(-vf_abs(v)));
  case LK_SOFTSIGN:
    return v / (vf_abs(v) + 1);
  case LK_HARD_SIGMOID:
    return vf_hard_sigmoid(vf_fma(a, v, b));
  case LK_HARD_SWISH:
    return v * vf_hard_sigmoid(vf_fma(v, vf_set(1.0f / 6), vf_set(0.5f)));
  case LK_MISH:
    return vf_mish(v);
  case LK_GELU:
    return v * 0.5f * (vf_erf(v * 0.707106781f) + 1);
  case LK_GELU_TANH:
    return v * 0.5f * (vf_tanh((v * v * 0.0356774081f + 0.797884561f) * v) + 1);
  case LK_SWISH:
    return v * vf_sigmoid(a * v);
  case LK_THRESHOLDED_RELU:
    return vf_select(v <= a, zero, v);
  case LK_SHRINK:
    return vf_select(v < -b, v + a, vf_select(v > b, v - a, v * 0));
  case LK_SCALE:
    return a * v;
  case LK_EXP:
    return vf_exp(v);
  case LK_LOG:
    return vf_log(v);
  case LK_SQRT:
    return vf_sqrt(v);
  case LK_SQUARE:
    return v * v;
  case LK_RECIPROCAL:
    return 1 / v;
  case LK_ABS:
    return vf_abs(v);
  case LK_NEG:
    return -v;
  case LK_FLOOR:
    return __builtin_elementwise_floor(v);
  case LK_CEIL:
    return __builtin_elementwise_ceil(v);
  case LK_ROUND:
    return __builtin_elementwise_roundeven(v);
  case LK_SIGN:
    return vf_select(v > 0, vf_set(1), vf_select(v < 0, vf_set(-1), v));
  case LK_ERF:
    return vf_erf(v);
  default:
    return v;
  }
}

// Without optimisation each inlined copy keeps stack of its own, megabytes in all: one copy does
// then.
#ifdef __OPTIMIZE__
LK_INLINE
#else
static
#endif
void map_unary(lk_unary f, vf a, vf b, const float *x, float *y, size_t n) {
  size_t i = 0;
  for (; i + LK_LANES <= n; i += LK_LANES) vf_store(y + i, vf_unary(f, vf_load(x + i), a, b));
  const int rest = (int)(n - i);
  if (rest) vf_store_first(y + i, vf_unary(f, vf_load_first(x + i, rest), a, b), rest);
}

static void LK_NAME(unary)(lk_unary f, float a, float b, const float *x, float *y, size_t n) {
  const vf va = vf_set(a), vb = vf_set(b);
  switch (f) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    map_unary(name, va, vb, x, y, n);                                                              \
    break;
    LK_CASE(LK_RELU)
    LK_CASE(LK_CLIP)
    LK_CASE(LK_LEAKY_RELU)
    LK_CASE(LK_ELU)
    LK_CASE(LK_CELU)
    LK_CASE(LK_SELU)
    LK_CASE(LK_SIGMOID)
    LK_CASE(LK_TANH)
    LK_CASE(LK_SCALED_TANH)
    LK_CASE(LK_SOFTPLUS)
    LK_CASE(LK_SOFTSIGN)
    LK_CASE(LK_HARD_SIGMOID)
    LK_CASE(LK_HARD_SWISH)
    LK_CASE(LK_MISH)
    LK_CASE(LK_GELU)
    LK_CASE(LK_GELU_TANH)
    LK_CASE(LK_SWISH)
    LK_CASE(LK_THRESHOLDED_RELU)
    LK_CASE(LK_SHRINK)
    LK_CASE(LK_SCALE)
    LK_CASE(LK_EXP)
    LK_CASE(LK_LOG)
    LK_CASE(LK_SQRT)
    LK_CASE(LK_SQUARE)
    LK_CASE(LK_RECIPROCAL)
    LK_CASE(LK_ABS)
    LK_CASE(LK_NEG)
    LK_CASE(LK_FLOOR)
    LK_CASE(LK_CEIL)
    LK_CASE(LK_ROUND)
    LK_CASE(LK_SIGN)
    LK_CASE(LK_ERF)
#undef LK_CASE
  default:
    break;
  }
}

LK_INLINE vf vf_binary(lk_binary f, vf a, vf b) {
  switch (f) {
  case LK_ADD:
    return a + b;
  case LK_SUB:
    return a - b;
  case LK_MUL:
    return a * b;
  case LK_DIV:
    return a / b;
  case LK_MAX:
    return vf_maximum(a, b);
  case LK_MIN:
    return vf_minimum(a, b);
  case LK_PRELU:
    return vf_select(a < 0, a * b, a);
  case LK_ADD_RELU:
    return vf_max(a + b, vf_set(0));
  default:
    return a;
  }
}

LK_INLINE void map_binary(lk_binary f, const float *a, size_t a_stride, const float *b,
                          size_t b_stride, float *y, size_t n) {
  size_t i = 0;
  const vf a0 = vf_set(*a), b0 = vf_set(*b);
  for (; i + LK_LANES <= n; i += LK_LANES)
    vf_store(y + i, vf_binary(f, a_stride ? vf_load(a + i) : a0, b_stride ? vf_load(b + i) : b0));
  const int rest = (int)(n - i);
  if (rest)
    vf_store_first(y + i,
                   vf_binary(f, a_stride ? vf_load_first(a + i, rest) : a0,
                             b_stride ? vf_load_first(b + i, rest) : b0),
                   rest);
}

static void LK_NAME(binary)(lk_binary f, const float *a, size_t a_stride, const float *b,
                            size_t b_stride, float *y, size_t n) {
  if (n == 0) return;
  switch (f) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    if (a_stride && b_stride)                                                                      \
      map_binary(name, a, 1, b, 1, y, n);                                                          \
    else if (a_stride)                                                                             \
      map_binary(name, a, 1, b, 0, y, n);                                                          \
    else if (b_stride)                                                                             \
      map_binary(name, a, 0, b, 1, y, n);                                                          \
    else                                                                                           \
      map_binary(name, a, 0, b, 0, y, n);                                                          \
    break;
    LK_CASE(LK_ADD)
    LK_CASE(LK_SUB)
    LK_CASE(LK_MUL)
    LK_CASE(LK_DIV)
    LK_CASE(LK_MAX)
    LK_CASE(LK_MIN)
    LK_CASE(LK_PRELU)
    LK_CASE(LK_ADD_RELU)
#undef LK_CASE
  default:
    break;
  }
}

// ------------------------------------------------------------------------------------------------
// Gradients

LK_INLINE vf vf_mish_derivative(vf v) {
  const vf e = vf_exp(vf_min(v, vf_set(20))), n = e * (e + 2), t = n / (n + 2);
  return t + v * (1 - t * t) * vf_sigmoid(v);
}

LK_INLINE vf vf_gelu_tanh_derivative(vf v) {
  const vf square = v * v, t = vf_tanh((square * 0.0356774081f + 0.797884561f) * v);
  return 0.5f * (t + 1) + 0.5f * v * (1 - t * t) * (square * 0.1070322243f + 0.797884561f);
}

/// f′ by x, or by y where lk_unary_gradient_reads_output says so.
LK_INLINE vf vf_derivative(lk_unary f, vf v, vf a, vf b) {
  const vf zero = vf_set(0), one = vf_set(1);
  switch (f) {
  case LK_RELU:
    return vf_select(v <= 0, zero, one);
  case LK_CLIP:
    return vf_select((v <= a) | (v >= b), zero, one);
  case LK_LEAKY_RELU:
    return vf_select(v < 0, a, one);
  case LK_ELU:
    return vf_select(v < 0, a * vf_exp(v), one);
  case LK_CELU:
    return vf_select(v > 0, one, vf_exp(v / a));
  case LK_SELU:
    return b * vf_select(v > 0, one, a * vf_exp(v));
  case LK_SIGMOID:
    return v * (1 - v);
  case LK_TANH:
    return 1 - v * v;
  case LK_SCALED_TANH: {
    const vf t = vf_tanh(b * v);
    return a * b * (1 - t * t);
  }
  case LK_SOFTPLUS:
    return vf_sigmoid(v);
  case LK_SOFTSIGN: {
    const vf t = vf_abs(v) + 1;
    return 1 / (t * t);
  }
  case LK_HARD_SIGMOID: {
    const vf t = vf_fma(a, v, b);
    return vf_select((t <= 0) | (t >= 1), zero, a);
  }
  case LK_HARD_SWISH:
    return vf_select(v <= -3, zero,
                     vf_select(v >= 3, one, vf_fma(v, vf_set(1.0f / 3), one * 0.5f)));
  case LK_MISH:
    return vf_mish_derivative(v);
  case LK_GELU:
    return 0.5f * (vf_erf(v * 0.707106781f) + 1) + v * 0.398942280f * vf_exp(v * v * -0.5f);
  case LK_GELU_TANH:
    return vf_gelu_tanh_derivative(v);
  case LK_SWISH: {
    const vf s = vf_sigmoid(a * v);
    return s * (1 + a * v * (1 - s));
  }
  case LK_THRESHOLDED_RELU:
    return vf_select(v <= a, zero, one);
  case LK_SHRINK:
    return vf_select((v < -b) | (v > b), one, zero);
  case LK_SCALE:
    return a;
  case LK_EXP:
    return vf_exp(v);
  case LK_LOG:
    return 1 / v;
  case LK_SQRT:
    return 0.5f / vf_sqrt(v);
  case LK_SQUARE:
    return 2 * v;
  case LK_RECIPROCAL:
    return -1 / (v * v);
  case LK_ABS:
    return vf_select(v > 0, one, vf_select(v < 0, -one, zero));
  case LK_NEG:
    return -one;
  case LK_ERF:
    return 1.128379167f * vf_exp(-v * v);
  default:
    return zero;
  }
}

#ifdef __OPTIMIZE__
LK_INLINE
#else
static
#endif
void map_gradient(lk_unary f, vf a, vf b, const float *v, const float *dy, float *dx, bool adds,
                  size_t n) {
  size_t i = 0;
  for (; i + LK_LANES <= n; i += LK_LANES) {
    const vf d = vf_load(dy + i) * vf_derivative(f, vf_load(v + i), a, b);
    vf_store(dx + i, adds ? vf_load(dx + i) + d : d);
  }
  const int rest = (int)(n - i);
  if (rest == 0) return;
  const vf d = vf_load_first(dy + i, rest) * vf_derivative(f, vf_load_first(v + i, rest), a, b);
  vf_store_first(dx + i, adds ? vf_load_first(dx + i, rest) + d : d, rest);
}

static void LK_NAME(unary_gradient)(lk_unary f, float a, float b, const float *v, const float *dy,
                                    float *dx, bool adds, size_t n) {
  const vf va = vf_set(a), vb = vf_set(b);
  switch (f) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    map_gradient(name, va, vb, v, dy, dx, adds, n);                                                \
    break;
    LK_CASE(LK_RELU)
    LK_CASE(LK_CLIP)
    LK_CASE(LK_LEAKY_RELU)
    LK_CASE(LK_ELU)
    LK_CASE(LK_CELU)
    LK_CASE(LK_SELU)
    LK_CASE(LK_SIGMOID)
    LK_CASE(LK_TANH)
    LK_CASE(LK_SCALED_TANH)
    LK_CASE(LK_SOFTPLUS)
    LK_CASE(LK_SOFTSIGN)
    LK_CASE(LK_HARD_SIGMOID)
    LK_CASE(LK_HARD_SWISH)
    LK_CASE(LK_MISH)
    LK_CASE(LK_GELU)
    LK_CASE(LK_GELU_TANH)
    LK_CASE(LK_SWISH)
    LK_CASE(LK_THRESHOLDED_RELU)
    LK_CASE(LK_SHRINK)
    LK_CASE(LK_SCALE)
    LK_CASE(LK_EXP)
    LK_CASE(LK_LOG)
    LK_CASE(LK_SQRT)
    LK_CASE(LK_SQUARE)
    LK_CASE(LK_RECIPROCAL)
    LK_CASE(LK_ABS)
    LK_CASE(LK_NEG)
    LK_CASE(LK_ERF)
#undef LK_CASE
  default:
    map_gradient(LK_FLOOR, va, vb, v, dy, dx, adds, n);
    break;
  }
}

/// ∂f by operand 0 or 1.
LK_INLINE vf vf_partial(lk_binary f, int operand, vf a, vf b) {
  const vf zero = vf_set(0), half = vf_set(0.5f), one = vf_set(1);
  switch (f) {
  case LK_SUB:
    return operand ? -one : one;
  case LK_MUL:
    return operand ? a : b;
  case LK_DIV:
    return operand ? -a / (b * b) : 1 / b;
  case LK_MAX:
    return vf_select(a == b, half, vf_select(operand ? b > a : a > b, one, zero));
  case LK_MIN:
    return vf_select(a == b, half, vf_select(operand ? b < a : a < b, one, zero));
  case LK_PRELU:
    return operand ? vf_select(a < 0, a, zero) : vf_select(a < 0, b, one);
  default:
    return one;
  }
}

LK_INLINE void map_partial(lk_binary f, int operand, const float *a, size_t a_stride,
                           const float *b, size_t b_stride, const float *dy, float *d, bool adds,
                           size_t n) {
  const vf a0 = vf_set(*a), b0 = vf_set(*b);
  size_t i = 0;
  for (; i + LK_LANES <= n; i += LK_LANES) {
    const vf va = a_stride ? vf_load(a + i) : a0, vb = b_stride ? vf_load(b + i) : b0;
    const vf g = vf_load(dy + i) * vf_partial(f, operand, va, vb);
    vf_store(d + i, adds ? vf_load(d + i) + g : g);
  }
  const int rest = (int)(n - i);
  if (rest == 0) return;
  const vf va = a_stride ? vf_load_first(a + i, rest) : a0;
  const vf vb = b_stride ? vf_load_first(b + i, rest) : b0;
  const vf g = vf_load_first(dy + i, rest) * vf_partial(f, operand, va, vb);
  vf_store_first(d + i, adds ? vf_load_first(d + i, rest) + g : g, rest);
}

static void LK_NAME(binary_gradient)(lk_binary f, int operand, const float *a, size_t a_stride,
                                     const float *b, size_t b_stride, const float *dy, float *d,
                                     bool adds, size_t n) {
  if (n == 0) return;
  switch (f) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    if (operand)                                                                                   \
      map_partial(name, 1, a, a_stride, b, b_stride, dy, d, adds, n);                              \
    else                                                                                           \
      map_partial(name, 0, a, a_stride, b, b_stride, dy, d, adds, n);                              \
    break;
    LK_CASE(LK_ADD)
    LK_CASE(LK_SUB)
    LK_CASE(LK_MUL)
    LK_CASE(LK_DIV)
    LK_CASE(LK_MAX)
    LK_CASE(LK_MIN)
    LK_CASE(LK_PRELU)
#undef LK_CASE
  default:
    break;
  }
}

/// Words of 64 bits.
typedef uint64_t vw __attribute__((vector_size(LK_VECTOR_BYTES), aligned(8), may_alias));

/// CounterRandom's words of the indices whose products with its factor are `products`.
LK_INLINE vw vw_random(vw products, uint64_t key) {
  vw z = (products ^ key) + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

static void LK_NAME(dropout)(const lk_dropout *dropout, uint64_t first, uint64_t vector_step,
                             uint64_t lane_step, const float *x, float *y, bool adds,
                             size_t vectors, int rest) {
  const uint64_t factor = 0xD1342543DE82EF95, key = dropout->key;
  const vf scale = vf_set(dropout->scale), zero = vf_set(0);
  const vi threshold = (vi){0} + (int32_t)dropout->threshold;
  // Of the even lanes and of the odd ones.
  vw even, odd;
  for (int l = 0; l < LK_LANES / 2; l++) {
    even[l] = (first + (uint64_t)(2 * l) * lane_step) * factor;
    odd[l] = even[l] + lane_step * factor;
  }
  for (size_t v = 0; v < vectors + (rest > 0); v++) {
    const vw low = vw_random(even, key) >> 40;
    const vw high = vw_random(odd, key) >> 40 << 32;
    const vi is_kept = (vi)(low | high) >= threshold;
    even += vector_step * factor;
    odd += vector_step * factor;
    const float *from = x + v * LK_LANES;
    float *to = y + v * LK_LANES;
    if (v < vectors) {
      const vf kept = vf_select(is_kept, vf_load(from) * scale, zero);
      vf_store(to, adds ? vf_load(to) + kept : kept);
    } else {
      const vf kept = vf_select(is_kept, vf_load_first(from, rest) * scale, zero);
      vf_store_first(to, adds ? vf_load_first(to, rest) + kept : kept, rest);
    }
  }
}

const lk_elementwise_variant LK_NAME(lk_elementwise) = {
    .unary = LK_NAME(unary),
    .binary = LK_NAME(binary),
    .unary_gradient = LK_NAME(unary_gradient),
    .binary_gradient = LK_NAME(binary_gradient),
    .dropout = LK_NAME(dropout),
    .lanes = LK_LANES,
};
