#include "gemm.h"

#include <stdatomic.h>

// Work is cut into items of some vectors of columns × some row panels. The depth is not cut: a
// column panel, packed or in place, is to stay in the caches while the row panels pass.

enum {
  DEPTH_LIMIT = 1024,
  OPERAND_LIMIT = 1 << 19,
  ITEM_VECTORS = 4,
  MAX_ITEM_VECTORS = 16,
  /// Depth × vectors of an item whose block of B stays in the first-level cache.
  ITEM_BLOCK = 256,
  ITEM_ROW_PANELS = 16,
  TINY = 1 << 16,
  /// Floats between rows that all meet in one set of the first-level cache, and how many such rows
  /// it holds with room to spare.
  SAME_SET = 1024,
  SAME_SET_ROWS = 8,
};

bool lk_is_direct(const lk_product *p) {
  return p->groups == 1 && !p->packed_a && !p->convolution && p->alpha == 1 &&
         p->image_columns == p->columns && p->depth <= DEPTH_LIMIT &&
         p->depth * (p->rows + p->columns) <= OPERAND_LIMIT;
}

static size_t item_vectors(size_t depth) {
  return lk_most(ITEM_VECTORS, lk_least(MAX_ITEM_VECTORS, ITEM_BLOCK / lk_most(depth, 1)));
}

size_t lk_direct_worker_floats(size_t depth) {
  return depth <= DEPTH_LIMIT ? depth * item_vectors(depth) * LK_MAX_LANES : 0;
}

bool lk_is_tiny(size_t multiplications) { return multiplications < TINY; }

lk_direct lk_make_direct(const lk_product *product, int threads) {
  const lk_product *p = product;
  lk_direct d = {.product = *p, .column_items = 1, .row_items = 1};
  if (p->rows == 0 || p->columns == 0) return d;
  const bool crowded = !p->transpose_a && p->lda % SAME_SET == 0;
  const size_t limit = crowded ? lk_least(SAME_SET_ROWS, p->kernels->rows) : p->kernels->rows;
  d.panel_rows = lk_ceil_div(p->rows, lk_ceil_div(p->rows, limit));
  d.row_panels = lk_ceil_div(p->rows, d.panel_rows);
  d.vectors = lk_ceil_div(p->columns, p->kernels->lanes);
  const bool is_tiny = lk_is_tiny(p->rows * p->columns * p->depth);
  const size_t t = threads < 1 || is_tiny ? 1 : (size_t)threads;
  d.unit = p->packed_b ? 2 : 1;
  const size_t units = lk_ceil_div(d.vectors, d.unit), widest = item_vectors(p->depth) / d.unit;
  d.column_items = lk_least(units, t * lk_ceil_div(units, t * widest));
  if (t > 1) {
    const size_t wanted = lk_ceil_div(t, d.column_items), many = lk_ceil_div(3 * t, d.column_items);
    d.row_items =
        lk_least(d.row_panels, lk_most(wanted, lk_least(many, d.row_panels / ITEM_ROW_PANELS)));
  }
  d.items = d.column_items * d.row_items;
  return d;
}

/// Packs what an item cannot read of B in place; b[i] and ldb[i] tell where its column panel i
/// lies.
static void find_panels(const lk_direct *d, size_t first, size_t end, bool packs, float *scratch,
                        const float **b, size_t *ldb) {
  const lk_product *p = &d->product;
  const size_t lanes = p->kernels->lanes;
  for (size_t v = first; v < end; v += 2, b++, ldb++) {
    const size_t column = v * lanes, width = lk_least(2, end - v) * lanes;
    const size_t count = lk_least(width, p->columns - column);
    if (p->packed_b) {
      *b = p->packed_b + column * p->depth;
      *ldb = width;
      continue;
    }
    if (!packs && count == width) {
      *b = p->b + column;
      *ldb = p->ldb;
      continue;
    }
    if (p->transpose_b)
      p->kernels->pack_columns(p->b + column * p->ldb, p->ldb, count, p->depth, 1, scratch, width);
    else
      p->kernels->pack_rows(p->b + column, p->ldb, count, p->depth, 1, scratch, width);
    *b = scratch;
    *ldb = width;
    scratch += p->depth * width;
  }
}

void lk_run_direct_item(const lk_direct *d, size_t item, float *scratch) {
  const lk_product *p = &d->product;
  const lk_gemm_kernels *kernels = p->kernels;
  const size_t column_item = item / d->row_items, row_item = item % d->row_items;
  const size_t first_panel = d->row_panels * row_item / d->row_items;
  const size_t end_panel = d->row_panels * (row_item + 1) / d->row_items;
  const size_t units = lk_ceil_div(d->vectors, d->unit);
  const size_t first = units * column_item / d->column_items * d->unit;
  const size_t end = lk_least(d->vectors, units * (column_item + 1) / d->column_items * d->unit);
  const bool crowded = p->ldb % SAME_SET == 0 && end_panel - first_panel > 2;
  const float *b[MAX_ITEM_VECTORS / 2];
  size_t ldb[MAX_ITEM_VECTORS / 2];
  find_panels(d, first, end, p->transpose_b || crowded, scratch, b, ldb);
  for (size_t panel = first_panel; panel < end_panel; panel++) {
    const size_t row = panel * d->panel_rows, rows = lk_least(d->panel_rows, p->rows - row);
    for (size_t v = first, i = 0; v < end; v += 2, i++) {
      const size_t column = v * kernels->lanes, vectors = lk_least(2, end - v);
      const size_t at = row * p->ldc + column;
      const lk_tile tile = {
          .c = p->c + at,
          .ldc = p->ldc,
          .columns = lk_least(vectors * kernels->lanes, p->columns - column),
          .c_scale = p->beta,
          .row_bias = p->row_bias ? p->row_bias + row : NULL,
          .column_bias = p->column_bias ? p->column_bias + column : NULL,
          .residual = p->residual ? p->residual + at : NULL,
          .activation = p->activation,
      };
      if (p->transpose_a)
        kernels->tile[vectors - 1][rows - 1](p->depth, p->a + row, p->lda, b[i], ldb[i], &tile);
      else
        kernels->row_tile[vectors - 1][rows - 1](p->depth, p->a + row * p->lda, p->lda, b[i],
                                                 ldb[i], &tile);
    }
  }
}

typedef struct run {
  const lk_direct *direct;
  float *scratch;
  size_t worker_floats;
  _Atomic size_t next;
} run;

static void worker(void *context, size_t index) {
  run *run = context;
  size_t item;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) <
         run->direct->items)
    lk_run_direct_item(run->direct, item, run->scratch + index * run->worker_floats);
}

void lk_run_direct(lk_pool *pool, const lk_product *product, void *scratch) {
  const int threads = lk_pool_thread_count(pool);
  const lk_direct direct = lk_make_direct(product, threads);
  run run = {.direct = &direct, .scratch = scratch};
  run.worker_floats = lk_direct_worker_floats(product->depth);
  lk_parallel_for(pool, lk_least((size_t)threads, direct.items), worker, &run);
}
