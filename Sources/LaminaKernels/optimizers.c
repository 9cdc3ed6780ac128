#include "optimizers.h"
#include "sizes.h"

static const lk_optimizers_variant *variant(void) {
  switch (lk_active_isa()) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_optimizers_avx512;
  case LK_ISA_AVX2:
    return &lk_optimizers_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_optimizers_neon;
#endif
  default:
    return &lk_optimizers_scalar;
  }
}

/// Elements per task: fixed, so that results do not depend on the number of threads.
enum { CHUNK = 32768 };

typedef struct step_call {
  const lk_optimizers_variant *variant;
  const lk_decay *decay;
  const void *rule;
  float *w;
  const float *g;
  float *state[3];
  size_t count;
} step_call;

static size_t chunk_length(const step_call *call, size_t start) {
  return call->count - start < CHUNK ? call->count - start : CHUNK;
}

static float *state_at(const step_call *call, int index, size_t start) {
  return call->state[index] ? call->state[index] + start : NULL;
}

static void run(lk_pool *pool, step_call *call, lk_task task) {
  const uint64_t mode = lk_flush_denormals_begin();
  lk_parallel_for(pool, lk_ceil_div(call->count, CHUNK), task, call);
  lk_flush_denormals_end(mode);
}

static void momentum_task(void *context, size_t index) {
  const step_call *call = context;
  const size_t start = index * CHUNK;
  call->variant->momentum(call->decay, call->rule, call->w + start, call->g + start,
                          state_at(call, 0, start), chunk_length(call, start));
}

void lk_f32_momentum_step(lk_pool *pool, const lk_decay *decay, const lk_momentum *rule, float *w,
                          const float *g, float *velocity, size_t count) {
  step_call call = {variant(), decay, rule, w, g, {velocity}, count};
  run(pool, &call, momentum_task);
}

static void rmsprop_task(void *context, size_t index) {
  const step_call *call = context;
  const size_t start = index * CHUNK;
  call->variant->rmsprop(call->decay, call->rule, call->w + start, call->g + start,
                         state_at(call, 0, start), state_at(call, 1, start),
                         state_at(call, 2, start), chunk_length(call, start));
}

void lk_f32_rmsprop_step(lk_pool *pool, const lk_decay *decay, const lk_rmsprop *rule, float *w,
                         const float *g, float *square, float *mean, float *buffer, size_t count) {
  step_call call = {variant(), decay, rule, w, g, {square, mean, buffer}, count};
  run(pool, &call, rmsprop_task);
}

static void adam_task(void *context, size_t index) {
  const step_call *call = context;
  const size_t start = index * CHUNK;
  call->variant->adam(call->decay, call->rule, call->w + start, call->g + start,
                      state_at(call, 0, start), state_at(call, 1, start),
                      chunk_length(call, start));
}

void lk_f32_adam_step(lk_pool *pool, const lk_decay *decay, const lk_adam *rule, float *w,
                      const float *g, float *mean, float *square, size_t count) {
  step_call call = {variant(), decay, rule, w, g, {mean, square}, count};
  run(pool, &call, adam_task);
}

static void average_task(void *context, size_t index) {
  const step_call *call = context;
  const size_t start = index * CHUNK;
  call->variant->moving_average(*(const float *)call->rule, call->g + start, call->w + start,
                                chunk_length(call, start));
}

void lk_f32_moving_average(lk_pool *pool, float keep, const float *x, float *average,
                           size_t count) {
  step_call call = {variant(), NULL, &keep, average, x, {NULL}, count};
  run(pool, &call, average_task);
}

// ------------------------------------------------------------------------------------------------
// Sums

/// Partial sums: task t adds up the chunks t, t + PARTS, …
enum { PARTS = 64 };

typedef struct sum_call {
  const lk_optimizers_variant *variant;
  const float *x;
  size_t count;
  double parts[PARTS];
} sum_call;

static void sum_task(void *context, size_t part) {
  sum_call *call = context;
  for (size_t start = part * CHUNK; start < call->count; start += (size_t)PARTS * CHUNK) {
    const size_t rest = call->count - start;
    call->parts[part] += call->variant->square_sum(call->x + start, rest < CHUNK ? rest : CHUNK);
  }
}

double lk_f32_square_sum(lk_pool *pool, const float *x, size_t count) {
  sum_call call = {variant(), x, count, {0}};
  const size_t chunks = lk_ceil_div(count, CHUNK);
  lk_parallel_for(pool, chunks < PARTS ? chunks : PARTS, sum_task, &call);
  double total = 0;
  for (int part = 0; part < PARTS; part++) total += call.parts[part];
  return total;
}
