#include "lamina_kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[LK_ISA_COUNT] = {"scalar", "neon", "avx2", "avx512"};

const char *lk_isa_name(lk_isa isa) {
  return (unsigned)isa < LK_ISA_COUNT ? names[isa] : "unknown";
}

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned detect(void) {
  unsigned a, b, c, d, available = 1u << LK_ISA_SCALAR;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return available;
  const bool xsave = c & bit_OSXSAVE, fma = c & bit_FMA, f16c = c & bit_F16C, avx = c & bit_AVX;
  if (!xsave || !avx) return available;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return available;
  const bool ymm = (low & 0x06) == 0x06, zmm = (low & 0xe6) == 0xe6;
  if (!(ymm && fma && f16c && (b & bit_AVX2))) return available;
  available |= 1u << LK_ISA_AVX2;
  const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  if (zmm && (b & avx512) == avx512) available |= 1u << LK_ISA_AVX512;
  return available;
}
#elif defined(__aarch64__)
static unsigned detect(void) { return 1u << LK_ISA_SCALAR | 1u << LK_ISA_NEON; }
#else
static unsigned detect(void) { return 1u << LK_ISA_SCALAR; }
#endif

static unsigned available_set(void) {
  static _Atomic unsigned cached;
  unsigned set = atomic_load_explicit(&cached, memory_order_relaxed);
  if (set == 0) {
    set = detect();
    atomic_store_explicit(&cached, set, memory_order_relaxed);
  }
  return set;
}

bool lk_isa_available(lk_isa isa) {
  return (unsigned)isa < LK_ISA_COUNT && (available_set() >> isa & 1);
}

static lk_isa choose_default(void) {
  const char *wanted = getenv("LAMINA_ISA");
  for (int isa = 0; wanted && isa < LK_ISA_COUNT; isa++)
    if (strcmp(wanted, names[isa]) == 0 && lk_isa_available((lk_isa)isa)) return (lk_isa)isa;
  int best = LK_ISA_COUNT - 1;
  while (!lk_isa_available((lk_isa)best)) best--;
  return (lk_isa)best;
}

static _Thread_local int thread_isa_plus_1;

lk_isa lk_active_isa(void) {
  if (thread_isa_plus_1) return (lk_isa)(thread_isa_plus_1 - 1);
  static _Atomic int cached_plus_1;
  int isa = atomic_load_explicit(&cached_plus_1, memory_order_relaxed);
  if (isa == 0) {
    isa = (int)choose_default() + 1;
    atomic_store_explicit(&cached_plus_1, isa, memory_order_relaxed);
  }
  return (lk_isa)(isa - 1);
}

int lk_thread_isa(void) { return thread_isa_plus_1 - 1; }

void lk_set_thread_isa(int isa_or_minus_1) {
  if (isa_or_minus_1 < 0)
    thread_isa_plus_1 = 0;
  else if (lk_isa_available((lk_isa)isa_or_minus_1))
    thread_isa_plus_1 = isa_or_minus_1 + 1;
}
