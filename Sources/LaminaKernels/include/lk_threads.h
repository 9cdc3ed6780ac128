#ifndef LK_THREADS_H
#define LK_THREADS_H
#include <stddef.h>

/// A fixed set of worker threads that run one parallel loop at a time.
typedef struct lk_pool lk_pool;

/// `task(context, index)` is called once for every index in 0 ..< count.
typedef void (*lk_task)(void *context, size_t index);

/// Threads this process may use: the smaller of the affinity mask and the cgroup CPU quota, at
/// least 1.
int lk_default_thread_count(void);

/// A pool of `threads` threads, the caller's included; NULL when memory or threads run out.
lk_pool *lk_pool_create(int threads);
void lk_pool_destroy(lk_pool *pool);
/// Threads that take part in a loop, the caller's included: 1 for NULL.
int lk_pool_thread_count(const lk_pool *pool);

/// Runs `task` for 0 ..< count and returns when all are done. The caller's thread takes part. When
/// the pool is NULL, busy with another caller's loop, or belongs to a parent process, the caller
/// runs every index itself, in order: results must not depend on who ran which index.
void lk_parallel_for(lk_pool *pool, size_t count, lk_task task, void *context);
#endif
