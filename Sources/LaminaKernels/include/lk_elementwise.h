#ifndef LK_ELEMENTWISE_H
#define LK_ELEMENTWISE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lk_threads.h"

/// Functions of one number x with up to two constants a and b. exp, log, tanh, sigmoid and erf are
/// within 2 ulp of exact evaluation, softplus and elu within 3; gelu, swish and mish within 2·10⁻⁷
/// of max(1, |x|).
typedef enum lk_unary {
  LK_RELU,             ///< max(x, 0)
  LK_CLIP,             ///< min(max(x, a), b)
  LK_LEAKY_RELU,       ///< x < 0 ? a·x : x
  LK_ELU,              ///< x < 0 ? a·(eˣ − 1) : x
  LK_CELU,             ///< max(0, x) + min(0, a·(e^(x/a) − 1))
  LK_SELU,             ///< b·(x > 0 ? x : a·(eˣ − 1))
  LK_SIGMOID,          ///< 1 / (1 + e⁻ˣ)
  LK_TANH,             ///< tanh x
  LK_SCALED_TANH,      ///< a·tanh(b·x)
  LK_SOFTPLUS,         ///< ln(1 + eˣ)
  LK_SOFTSIGN,         ///< x / (1 + |x|)
  LK_HARD_SIGMOID,     ///< max(0, min(1, a·x + b))
  LK_HARD_SWISH,       ///< x·max(0, min(1, x/6 + ½))
  LK_MISH,             ///< x·tanh(ln(1 + eˣ))
  LK_GELU,             ///< ½·x·(1 + erf(x/√2))
  LK_GELU_TANH,        ///< ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  LK_SWISH,            ///< x / (1 + e^(−a·x))
  LK_THRESHOLDED_RELU, ///< x > a ? x : 0
  LK_SHRINK,           ///< x < −b ? x + a : x > b ? x − a : 0
  LK_SCALE,            ///< a·x
  LK_EXP,
  LK_LOG,
  LK_SQRT,
  LK_SQUARE,
  LK_RECIPROCAL,
  LK_ABS,
  LK_NEG,
  LK_FLOOR,
  LK_CEIL,
  LK_ROUND, ///< halves to the even neighbour
  LK_SIGN,  ///< −1, 0 or 1
  LK_ERF,
  LK_SIN, ///< this one and those behind it: the C library's, one number at a time
  LK_COS,
  LK_TAN,
  LK_ASIN,
  LK_ACOS,
  LK_ATAN,
  LK_SINH,
  LK_COSH,
  LK_ASINH,
  LK_ACOSH,
  LK_ATANH,
} lk_unary;

/// y[i] = f(x[i]) for `count` numbers. y may be x.
void lk_f32_unary(lk_pool *pool, lk_unary f, float a, float b, const float *x, float *y,
                  size_t count);

/// Gradient by x of Σ dy·f(x): dx[i] = dy[i]·f′, or with `adds` dx[i] += dy[i]·f′. The derivative
/// of relu, clip, sigmoid and tanh is a function of y = f(x), which `v` then holds; `v` is x for
/// all others. It is 0 where relu and clip give a bound, and elsewhere that of the branch taken.
void lk_f32_unary_gradient(lk_pool *pool, lk_unary f, float a, float b, const float *v,
                           const float *dy, float *dx, bool adds, size_t count);

/// Whether lk_f32_unary_gradient takes y in place of x.
bool lk_unary_gradient_reads_output(lk_unary f);

/// Functions of two numbers. `max` and `min` are NaN when either is.
typedef enum lk_binary {
  LK_ADD,
  LK_SUB,
  LK_MUL,
  LK_DIV,
  LK_MAX,
  LK_MIN,
  LK_PRELU,    ///< a < 0 ? a·b : a
  LK_ADD_RELU, ///< max(a + b, 0); without a gradient of its own: y and that of relu tell it
  LK_POW,      ///< this one and the next: the C library's, one number at a time
  LK_FMOD,
} lk_binary;

/// The index space of an operation on two tensors: extents of the result, outermost first, and how
/// far one step along each axis goes in each operand, in elements; 0 repeats it. The last axis has
/// strides of 0 or 1.
typedef struct lk_broadcast {
  int rank;
  size_t extents[8], a_strides[8], b_strides[8];
} lk_broadcast;

/// y = f(a, b) over `shape`; y is contiguous and may be an operand of the same extents.
void lk_f32_binary(lk_pool *pool, lk_binary f, const lk_broadcast *shape, const float *a,
                   const float *b, float *y);

/// Gradient of Σ dy·f(a, b) by operand 0 (a) or 1 (b) before it is summed over repeated axes:
/// d[i] = dy[i]·∂f, or with `adds` d[i] += dy[i]·∂f, for every index i of `shape`; dy and d are
/// contiguous. Where max and min see equal numbers, each operand gets half. Not for fmod.
void lk_f32_binary_gradient(lk_pool *pool, lk_binary f, int operand, const lk_broadcast *shape,
                            const float *a, const float *b, const float *dy, float *d, bool adds);

/// x·scale for numbers whose 24 random bits are `threshold` and more, 0 for the others. Those of
/// the i-th number of a tensor are the upper bits of the i-th word of CounterRandom with this key,
/// in whatever layout the tensor lies.
typedef struct lk_dropout {
  uint64_t key;
  uint32_t threshold;
  float scale;
} lk_dropout;

/// y = dropout(x) for `count` numbers, or with `adds` y += dropout(x). y may be x.
void lk_f32_dropout(lk_pool *pool, const lk_dropout *dropout, const float *x, float *y, bool adds,
                    size_t count);

/// The same for [batch, channels, height, width] in blocks of channels, with `halo` zeros around
/// each map of both.
void lk_f32_dropout_maps(lk_pool *pool, const lk_dropout *dropout, size_t batch, size_t channels,
                         size_t height, size_t width, size_t halo, const float *x, float *y,
                         bool adds);
#endif
