#include "lamina_kernels.h"
int lk_default_thread_count(void) { return 1; }
lk_pool *lk_pool_create(int threads) { (void)threads; return NULL; }
void lk_pool_destroy(lk_pool *pool) { (void)pool; }
int lk_pool_thread_count(const lk_pool *pool) { (void)pool; return 1; }
void lk_parallel_for(lk_pool *pool, size_t count, lk_task task, void *context) {
  (void)pool;
  for (size_t i = 0; i < count; i++) task(context, i);
}
