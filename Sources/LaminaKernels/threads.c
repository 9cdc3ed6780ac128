#define _GNU_SOURCE
#include "lamina_kernels.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

// ------------------------------------------------------------------------------------------------
// How many threads

#if defined(__linux__)
static int affinity_count(void) {
  for (size_t cpus = 1024; cpus <= 1 << 18; cpus *= 4) {
    cpu_set_t *set = CPU_ALLOC(cpus);
    if (!set) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set);
    const int status = sched_getaffinity(0, bytes, set);
    const int count = CPU_COUNT_S(bytes, set);
    CPU_FREE(set);
    if (status == 0) return count;
  }
  return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static bool read_line(const char *path, char *line, int size) {
  FILE *file = fopen(path, "re");
  if (!file) return false;
  const bool ok = fgets(line, size, file) != NULL;
  fclose(file);
  return ok;
}

static double quota_of(const char *base, const char *group, bool v2) {
  char path[1400], line[128];
  long long quota = -1, period = 0;
  if (v2) {
    snprintf(path, sizeof path, "%s%s/cpu.max", base, group);
    if (!read_line(path, line, sizeof line)) return 0;
    if (sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
  } else {
    snprintf(path, sizeof path, "%s%s/cpu.cfs_quota_us", base, group);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &quota) != 1) return 0;
    snprintf(path, sizeof path, "%s%s/cpu.cfs_period_us", base, group);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &period) != 1) return 0;
  }
  return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

static bool lists_cpu(const char *controllers) {
  for (const char *word = controllers; word; word = strchr(word, ',')) {
    word += *word == ',';
    if (strncmp(word, "cpu", 3) == 0 && (word[3] == ',' || word[3] == 0)) return true;
  }
  return false;
}

/// The smallest CPU quota of the process's control groups and their ancestors; 0 when there is
/// none.
static double cgroup_quota(void) {
  FILE *file = fopen("/proc/self/cgroup", "re");
  if (!file) return 0;
  double smallest = 0;
  char line[1200];
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    controllers++;
    const bool v2 = *controllers == 0;
    if (!v2 && !lists_cpu(controllers)) continue;
    if (strcmp(group, "/") == 0) *group = 0;
    while (true) {
      const double quota = quota_of(v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group, v2);
      if (quota > 0 && (smallest == 0 || quota < smallest)) smallest = quota;
      char *parent = strrchr(group, '/');
      if (!parent) break;
      *parent = 0;
    }
  }
  fclose(file);
  return smallest;
}

static int current_processor(void) { return sched_getcpu(); }

/// Has the calling thread go on elsewhere, if it may; then it may run where it could before.
static void leave_processor(int processor) {
  cpu_set_t before, others;
  if (processor < 0 || processor >= CPU_SETSIZE) return;
  if (sched_getaffinity(0, sizeof before, &before) != 0) return;
  others = before;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof before, &before);
}
#else
static int affinity_count(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
static double cgroup_quota(void) { return 0; }
static int current_processor(void) { return -1; }
static void leave_processor(int processor) { (void)processor; }
#endif

int lk_default_thread_count(void) {
  int count = affinity_count();
  const double quota = cgroup_quota();
  if (quota > 0 && quota < count) {
    count = (int)quota;
    count += count < quota;
  }
  return count < 1 ? 1 : count;
}

// ------------------------------------------------------------------------------------------------
// The pool
//
// `gate` holds the number of the loop (upper half), whether workers may still join it (OPEN) and
// how many are inside (lower bits). The caller opens the gate, works, closes it, and waits only for
// the workers inside, so a worker that is asleep never delays a loop.

enum { OPEN = 1 << 16, INSIDE = OPEN - 1, SPIN_NANOSECONDS = 100000, LEAVE_NANOSECONDS = 1000000 };

struct lk_pool {
  _Alignas(64) _Atomic uint64_t gate;
  _Alignas(64) _Atomic size_t next;
  _Alignas(64) lk_task task;
  void *context;
  size_t count;
  int isa;
  _Atomic int processor;
  _Alignas(64) _Atomic int busy;
  _Atomic int sleepers;
  _Atomic bool stop;
  bool spins;
  int worker_count;
  unsigned process;
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
  pthread_t workers[];
};

static _Atomic unsigned current_process;
static _Thread_local bool inside_loop;

static void count_process(void) { atomic_fetch_add(&current_process, 1); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_process); }

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void run_indices(lk_pool *pool) {
  const lk_task task = pool->task;
  void *context = pool->context;
  const size_t count = pool->count;
  size_t index;
  while ((index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < count)
    task(context, index);
}

static bool has_news(lk_pool *pool, uint32_t last_loop) {
  const uint64_t gate = atomic_load(&pool->gate);
  return atomic_load(&pool->stop) || ((gate & OPEN) && (uint32_t)(gate >> 32) != last_loop);
}

static void wait_for_news(lk_pool *pool, uint32_t last_loop) {
  if (pool->spins) {
    const int64_t end = nanoseconds() + SPIN_NANOSECONDS;
    do {
      for (int i = 0; i < 32; i++) {
        if (has_news(pool, last_loop)) return;
        relax();
      }
    } while (nanoseconds() < end);
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleepers, 1);
  while (!has_news(pool, last_loop)) pthread_cond_wait(&pool->work, &pool->mutex);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->mutex);
}

