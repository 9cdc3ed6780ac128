#include "gemm.h"

#include <stdatomic.h>

const lk_gemm_kernels *lk_gemm_kernels_for(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_f32_gemm_kernels_avx512;
  case LK_ISA_AVX2:
    return &lk_f32_gemm_kernels_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_f32_gemm_kernels_neon;
#endif
  default:
    return &lk_f32_gemm_kernels_scalar;
  }
}

size_t lk_panel_rows(const lk_gemm_kernels *kernels, size_t rows) {
  return rows == 0 ? 1 : lk_ceil_div(rows, lk_ceil_div(rows, kernels->rows));
}

// ------------------------------------------------------------------------------------------------
// The product
//
// Work is cut into items of some row panels × some column panels, each taken by one thread. The
// depth is cut into blocks so that a panel of A stays in the first-level cache and the item's block
// of B in the second; the cut depends on the product alone.

enum { DEPTH_LIMIT = 320, THIN_DEPTH_LIMIT = 2048, BLOCK_PANELS = 8 };

typedef struct plan {
  size_t panel_rows, row_panels, item_row_panels, row_items;
  size_t panel_columns, column_panels, item_column_panels, column_items;
  size_t depth_blocks, block_depth;
} plan;

static size_t depth_limit(size_t rows, size_t panel_rows) {
  return rows <= panel_rows ? THIN_DEPTH_LIMIT : DEPTH_LIMIT;
}

static size_t block_panels(size_t rows, size_t block_depth) {
  const size_t bytes = rows * block_depth * sizeof(float);
  return rows <= LK_MAX_ROWS || bytes <= 16 << 10 ? 1 : bytes <= 64 << 10 ? 2 : BLOCK_PANELS;
}

static plan make_plan(const lk_product *product, int threads) {
  plan p;
  p.panel_rows = lk_panel_rows(product->kernels, product->rows);
  p.row_panels = lk_ceil_div(product->rows, p.panel_rows);
  p.panel_columns = 2 * product->kernels->lanes;
  p.column_panels = lk_ceil_div(product->columns, p.panel_columns);
  p.depth_blocks = lk_ceil_div(product->depth, depth_limit(product->rows, product->kernels->rows));
  if (p.depth_blocks == 0) p.depth_blocks = 1;
  p.block_depth = lk_ceil_div(product->depth, p.depth_blocks);

  p.column_items = lk_ceil_div(p.column_panels, block_panels(product->rows, p.block_depth));
  p.row_items = 1;
  const size_t wanted = threads > 1 ? 3 * (size_t)threads : 1;
  while (product->groups * p.column_items * p.row_items < wanted) {
    if (p.row_panels / p.row_items >= 16)
      p.row_items *= 2;
    else if (p.column_items * 2 <= p.column_panels)
      p.column_items *= 2;
    else if (p.row_items * 2 <= p.row_panels)
      p.row_items *= 2;
    else
      break;
  }
  p.item_row_panels = lk_ceil_div(p.row_panels, p.row_items);
  p.row_items = lk_ceil_div(p.row_panels, p.item_row_panels);
  p.item_column_panels = lk_ceil_div(p.column_panels, p.column_items);
  p.column_items = lk_ceil_div(p.column_panels, p.item_column_panels);
  return p;
}

static size_t worker_floats(size_t rows, size_t depth) {
  const size_t block_depth = lk_least(depth, depth_limit(rows, LK_MAX_ROWS));
  const size_t b_panels = block_panels(rows, block_depth);
  return block_depth * (b_panels * 2 * LK_MAX_LANES + LK_MAX_ROWS + 2);
}

size_t lk_product_scratch_bytes(size_t rows, size_t columns, size_t depth, int threads) {
  (void)columns;
  return worker_floats(rows, depth) * sizeof(float) * (size_t)(threads < 1 ? 1 : threads);
}

typedef struct run {
  const lk_product *product;
  plan plan;
  float *scratch;
  size_t worker_floats, items;
  _Atomic size_t next;
} run;

/// The runs of a tile whose columns begin at pixel `within` of an image and reach into the next
/// ones.
static void cut_at_images(const lk_product *p, size_t within, size_t columns, lk_column_run *runs) {
  ptrdiff_t offset = 0;
  size_t end = p->image_columns - within;
  for (; end < columns; end += p->image_columns) {
    *runs++ = (lk_column_run){.end = end, .offset = offset};
    offset += (ptrdiff_t)p->image_stride - (ptrdiff_t)p->image_columns;
  }
  *runs = (lk_column_run){.end = columns, .offset = offset};
}

/// One block of the depth of an item's products.
typedef struct block {
  const lk_product *product;
  size_t group, k_first, k;
} block;

