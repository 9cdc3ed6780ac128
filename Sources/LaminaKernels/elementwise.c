#include "elementwise.h"
#include "sizes.h"

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
  const size_t start = index * CHUNK, n = lk_least(CHUNK, call->count - start);
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
  lk_parallel_for(pool, lk_ceil_div(count, CHUNK), unary_task, &call);
}

typedef struct unary_gradient_call {
  const lk_elementwise_variant *variant;
  float (*derivative)(float);
  lk_unary f;
  float a, b;
  const float *v, *dy;
  float *dx;
  bool adds;
  size_t count;
} unary_gradient_call;

static void unary_gradient_task(void *context, size_t index) {
  const unary_gradient_call *call = context;
  const size_t start = index * CHUNK, n = lk_least(CHUNK, call->count - start);
  const float *v = call->v + start, *dy = call->dy + start;
  float *dx = call->dx + start;
  if (call->derivative)
    for (size_t i = 0; i < n; i++)
      dx[i] = (call->adds ? dx[i] : 0) + dy[i] * call->derivative(v[i]);
  else
    call->variant->unary_gradient(call->f, call->a, call->b, v, dy, dx, call->adds, n);
}

static float minus_sine(float x) { return -sinf(x); }
static float tangent_derivative(float x) { return 1 + tanf(x) * tanf(x); }
static float arcsine_derivative(float x) { return 1 / sqrtf((1 - x) * (1 + x)); }
static float arccosine_derivative(float x) { return -1 / sqrtf((1 - x) * (1 + x)); }
static float arctangent_derivative(float x) { return 1 / (1 + x * x); }
static float area_sine_derivative(float x) { return 1 / sqrtf(x * x + 1); }
static float area_cosine_derivative(float x) { return 1 / sqrtf((x - 1) * (x + 1)); }
static float area_tangent_derivative(float x) { return 1 / ((1 - x) * (1 + x)); }

static float (*const library_derivatives[])(float) = {cosf,
                                                      minus_sine,
                                                      tangent_derivative,
                                                      arcsine_derivative,
                                                      arccosine_derivative,
                                                      arctangent_derivative,
                                                      coshf,
                                                      sinhf,
                                                      area_sine_derivative,
                                                      area_cosine_derivative,
                                                      area_tangent_derivative};

void lk_f32_unary_gradient(lk_pool *pool, lk_unary f, float a, float b, const float *v,
                           const float *dy, float *dx, bool adds, size_t count) {
  unary_gradient_call call = {
      variant(), f >= LK_SIN ? library_derivatives[f - LK_SIN] : NULL, f, a, b, v, dy, dx, adds,
      count};
  lk_parallel_for(pool, lk_ceil_div(count, CHUNK), unary_gradient_task, &call);
}

