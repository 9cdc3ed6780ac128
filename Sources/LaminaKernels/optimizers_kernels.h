#include "optimizers.h"
#include "vector_math.h"

/// Lanes of the vector at i of n elements.
LK_INLINE int lanes_at(size_t i, size_t n) { return n - i < LK_LANES ? (int)(n - i) : LK_LANES; }
LK_INLINE vf load(const float *p, int lanes) {
  return lanes == LK_LANES ? vf_load(p) : vf_load_first(p, lanes);
}
LK_INLINE void store(float *p, vf v, int lanes) {
  if (lanes == LK_LANES)
    vf_store(p, v);
  else
    vf_store_first(p, v, lanes);
}

LK_INLINE vf decayed(const lk_decay *decay, vf w, vf g) {
  const vf bound = vf_set(decay->bound);
  return vf_fma(vf_set(decay->decay), w, vf_min(vf_max(g * decay->scale, -bound), bound));
}

static void LK_NAME(momentum)(const lk_decay *decay, const lk_momentum *rule, float *w,
                              const float *g, float *velocity, size_t n) {
  const vf momentum = vf_set(rule->momentum), b = vf_set(rule->b);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf x = load(w + i, lanes), step = decayed(decay, x, load(g + i, lanes)) * rule->a;
    vf v = step;
    if (velocity) {
      v = vf_fma(momentum, load(velocity + i, lanes), step);
      store(velocity + i, v, lanes);
      if (rule->nesterov) v = vf_fma(momentum, v, step);
    }
    store(w + i, vf_fma(b, v, x * decay->keep), lanes);
  }
}

static void LK_NAME(rmsprop)(const lk_decay *decay, const lk_rmsprop *rule, float *w,
                             const float *g, float *square, float *mean, float *buffer, size_t n) {
  const vf rho = vf_set(rule->rho), rest = vf_set(rule->rest), b = vf_set(rule->b);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf x = load(w + i, lanes), d = decayed(decay, x, load(g + i, lanes));
    vf q = vf_fma(rho, load(square + i, lanes), rest * d * d);
    store(square + i, q, lanes);
    if (mean) {
      const vf m = vf_fma(rho, load(mean + i, lanes), rest * d);
      store(mean + i, m, lanes);
      q = q - m * m;
    }
    vf u = d * rule->a / (vf_sqrt(q + rule->inner) + rule->outer);
    if (buffer) {
      u = vf_fma(vf_set(rule->momentum), load(buffer + i, lanes), u);
      store(buffer + i, u, lanes);
    }
    store(w + i, vf_fma(b, u, x * decay->keep), lanes);
  }
}

static void LK_NAME(adam)(const lk_decay *decay, const lk_adam *rule, float *w, const float *g,
                          float *mean, float *square, size_t n) {
  const vf beta1 = vf_set(rule->beta1), rest1 = vf_set(rule->rest1);
  const vf beta2 = vf_set(rule->beta2), rest2 = vf_set(rule->rest2);
  const vf of_gradient = vf_set(rule->of_gradient);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf x = load(w + i, lanes), d = decayed(decay, x, load(g + i, lanes));
    const vf m = vf_fma(beta1, load(mean + i, lanes), rest1 * d);
    const vf s = vf_fma(beta2, load(square + i, lanes), rest2 * d * d);
    store(mean + i, m, lanes);
    store(square + i, s, lanes);
    const vf step = vf_fma(of_gradient, d, m * rule->of_mean);
    store(w + i, x * decay->keep - step / (vf_sqrt(s) * rule->root + rule->epsilon), lanes);
  }
}

static void LK_NAME(moving_average)(float keep, const float *x, float *average, size_t n) {
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf old = load(average + i, lanes), new = load(x + i, lanes);
    store(average + i, vf_fma(vf_set(1 - keep), new - old, old), lanes);
  }
}

static double LK_NAME(square_sum)(const float *x, size_t n) {
  typedef double vd __attribute__((vector_size(2 * LK_VECTOR_BYTES), aligned(8)));
  vd sum = {0};
  for (size_t i = 0; i < n; i += LK_LANES) {
    const vd v = __builtin_convertvector(load(x + i, lanes_at(i, n)), vd);
    sum += v * v;
  }
  double total = 0;
  for (int lane = 0; lane < LK_LANES; lane++) total += sum[lane];
  return total;
}

const lk_optimizers_variant LK_NAME(lk_optimizers) = {LK_NAME(momentum), LK_NAME(rmsprop),
                                                      LK_NAME(adam), LK_NAME(moving_average),
                                                      LK_NAME(square_sum)};