/// The tile of C at a row and a column; `runs` has room for its columns.
static lk_tile make_tile(const block *block, size_t row, size_t column, size_t columns,
                         lk_column_run *runs) {
  const lk_product *p = block->product;
  const bool is_first = block->k_first == 0, is_last = block->k_first + block->k == p->depth;
  const size_t image = column / p->image_columns;
  const size_t within = column - image * p->image_columns;
  const size_t at =
      block->group * p->group_stride + row * p->ldc + image * p->image_stride + within;
  lk_tile tile = {.c = p->c + at, .ldc = p->ldc, .columns = columns, .c_scale = 1};
  if (is_first) {
    tile.c_scale = p->beta;
    if (p->row_bias) tile.row_bias = p->row_bias + block->group * p->rows + row;
    if (p->column_bias) tile.column_bias = p->column_bias + column;
  }
  if (is_last) {
    tile.activation = p->activation;
    if (p->residual) tile.residual = p->residual + at;
  }
  if (within + columns > p->image_columns) {
    cut_at_images(p, within, columns, runs);
    tile.runs = runs;
  }
  return tile;
}

typedef struct columns {
  size_t first, count, lanes, vectors, tail, ldb;
  const float *b;
} columns;

/// A column panel: whole vectors, and the `tail` columns that are left to the tail kernel.
/// `packed_b` is the item's block of B whose first panel is `first_panel`, or NULL to read B in
/// place.
static columns make_columns(const block *block, size_t panel, size_t first_panel,
                            const float *packed_b) {
  const lk_product *p = block->product;
  const size_t lanes = p->kernels->lanes, width = 2 * lanes;
  columns c = {.first = panel * width, .lanes = lanes};
  c.count = lk_least(p->columns - c.first, width);
  c.ldb = c.count > lanes ? width : lanes;
  c.tail = c.count % lanes <= p->kernels->tail_columns ? c.count % lanes : 0;
  c.vectors = lk_ceil_div(c.count - c.tail, lanes);
  if (p->packed_b) {
    c.b = p->packed_b + c.first * p->depth + block->k_first * c.ldb;
  } else if (packed_b) {
    c.b = packed_b + (panel - first_panel) * width * block->k;
  } else {
    c.b = p->b + block->k_first * p->ldb + c.first;
    c.ldb = p->ldb;
  }
  return c;
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_product *p = run->product;
  const lk_gemm_kernels *kernels = p->kernels;
  const plan *plan = &run->plan;
  float *a_scratch = run->scratch + index * run->worker_floats;
  float *b_scratch = a_scratch + plan->block_depth * (LK_MAX_ROWS + 2);
  lk_column_run runs[2 * LK_MAX_LANES], tail_runs[LK_TAIL_PANELS][LK_MAX_LANES];
  size_t item, packed_key = (size_t)-1;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < run->items) {
    const size_t key = item / plan->row_items;
    const size_t first_row_panel = item % plan->row_items * plan->item_row_panels;
    const size_t end_row_panel =
        lk_least(first_row_panel + plan->item_row_panels, plan->row_panels);
    const size_t first_panel = key % plan->column_items * plan->item_column_panels;
    const size_t panels = lk_least(plan->item_column_panels, plan->column_panels - first_panel);
    const bool in_place = !p->packed_b && !p->convolution && !p->transpose_b &&
                          p->rows <= kernels->rows && panels == 1 &&
                          (first_panel + 1) * plan->panel_columns <= p->columns;
    const float *packed_b = in_place ? NULL : b_scratch;
    block block = {.product = p, .group = key / plan->column_items};
    for (size_t b = 0; b < plan->depth_blocks; b++) {
      block.k_first = lk_least(b * plan->block_depth, p->depth);
      block.k = lk_least(plan->block_depth, p->depth - block.k_first);
      if (!p->packed_b && !in_place && !(plan->depth_blocks == 1 && packed_key == key)) {
        for (size_t i = 0; i < panels; i++) {
          const columns c = make_columns(&block, first_panel + i, first_panel, b_scratch);
          p->pack_b(p, block.group, block.k_first, block.k, c.first, c.count,
                    b_scratch + i * plan->panel_columns * block.k, c.ldb);
        }
        packed_key = key;
      }
      const columns last = make_columns(&block, first_panel + panels - 1, first_panel, packed_b);
      const size_t tail_group = last.tail && p->packed_a ? kernels->tail_panels[last.tail - 1] : 1;
      lk_tail_panel tail[LK_TAIL_PANELS];
      size_t waiting = 0;
      for (size_t panel = first_row_panel; panel < end_row_panel; panel++) {
        const size_t row = panel * plan->panel_rows;
        const size_t rows = lk_least(plan->panel_rows, p->rows - row);
        const float *a = a_scratch;
        if (p->packed_a)
          a = p->packed_a + block.group * p->packed_a_stride + row * p->depth +
              block.k_first * rows;
        else if (p->transpose_a)
          kernels->pack_rows(p->a + block.k_first * p->lda + row, p->lda, rows, block.k, p->alpha,
                             a_scratch, rows);
        else
          kernels->pack_columns(p->a + row * p->lda + block.k_first, p->lda, rows, block.k,
                                p->alpha, a_scratch, rows);
        for (size_t i = first_panel; i < first_panel + panels; i++) {
          const columns c = make_columns(&block, i, first_panel, packed_b);
          if (c.vectors == 0) continue;
          const lk_tile tile = make_tile(&block, row, c.first, c.count - c.tail, runs);
          kernels->tile[c.vectors - 1][rows - 1](block.k, a, rows, c.b, c.ldb, &tile);
        }
        if (last.tail == 0) continue;
        const size_t whole = last.count - last.tail;
        tail[waiting] = (lk_tail_panel){.a = a, .rows = rows};
        tail[waiting].tile =
            make_tile(&block, row, last.first + whole, last.tail, tail_runs[waiting]);
        if (++waiting == tail_group || panel + 1 == end_row_panel) {
          kernels->tail[last.tail - 1](block.k, tail, waiting, last.b + whole, last.ldb);
          waiting = 0;
        }
      }
    }
  }
}

