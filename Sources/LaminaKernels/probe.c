#define _GNU_SOURCE
#include "probe.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static const lk_probe_variant *variant(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_probe_avx512;
  case LK_ISA_AVX2:
    return &lk_probe_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_probe_neon;
#endif
  default:
    return &lk_probe_scalar;
  }
}

typedef struct measurement {
  const lk_probe_variant *kernels;
  double (*arithmetic)(size_t count);
  size_t count;
  const float *memory;
  size_t floats, passes;
  double work_per_thread;
} measurement;

/// The most work a second of some loops in which every thread has one index.
static double best_rate(lk_pool *pool, lk_task task, measurement *what, int repeats) {
  const int threads = lk_pool_thread_count(pool);
  double best = 0;
  for (int i = 0; i < repeats; i++) {
    const double start = seconds();
    lk_parallel_for(pool, (size_t)threads, task, what);
    const double rate = what->work_per_thread * threads / (seconds() - start);
    if (rate > best) best = rate;
  }
  return best;
}

static void calculate(void *context, size_t index) {
  const measurement *what = context;
  (void)index;
  what->arithmetic(what->count);
}

static double arithmetic_rate(lk_pool *pool, double (*arithmetic)(size_t)) {
  measurement what = {.arithmetic = arithmetic, .count = 1000};
  double start, elapsed;
  do {
    what.count *= 2;
    start = seconds();
    what.work_per_thread = arithmetic(what.count);
    elapsed = seconds() - start;
  } while (elapsed < 1e-3);
  return best_rate(pool, calculate, &what, 30) * 1e-9;
}

double lk_probe_fma_gflops(lk_pool *pool, lk_isa isa) {
  return lk_isa_available(isa) ? arithmetic_rate(pool, variant(isa)->fma) : 0;
}

double lk_probe_fma_add_gflops(lk_pool *pool, lk_isa isa) {
  return lk_isa_available(isa) ? arithmetic_rate(pool, variant(isa)->fma_add) : 0;
}

static void read_memory(void *context, size_t index) {
  const measurement *what = context;
  volatile float keep;
  for (size_t i = 0; i < what->passes; i++)
    keep = what->kernels->read(what->memory + index * what->floats, what->floats);
  (void)keep;
}

double lk_probe_read_gbps(lk_pool *pool, lk_isa isa, size_t bytes) {
  enum { STEP = 256 * sizeof(float), HUGE_PAGE = 1 << 21, READ = 1 << 28 };
  if (!lk_isa_available(isa) || bytes > SIZE_MAX - STEP) return 0;
  const size_t threads = (size_t)lk_pool_thread_count(pool);
  bytes = bytes / STEP * STEP + STEP;
  size_t total;
  void *memory = NULL;
  if (__builtin_mul_overflow(bytes, threads, &total) ||
      posix_memalign(&memory, HUGE_PAGE, total) != 0)
    return 0;
#if defined(MADV_HUGEPAGE)
  madvise(memory, total, MADV_HUGEPAGE);
#endif
  memset(memory, 0, total);
  measurement what = {.kernels = variant(isa),
                      .memory = memory,
                      .floats = bytes / sizeof(float),
                      .passes = bytes < READ ? READ / bytes : 1};
  what.work_per_thread = (double)bytes * (double)what.passes;
  const double rate = best_rate(pool, read_memory, &what, 8);
  free(memory);
  return rate * 1e-9;
}

static void do_nothing(void *context, size_t index) {
  (void)context;
  (void)index;
}

typedef struct meeting {
  _Atomic size_t arrived;
  size_t threads;
} meeting;

/// Waits for the others of the same loop, but not for ever: on a pool that is busy there are none.
static void meet(void *context, size_t index) {
  meeting *where = context;
  (void)index;
  const size_t before = atomic_fetch_add(&where->arrived, 1);
  const size_t end = (before / where->threads + 1) * where->threads;
  for (int i = 0; i < 1000000 && atomic_load(&where->arrived) < end; i++) {
  }
}

double lk_probe_loop_seconds(lk_pool *pool, bool together) {
  enum { LOOPS = 1000 };
  meeting where = {.threads = (size_t)lk_pool_thread_count(pool)};
  double best = 1;
  for (int i = 0; i < 20; i++) {
    const double start = seconds();
    for (int loop = 0; loop < LOOPS; loop++)
      lk_parallel_for(pool, where.threads, together ? meet : do_nothing, &where);
    const double mean = (seconds() - start) / LOOPS;
    if (mean < best) best = mean;
  }
  return best;
}

/// A line of a file that describes a cache, without its end; empty when there is none.
static void read_cache_fact(int index, const char *fact, char *line, int size) {
  char path[80];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, fact);
  *line = 0;
  FILE *file = fopen(path, "re");
  if (!file) return;
  if (!fgets(line, size, file)) *line = 0;
  line[strcspn(line, "\n")] = 0;
  fclose(file);
}

size_t lk_cache_bytes(int level) {
  for (int index = 0; index < 8; index++) {
    char line[32], unit = 0;
    unsigned long count;
    read_cache_fact(index, "level", line, sizeof line);
    if (atoi(line) != level) continue;
    read_cache_fact(index, "type", line, sizeof line);
    if (strcmp(line, "Instruction") == 0) continue;
    read_cache_fact(index, "size", line, sizeof line);
    if (sscanf(line, "%lu%c", &count, &unit) >= 1 && count > 0 && count < 1ul << 22)
      return (size_t)count << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
  }
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  const long bytes = level >= 1 && level <= 3 ? sysconf(names[level - 1]) : 0;
  return bytes > 0 ? (size_t)bytes : 0;
#else
  return 0;
#endif
}
