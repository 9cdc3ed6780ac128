#include "gemm.h"

#include <stdatomic.h>

size_t lk_f32_dense_scratch_bytes(size_t rows, size_t inputs, size_t outputs, int threads) {
  return lk_f32_gemm_scratch_bytes(rows, outputs, inputs, threads);
}

void lk_f32_dense(lk_pool *pool, size_t rows, size_t inputs, size_t outputs, const float *x,
                  const float *weight, const float *bias, lk_activation activation, float *y,
                  void *scratch) {
  lk_product product = lk_matrix_product(rows, outputs, inputs);
  product.a = x, product.lda = inputs;
  product.b = weight, product.ldb = inputs, product.transpose_b = true;
  product.c = y;
  product.column_bias = bias;
  product.activation = activation;
  lk_run_matrices(pool, &product, scratch);
}

size_t lk_f32_dense_gradients_scratch_bytes(size_t rows, size_t inputs, size_t outputs,
                                            int threads) {
  return lk_most(lk_f32_gemm_scratch_bytes(rows, inputs, outputs, threads),
                 lk_f32_gemm_scratch_bytes(outputs, inputs, rows, threads));
}

// Small products and the sums of columns share one loop: at first the products' items, then pieces
// of the sums.

enum { SUM_COLUMNS = 256 };

typedef struct run {
  const lk_gemm_kernels *kernels;
  const lk_dense_gradients *gradients;
  size_t rows, outputs;
  lk_direct direct[2];
  size_t direct_count, items;
  float *scratch;
  size_t worker_floats;
  _Atomic size_t next;
} run;

static void run_item(const run *run, size_t item, float *scratch) {
  for (size_t i = 0; i < run->direct_count; item -= run->direct[i++].items) {
    if (item >= run->direct[i].items) continue;
    lk_run_direct_item(&run->direct[i], item, scratch);
    return;
  }
  const lk_dense_gradients *g = run->gradients;
  const size_t first = item * SUM_COLUMNS;
  run->kernels->sum_rows(g->dy + first, run->outputs, run->rows,
                         lk_least(SUM_COLUMNS, run->outputs - first), g->adds_bias,
                         g->dbias + first);
}

static void worker(void *context, size_t index) {
  run *run = context;
  float *scratch = run->scratch + index * run->worker_floats;
  size_t item;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < run->items)
    run_item(run, item, scratch);
}

void lk_f32_dense_gradients(lk_pool *pool, size_t rows, size_t inputs, size_t outputs,
                            const lk_dense_gradients *gradients, void *scratch) {
  const lk_dense_gradients *g = gradients;
  const int threads = lk_pool_thread_count(pool);
  lk_product dx = lk_matrix_product(rows, inputs, outputs);
  dx.a = g->dy, dx.lda = outputs;
  dx.b = g->weight, dx.ldb = inputs;
  dx.c = g->dx;
  dx.beta = g->adds_x ? 1 : 0;
  lk_product dweight = lk_matrix_product(outputs, inputs, rows);
  dweight.a = g->dy, dweight.lda = outputs, dweight.transpose_a = true;
  dweight.b = g->x, dweight.ldb = inputs;
  dweight.c = g->dweight;
  dweight.beta = g->adds_weight ? 1 : 0;

  run run = {.kernels = dx.kernels, .gradients = g, .rows = rows, .outputs = outputs};
  run.scratch = scratch;
  const lk_product *products[2] = {g->dx ? &dx : NULL, g->dweight ? &dweight : NULL};
  for (int i = 0; i < 2; i++) {
    const lk_product *p = products[i];
    if (!p) continue;
    if (!lk_is_direct(p)) {
      lk_run_matrices(pool, p, scratch);
      continue;
    }
    const lk_direct direct = lk_make_direct(p, threads);
    run.direct[run.direct_count++] = direct;
    run.items += direct.items;
    run.worker_floats = lk_most(run.worker_floats, lk_direct_worker_floats(p->depth));
  }
  if (g->dbias) run.items += lk_ceil_div(outputs, SUM_COLUMNS);
  const size_t workers = lk_is_tiny(rows * inputs * outputs) ? 1 : (size_t)threads;
  lk_parallel_for(pool, lk_least(workers, run.items), worker, &run);
}