void lk_run_product(lk_pool *pool, const lk_product *product, void *scratch) {
  if (product->rows == 0 || product->columns == 0 || product->groups == 0) return;
  const int threads = lk_pool_thread_count(pool);
  run run = {.product = product, .scratch = scratch};
  run.plan = make_plan(product, threads);
  run.worker_floats = worker_floats(product->rows, product->depth);
  run.items = product->groups * run.plan.column_items * run.plan.row_items;
  lk_parallel_for(pool, lk_least((size_t)threads, run.items), worker, &run);
}

// ------------------------------------------------------------------------------------------------
// Matrices

/// What stands before packed numbers, so that they are read by the kernels that they were packed
/// for.
typedef union packed_header {
  lk_isa isa;
  float padding[16];
} packed_header;

static void pack_matrix(const lk_product *p, size_t group, size_t k_first, size_t k, size_t first,
                        size_t count, float *to, size_t width) {
  (void)group;
  if (p->transpose_b)
    p->kernels->pack_columns(p->b + first * p->ldb + k_first, p->ldb, count, k, 1, to, width);
  else
    p->kernels->pack_rows(p->b + k_first * p->ldb + first, p->ldb, count, k, 1, to, width);
}

size_t lk_f32_gemm_scratch_bytes(size_t m, size_t n, size_t k, int threads) {
  const size_t direct = lk_direct_worker_floats(k) * sizeof(float);
  return lk_most(lk_product_scratch_bytes(m, n, k, threads),
                 direct * (size_t)(threads < 1 ? 1 : threads));
}

typedef struct dots {
  const lk_product *product;
  const float *a, *x;
  size_t lda, rows, ldc;
} dots;

enum { DOTS = 64 };

static void dots_task(void *context, size_t index) {
  const dots *d = context;
  const lk_product *p = d->product;
  const size_t row = index * DOTS, rows = lk_least(DOTS, d->rows - row);
  float same[DOTS];
  const float *bias = p->column_bias;
  if (bias && p->columns > 1) {
    bias += row;
  } else if (bias) {
    for (size_t i = 0; i < rows; i++) same[i] = *bias;
    bias = same;
  }
  p->kernels->dot_rows(d->a + row * d->lda, d->lda, rows, p->depth, d->x, p->alpha, p->beta, bias,
                       p->activation, p->c + row * d->ldc, d->ldc);
}

lk_product lk_matrix_product(size_t rows, size_t columns, size_t depth) {
  return (lk_product){
      .kernels = lk_gemm_kernels_for(lk_active_isa()),
      .groups = 1,
      .rows = rows,
      .columns = columns,
      .depth = depth,
      .alpha = 1,
      .pack_b = pack_matrix,
      .ldc = columns,
      .image_columns = columns,
  };
}

