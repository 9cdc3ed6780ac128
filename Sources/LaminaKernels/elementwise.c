#include "elementwise.h"

#include <math.h>

static const lk_elementwise_variant *variant(void) {
  switch (lk_active_isa()) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_elementwise_avx512;
  case LK_ISA_AVX2:
    return &lk_elementwise_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_elementwise_neon;
#endif
  default:
    return &lk_elementwise_scalar;
  }
}

/// Elements per task: fixed, so that results do not depend on the number of threads.
enum { CHUNK = 32768 };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// ------------------------------------------------------------------------------------------------
// Unary

typedef struct unary_call {
  const lk_elementwise_variant *variant;
  float (*scalar)(float);
  lk_unary f;
  float a, b;
  const float *x;
  float *y;
  size_t count;
} unary_call;

static void unary_task(void *context, size_t index) {
  const unary_call *call = context;
  const size_t start = index * CHUNK, n = smaller(CHUNK, call->count - start);
  const float *x = call->x + start;
  float *y = call->y + start;
  if (call->scalar)
    for (size_t i = 0; i < n; i++) y[i] = call->scalar(x[i]);
  else
    call->variant->unary(call->f, call->a, call->b, x, y, n);
}

static float (*const library[])(float) = {sinf,  cosf,  tanf,   asinf,  acosf, atanf,
                                          sinhf, coshf, asinhf, acoshf, atanhf};

void lk_f32_unary(lk_pool *pool, lk_unary f, float a, float b, const float *x, float *y,
                  size_t count) {
  unary_call call = {variant(), f >= LK_SIN ? library[f - LK_SIN] : NULL, f, a, b, x, y, count};
  lk_parallel_for(pool, (count + CHUNK - 1) / CHUNK, unary_task, &call);
}

// ------------------------------------------------------------------------------------------------
// Binary

typedef struct binary_call {
  const lk_elementwise_variant *variant;
  float (*scalar)(float, float);
  lk_binary f;
  const lk_broadcast *shape;
  const float *a, *b;
  float *y;
  size_t rows, inner, rows_per_task, pieces;
} binary_call;

/// Where the operands of a row start; `index` counts the row along the outer axes.
typedef struct row_position {
  size_t index[8], a, b;
} row_position;

static row_position position_of(const lk_broadcast *shape, size_t row) {
  row_position at = {0};
  for (int axis = shape->rank - 2; axis >= 0; axis--) {
    at.index[axis] = row % shape->extents[axis];
    row /= shape->extents[axis];
    at.a += at.index[axis] * shape->a_strides[axis];
    at.b += at.index[axis] * shape->b_strides[axis];
  }
  return at;
}

static void next_row(const lk_broadcast *shape, row_position *at) {
  for (int axis = shape->rank - 2; axis >= 0; axis--) {
    at->a += shape->a_strides[axis];
    at->b += shape->b_strides[axis];
    if (++at->index[axis] < shape->extents[axis]) return;
    at->a -= shape->extents[axis] * shape->a_strides[axis];
    at->b -= shape->extents[axis] * shape->b_strides[axis];
    at->index[axis] = 0;
  }
}

static void binary_task(void *context, size_t task) {
  const binary_call *call = context;
  const lk_broadcast *shape = call->shape;
  const size_t a_stride = shape->a_strides[shape->rank - 1];
  const size_t b_stride = shape->b_strides[shape->rank - 1];
  const size_t start = task % call->pieces * CHUNK;
  const size_t n = smaller(CHUNK, call->inner - start);
  const size_t first = task / call->pieces * call->rows_per_task;
  const size_t end = smaller(first + call->rows_per_task, call->rows);
  row_position at = position_of(shape, first);
  for (size_t row = first; row < end; row++, next_row(shape, &at)) {
    const float *a = call->a + at.a + start * a_stride, *b = call->b + at.b + start * b_stride;
    float *y = call->y + row * call->inner + start;
    if (call->scalar)
      for (size_t i = 0; i < n; i++) y[i] = call->scalar(a[i * a_stride], b[i * b_stride]);
    else
      call->variant->binary(call->f, a, a_stride, b, b_stride, y, n);
  }
}

void lk_f32_binary(lk_pool *pool, lk_binary f, const lk_broadcast *shape, const float *a,
                   const float *b, float *y) {
  size_t rows = 1;
  for (int axis = 0; axis < shape->rank - 1; axis++) rows *= shape->extents[axis];
  const size_t inner = shape->extents[shape->rank - 1];
  if (rows == 0 || inner == 0) return;
  const size_t pieces = (inner + CHUNK - 1) / CHUNK;
  const size_t rows_per_task = inner < CHUNK ? CHUNK / inner : 1;
  float (*scalar)(float, float) = f == LK_POW ? powf : f == LK_FMOD ? fmodf : NULL;
  binary_call call = {variant(), scalar, f, shape, a, b, y, rows, inner, rows_per_task, pieces};
  lk_parallel_for(pool, (rows + rows_per_task - 1) / rows_per_task * pieces, binary_task, &call);
}