/// The scheduler may wake two threads on one processor and leave them there for many loops while
/// another idles: a worker that meets the caller leaves.
static void leave_caller(lk_pool *pool, int64_t *last) {
  const int processor = atomic_load_explicit(&pool->processor, memory_order_relaxed);
  if (processor < 0 || processor != current_processor()) return;
  const int64_t now = nanoseconds();
  if (now - *last < LEAVE_NANOSECONDS) return;
  *last = now;
  leave_processor(processor);
}

static void *worker_main(void *argument) {
  lk_pool *pool = argument;
  uint32_t last_loop = 0;
  int64_t last_leave = 0;
  inside_loop = true;
  lk_flush_denormals_begin();
  while (true) {
    wait_for_news(pool, last_loop);
    if (atomic_load(&pool->stop)) return NULL;
    uint64_t gate = atomic_load(&pool->gate);
    if (!(gate & OPEN) || (uint32_t)(gate >> 32) == last_loop) continue;
    if (pool->spins) leave_caller(pool, &last_leave);
    if (!atomic_compare_exchange_strong(&pool->gate, &gate, gate + 1)) continue;
    last_loop = (uint32_t)(gate >> 32);
    lk_set_thread_isa(pool->isa);
    run_indices(pool);
    gate = atomic_fetch_sub(&pool->gate, 1) - 1;
    if (!(gate & OPEN) && (gate & INSIDE) == 0) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->mutex);
    }
  }
}

static void wait_until_empty(lk_pool *pool) {
  if (pool->spins) {
    const int64_t end = nanoseconds() + SPIN_NANOSECONDS;
    do {
      for (int i = 0; i < 32; i++) {
        if ((atomic_load(&pool->gate) & INSIDE) == 0) return;
        relax();
      }
    } while (nanoseconds() < end);
  }
  pthread_mutex_lock(&pool->mutex);
  while ((atomic_load(&pool->gate) & INSIDE) != 0) pthread_cond_wait(&pool->done, &pool->mutex);
  pthread_mutex_unlock(&pool->mutex);
}

lk_pool *lk_pool_create(int threads) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  const int workers = threads < 1 ? 0 : threads > 1024 ? 1023 : threads - 1;
  void *memory = NULL;
  const size_t bytes = sizeof(lk_pool) + (size_t)workers * sizeof(pthread_t);
  if (posix_memalign(&memory, 64, bytes) != 0) return NULL;
  lk_pool *pool = memset(memory, 0, bytes);
  pool->spins = threads <= lk_default_thread_count();
  pool->process = atomic_load(&current_process);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);

  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->worker_count < workers &&
         pthread_create(&pool->workers[pool->worker_count], NULL, worker_main, pool) == 0)
    pool->worker_count++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (pool->worker_count < workers) {
    lk_pool_destroy(pool);
    return NULL;
  }
  return pool;
}

static bool belongs_to_parent(const lk_pool *pool) {
  return pool->process != atomic_load(&current_process);
}

void lk_pool_destroy(lk_pool *pool) {
  if (!pool) return;
  if (!belongs_to_parent(pool)) {
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->worker_count; i++) pthread_join(pool->workers[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
  }
  free(pool);
}

int lk_pool_thread_count(const lk_pool *pool) { return pool ? pool->worker_count + 1 : 1; }

void lk_parallel_for(lk_pool *pool, size_t count, lk_task task, void *context) {
  int idle = 0;
  if (!pool || count <= 1 || pool->worker_count == 0 || inside_loop || belongs_to_parent(pool) ||
      !atomic_compare_exchange_strong(&pool->busy, &idle, 1)) {
    for (size_t i = 0; i < count; i++) task(context, i);
    return;
  }
  pool->task = task;
  pool->context = context;
  pool->count = count;
  pool->isa = lk_thread_isa();
  atomic_store_explicit(&pool->processor, current_processor(), memory_order_relaxed);
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  const uint64_t loop = (uint32_t)(atomic_load(&pool->gate) >> 32) + 1;
  atomic_store(&pool->gate, loop << 32 | OPEN);
  if (atomic_load(&pool->sleepers) > 0) {
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
  }
  inside_loop = true;
  run_indices(pool);
  inside_loop = false;
  atomic_fetch_and(&pool->gate, ~(uint64_t)OPEN);
  wait_until_empty(pool);
  atomic_store(&pool->busy, 0);
}
