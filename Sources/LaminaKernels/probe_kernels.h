#include "probe.h"

// Accumulators enough to hide the latency of two units each, in as many registers as there are.
#if defined(__x86_64__) && !defined(LK_TARGET_AVX512)
enum { FMAS = 8, ADDS = 6, FMAS_ALONE = 12 };
#else
enum { FMAS = 12, ADDS = 12, FMAS_ALONE = 24 };
#endif

LK_INLINE double multiply_and_add(size_t count, int fmas, int adds) {
  vf product[FMAS_ALONE], sum[ADDS];
  volatile float start = 1e-3f, factor = 0.999f;
  const vf x = vf_set(start), y = vf_set(factor);
  LK_UNROLL for (int i = 0; i < fmas; i++) product[i] = x;
  LK_UNROLL for (int i = 0; i < adds; i++) sum[i] = x;
  for (size_t n = 0; n < count; n++) {
    LK_UNROLL for (int i = 0; i < fmas; i++) {
      product[i] = vf_fma(product[i], y, x);
      if (i < adds) sum[i] = sum[i] + x;
    }
  }
  vf total = vf_set(0);
  LK_UNROLL for (int i = 0; i < fmas; i++) total += product[i];
  LK_UNROLL for (int i = 0; i < adds; i++) total += sum[i];
  volatile float keep = vf_sum(total);
  (void)keep;
  return (double)count * (2 * fmas + adds) * LK_LANES;
}

static double fma_alone(size_t count) { return multiply_and_add(count, FMAS_ALONE, 0); }
static double fma_add(size_t count) { return multiply_and_add(count, FMAS, ADDS); }

static float read_all(const float *from, size_t count) {
  enum { SUMS = 8 };
  vf sum[SUMS];
  LK_UNROLL for (int i = 0; i < SUMS; i++) sum[i] = vf_set(0);
  for (size_t n = 0; n < count; n += SUMS * LK_LANES)
    LK_UNROLL for (int i = 0; i < SUMS; i++) sum[i] += vf_load(from + n + i * LK_LANES);
  vf total = vf_set(0);
  LK_UNROLL for (int i = 0; i < SUMS; i++) total += sum[i];
  return vf_sum(total);
}

const lk_probe_variant LK_NAME(lk_probe) = {.fma = fma_alone, .fma_add = fma_add, .read = read_all};