bool lk_unary_gradient_reads_output(lk_unary f) {
  return f == LK_RELU || f == LK_CLIP || f == LK_SIGMOID || f == LK_TANH;
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
  int operand;
  const float *dy;
  bool adds;
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

/// ∂(aᵇ); 0 by b where a is 0.
static float power_derivative(int operand, float a, float b) {
  if (operand == 0) return b == 0 ? 0 : b * powf(a, b - 1);
  return a == 0 ? 0 : powf(a, b) * logf(a);
}

static void gradient_row(const binary_call *call, const float *a, size_t a_stride, const float *b,
                         size_t b_stride, size_t start, size_t n) {
  const float *dy = call->dy + start;
  float *d = call->y + start;
  if (call->f == LK_POW)
    for (size_t i = 0; i < n; i++)
      d[i] = (call->adds ? d[i] : 0) +
             dy[i] * power_derivative(call->operand, a[i * a_stride], b[i * b_stride]);
  else
    call->variant->binary_gradient(call->f, call->operand, a, a_stride, b, b_stride, dy, d,
                                   call->adds, n);
}

static void binary_task(void *context, size_t task) {
  const binary_call *call = context;
  const lk_broadcast *shape = call->shape;
  const size_t a_stride = shape->a_strides[shape->rank - 1];
  const size_t b_stride = shape->b_strides[shape->rank - 1];
  const size_t start = task % call->pieces * CHUNK;
  const size_t n = lk_least(CHUNK, call->inner - start);
  const size_t first = task / call->pieces * call->rows_per_task;
  const size_t end = lk_least(first + call->rows_per_task, call->rows);
  row_position at = position_of(shape, first);
  for (size_t row = first; row < end; row++, next_row(shape, &at)) {
    const float *a = call->a + at.a + start * a_stride, *b = call->b + at.b + start * b_stride;
    float *y = call->y + row * call->inner + start;
    if (call->dy)
      gradient_row(call, a, a_stride, b, b_stride, row * call->inner + start, n);
    else if (call->scalar)
      for (size_t i = 0; i < n; i++) y[i] = call->scalar(a[i * a_stride], b[i * b_stride]);
    else
      call->variant->binary(call->f, a, a_stride, b, b_stride, y, n);
  }
}

static void run_binary(lk_pool *pool, binary_call *call) {
  const lk_broadcast *shape = call->shape;
  size_t rows = 1;
  for (int axis = 0; axis < shape->rank - 1; axis++) rows *= shape->extents[axis];
  const size_t inner = shape->extents[shape->rank - 1];
  if (rows == 0 || inner == 0) return;
  call->variant = variant();
  call->rows = rows;
  call->inner = inner;
  call->pieces = lk_ceil_div(inner, CHUNK);
  call->rows_per_task = inner < CHUNK ? CHUNK / inner : 1;
  const size_t tasks = lk_ceil_div(rows, call->rows_per_task) * call->pieces;
  lk_parallel_for(pool, tasks, binary_task, call);
}

void lk_f32_binary(lk_pool *pool, lk_binary f, const lk_broadcast *shape, const float *a,
                   const float *b, float *y) {
  float (*scalar)(float, float) = f == LK_POW ? powf : f == LK_FMOD ? fmodf : NULL;
  binary_call call = {.scalar = scalar, .f = f, .shape = shape, .a = a, .b = b, .y = y};
  run_binary(pool, &call);
}

void lk_f32_binary_gradient(lk_pool *pool, lk_binary f, int operand, const lk_broadcast *shape,
                            const float *a, const float *b, const float *dy, float *d, bool adds) {
  binary_call call = {
      .f = f, .shape = shape, .a = a, .b = b, .y = d, .operand = operand, .dy = dy, .adds = adds};
  run_binary(pool, &call);
}

// ------------------------------------------------------------------------------------------------
// Dropout

typedef struct dropout_call {
  const lk_elementwise_variant *variant;
  const lk_dropout *dropout;
  size_t batch, channels, height, width, halo;
  const float *x;
  float *y;
  bool adds;
  size_t count;
} dropout_call;

static void dropout_task(void *context, size_t index) {
  const dropout_call *call = context;
  const size_t start = index * CHUNK, n = lk_least(CHUNK, call->count - start);
  const size_t lanes = call->variant->lanes;
  call->variant->dropout(call->dropout, start, lanes, 1, call->x + start, call->y + start,
                         call->adds, n / lanes, (int)(n % lanes));
}

void lk_f32_dropout(lk_pool *pool, const lk_dropout *dropout, const float *x, float *y, bool adds,
                    size_t count) {
  dropout_call call = {
      .variant = variant(), .dropout = dropout, .x = x, .y = y, .adds = adds, .count = count};
  lk_parallel_for(pool, lk_ceil_div(count, CHUNK), dropout_task, &call);
}

static void dropout_map_task(void *context, size_t map) {
  const dropout_call *call = context;
  const size_t lanes = call->variant->lanes, plane = call->height * call->width;
  const size_t rows = call->height + 2 * call->halo, columns = call->width + 2 * call->halo;
  const size_t block = map / call->batch, image = map % call->batch;
  // Pixels of the halo are zeros, whatever their index, and missing channels too.
  size_t first = (image * call->channels + block * lanes) * plane - call->halo * call->width;
  for (size_t y = 0; y < rows; y++, first += call->width) {
    const size_t at = (map * rows + y) * columns * lanes;
    call->variant->dropout(call->dropout, first - call->halo, 1, plane, call->x + at, call->y + at,
                           call->adds, columns, 0);
  }
}

void lk_f32_dropout_maps(lk_pool *pool, const lk_dropout *dropout, size_t batch, size_t channels,
                         size_t height, size_t width, size_t halo, const float *x, float *y,
                         bool adds) {
  dropout_call call = {.variant = variant(),
                       .dropout = dropout,
                       .batch = batch,
                       .channels = channels,
                       .height = height,
                       .width = width,
                       .halo = halo,
                       .x = x,
                       .y = y,
                       .adds = adds};
  lk_parallel_for(pool, lk_ceil_div(channels, call.variant->lanes) * batch, dropout_map_task,
                  &call);
}