void lk_run_matrices(lk_pool *pool, const lk_product *product, void *scratch) {
  const lk_product *p = product;
  dots d = {.product = p};
  if (p->columns == 1 && !p->transpose_a && (p->transpose_b || p->ldb == 1)) {
    d.a = p->a, d.lda = p->lda, d.rows = p->rows, d.x = p->b, d.ldc = p->ldc;
    lk_parallel_for(pool, lk_ceil_div(p->rows, DOTS), dots_task, &d);
  } else if (p->rows == 1 && p->transpose_b && (!p->transpose_a || p->lda == 1)) {
    d.a = p->b, d.lda = p->ldb, d.rows = p->columns, d.x = p->a, d.ldc = 1;
    lk_parallel_for(pool, lk_ceil_div(p->columns, DOTS), dots_task, &d);
  } else if (lk_is_direct(p)) {
    lk_run_direct(pool, p, scratch);
  } else {
    lk_run_product(pool, p, scratch);
  }
}

void lk_f32_gemm(lk_pool *pool, size_t m, size_t n, size_t k, float alpha, const float *a,
                 size_t lda, bool transpose_a, const float *b, size_t ldb, bool transpose_b,
                 float beta, float *c, size_t ldc, void *scratch) {
  lk_product product = lk_matrix_product(m, n, k);
  product.a = a, product.lda = lda, product.transpose_a = transpose_a, product.alpha = alpha;
  product.b = b, product.ldb = ldb, product.transpose_b = transpose_b;
  product.c = c, product.ldc = ldc, product.beta = beta;
  lk_run_matrices(pool, &product, scratch);
}

size_t lk_f32_gemm_packed_bytes(size_t n, size_t k) {
  return sizeof(packed_header) + lk_ceil_div(n, LK_MAX_LANES) * LK_MAX_LANES * k * sizeof(float);
}

void lk_f32_gemm_pack(size_t n, size_t k, const float *b, size_t ldb, bool transpose_b,
                      void *packed) {
  packed_header *header = packed;
  header->isa = lk_active_isa();
  float *to = (float *)(header + 1);
  const lk_product product = {
      .kernels = lk_gemm_kernels_for(header->isa), .b = b, .ldb = ldb, .transpose_b = transpose_b};
  const size_t lanes = product.kernels->lanes;
  for (size_t column = 0; column < n; column += 2 * lanes) {
    const size_t count = lk_least(2 * lanes, n - column);
    pack_matrix(&product, 0, 0, k, column, count, to + column * k,
                count > lanes ? 2 * lanes : lanes);
  }
}

/// Floats of the rows of A where they are few: those are packed once for all columns.
static size_t packed_row_floats(size_t m, size_t k) {
  return m * k <= 1 << 20 ? lk_ceil_div(m * k, 16) * 16 : 0;
}

size_t lk_f32_gemm_packed_scratch_bytes(size_t m, size_t n, size_t k, int threads) {
  return lk_most(lk_f32_gemm_scratch_bytes(m, n, k, threads),
                 packed_row_floats(m, k) * sizeof(float) +
                     lk_product_scratch_bytes(m, n, k, threads));
}

typedef struct row_packing {
  const lk_product *product;
  size_t panel_rows;
  float *to;
} row_packing;

static void pack_row_panel(void *context, size_t index) {
  const row_packing *packing = context;
  const lk_product *p = packing->product;
  const size_t row = index * packing->panel_rows,
               rows = lk_least(packing->panel_rows, p->rows - row);
  float *to = packing->to + row * p->depth;
  if (p->transpose_a)
    p->kernels->pack_rows(p->a + row, p->lda, rows, p->depth, p->alpha, to, rows);
  else
    p->kernels->pack_columns(p->a + row * p->lda, p->lda, rows, p->depth, p->alpha, to, rows);
}

void lk_f32_gemm_packed(lk_pool *pool, size_t m, size_t n, size_t k, float alpha, const float *a,
                        size_t lda, bool transpose_a, const void *packed, const float *bias,
                        lk_activation activation, float beta, float *c, size_t ldc, void *scratch) {
  const packed_header *header = packed;
  lk_product product = {
      .kernels = lk_gemm_kernels_for(header->isa),
      .groups = 1,
      .rows = m,
      .columns = n,
      .depth = k,
      .a = a,
      .lda = lda,
      .transpose_a = transpose_a,
      .alpha = alpha,
      .packed_b = (const float *)(header + 1),
      .c = c,
      .ldc = ldc,
      .image_columns = n,
      .beta = beta,
      .column_bias = bias,
      .activation = activation,
  };
  if (lk_is_direct(&product)) {
    lk_run_direct(pool, &product, scratch);
    return;
  }
  const size_t row_floats = packed_row_floats(m, k);
  if (row_floats > 0) {
    row_packing packing = {&product, lk_panel_rows(product.kernels, m), scratch};
    lk_parallel_for(pool, lk_ceil_div(m, packing.panel_rows), pack_row_panel, &packing);
    product.packed_a = packing.to;
  }
  lk_run_product(pool, &product, (float *)scratch + row_floats);
}
