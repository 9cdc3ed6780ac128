#include "gemm.h"

#include <stdatomic.h>

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

const lk_gemm_kernels *lk_gemm_kernels_for(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512: return &lk_f32_gemm_kernels_avx512;
  case LK_ISA_AVX2: return &lk_f32_gemm_kernels_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON: return &lk_f32_gemm_kernels_neon;
#endif
  default: return &lk_f32_gemm_kernels_scalar;
  }
}

size_t lk_panel_rows(const lk_gemm_kernels *kernels, size_t rows) {
  return rows == 0 ? 1 : ceil_div(rows, ceil_div(rows, kernels->rows));
}

// ------------------------------------------------------------------------------------------------
// The product
//
// Work is cut into items of some row panels × some column panels, each taken by one thread. The depth is cut into
// blocks so that a panel of A stays in the first-level cache and the item's block of B in the second; the cut
// depends on the product alone.

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
  p.row_panels = ceil_div(product->rows, p.panel_rows);
  p.panel_columns = 2 * product->kernels->lanes;
  p.column_panels = ceil_div(product->columns, p.panel_columns);
  p.depth_blocks = ceil_div(product->depth, depth_limit(product->rows, product->kernels->rows));
  if (p.depth_blocks == 0) p.depth_blocks = 1;
  p.block_depth = ceil_div(product->depth, p.depth_blocks);

  p.column_items = ceil_div(p.column_panels, block_panels(product->rows, p.block_depth));
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
  p.item_row_panels = ceil_div(p.row_panels, p.row_items);
  p.row_items = ceil_div(p.row_panels, p.item_row_panels);
  p.item_column_panels = ceil_div(p.column_panels, p.column_items);
  p.column_items = ceil_div(p.column_panels, p.item_column_panels);
  return p;
}

static size_t worker_floats(size_t rows, size_t depth) {
  const size_t block_depth = least(depth, depth_limit(rows, LK_MAX_ROWS));
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

/// The runs of a tile whose columns begin at pixel `within` of an image and reach into the next ones.
static void cut_at_images(const lk_product *p, size_t within, size_t columns, lk_column_run *runs) {
  ptrdiff_t offset = 0;
  size_t end = p->image_columns - within;
  for (; end < columns; end += p->image_columns) {
    *runs++ = (lk_column_run){.end = end, .offset = offset};
    offset += (ptrdiff_t)p->image_stride - (ptrdiff_t)p->image_columns;
  }
  *runs = (lk_column_run){.end = columns, .offset = offset};
}

/// Multiplies one row panel by the item's column panels, over one block of the depth.
static void run_row_panel(const run *run, size_t group, size_t row, size_t rows, size_t first_panel,
                          size_t panels, size_t k_first, size_t k, const float *a,
                          const float *packed_b) {
  const lk_product *p = run->product;
  const size_t lanes = p->kernels->lanes, width = run->plan.panel_columns;
  const bool is_first = k_first == 0, is_last = k_first + k == p->depth;
  const size_t base = group * p->group_stride + row * p->ldc;
  lk_tile tile = {.ldc = p->ldc, .c_scale = is_first ? p->beta : 1};
  if (is_first && p->row_bias) tile.row_bias = p->row_bias + group * p->rows + row;
  if (is_last) tile.activation = p->activation;
  for (size_t panel = first_panel; panel < first_panel + panels; panel++) {
    const size_t column = panel * width;
    tile.columns = least(p->columns - column, width);
    const size_t vectors = tile.columns > lanes ? 2 : 1;
    const lk_tile_kernel kernel = p->kernels->tile[vectors - 1][rows - 1];
    size_t ldb = vectors * lanes;
    const float *b;
    if (p->packed_b) {
      b = p->packed_b + column * p->depth + k_first * ldb;
    } else if (packed_b) {
      b = packed_b + (panel - first_panel) * width * k;
    } else {
      b = p->b + k_first * p->ldb + column;
      ldb = p->ldb;
    }
    if (is_first && p->column_bias) tile.column_bias = p->column_bias + column;
    const size_t image = column / p->image_columns;
    const size_t within = column - image * p->image_columns;
    const size_t at = base + image * p->image_stride + within;
    tile.c = p->c + at;
    tile.residual = is_last && p->residual ? p->residual + at : NULL;
    lk_column_run runs[2 * LK_MAX_LANES];
    tile.runs = NULL;
    if (within + tile.columns > p->image_columns) {
      cut_at_images(p, within, tile.columns, runs);
      tile.runs = runs;
    }
    kernel(k, a, b, ldb, &tile);
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_product *p = run->product;
  const plan *plan = &run->plan;
  float *a_scratch = run->scratch + index * run->worker_floats;
  float *b_scratch = a_scratch + plan->block_depth * (LK_MAX_ROWS + 2);
  size_t item, packed_key = (size_t)-1;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < run->items) {
    const size_t key = item / plan->row_items;
    const size_t group = key / plan->column_items;
    const size_t first_row_panel = item % plan->row_items * plan->item_row_panels;
    const size_t end_row_panel =
        least(first_row_panel + plan->item_row_panels, plan->row_panels);
    const size_t first_panel = key % plan->column_items * plan->item_column_panels;
    const size_t panels = least(plan->item_column_panels, plan->column_panels - first_panel);
    const bool in_place = !p->packed_b && !p->convolution && !p->transpose_b &&
                          p->rows <= p->kernels->rows && panels == 1 &&
                          (first_panel + 1) * plan->panel_columns <= p->columns;
    for (size_t block = 0; block < plan->depth_blocks; block++) {
      const size_t k_first = least(block * plan->block_depth, p->depth);
      const size_t k = least(plan->block_depth, p->depth - k_first);
      if (!p->packed_b && !in_place && !(plan->depth_blocks == 1 && packed_key == key)) {
        for (size_t i = 0; i < panels; i++) {
          const size_t column = (first_panel + i) * plan->panel_columns;
          const size_t count = least(plan->panel_columns, p->columns - column);
          const size_t width = count > p->kernels->lanes ? plan->panel_columns : p->kernels->lanes;
          p->pack_b(p, group, k_first, k, column, count, b_scratch + i * plan->panel_columns * k,
                    width);
        }
        packed_key = key;
      }
      for (size_t panel = first_row_panel; panel < end_row_panel; panel++) {
        const size_t row = panel * plan->panel_rows;
        const size_t rows = least(plan->panel_rows, p->rows - row);
        const float *a = a_scratch;
        if (p->packed_a)
          a = p->packed_a + group * p->packed_a_stride + row * p->depth + k_first * rows;
        else if (p->transpose_a)
          p->kernels->pack_rows(p->a + k_first * p->lda + row, p->lda, rows, k, p->alpha, a_scratch,
                                rows);
        else
          p->kernels->pack_columns(p->a + row * p->lda + k_first, p->lda, rows, k, p->alpha,
                                   a_scratch, rows);
        run_row_panel(run, group, row, rows, first_panel, panels, k_first, k, a,
                      in_place ? NULL : b_scratch);
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
  lk_parallel_for(pool, least((size_t)threads, run.items), worker, &run);
}

// ------------------------------------------------------------------------------------------------
// Matrices

/// What stands before packed numbers, so that they are read by the kernels that they were packed for.
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
  return lk_product_scratch_bytes(m, n, k, threads);
}

typedef struct dots {
  const lk_gemm_kernels *kernels;
  const float *a, *x;
  size_t lda, rows, k, ldc;
  float alpha, beta;
  float *c;
} dots;

enum { DOTS = 64 };

static void dots_task(void *context, size_t index) {
  const dots *d = context;
  const size_t row = index * DOTS;
  d->kernels->dot_rows(d->a + row * d->lda, d->lda, least(DOTS, d->rows - row), d->k, d->x, d->alpha,
                       d->beta, NULL, (lk_activation){0}, d->c + row * d->ldc, d->ldc);
}

void lk_f32_gemm(lk_pool *pool, size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                 bool transpose_a, const float *b, size_t ldb, bool transpose_b, float beta, float *c,
                 size_t ldc, void *scratch) {
  const lk_gemm_kernels *kernels = lk_gemm_kernels_for(lk_active_isa());
  dots d = {.kernels = kernels, .k = k, .alpha = alpha, .beta = beta, .c = c};
  if (n == 1 && !transpose_a && (transpose_b || ldb == 1)) {
    d.a = a, d.lda = lda, d.rows = m, d.x = b, d.ldc = ldc;
    lk_parallel_for(pool, ceil_div(m, DOTS), dots_task, &d);
    return;
  }
  if (m == 1 && transpose_b && (!transpose_a || lda == 1)) {
    d.a = b, d.lda = ldb, d.rows = n, d.x = a, d.ldc = 1;
    lk_parallel_for(pool, ceil_div(n, DOTS), dots_task, &d);
    return;
  }
  const lk_product product = {
      .kernels = kernels, .groups = 1, .rows = m, .columns = n, .depth = k,
      .a = a, .lda = lda, .transpose_a = transpose_a, .alpha = alpha,
      .pack_b = pack_matrix, .b = b, .ldb = ldb, .transpose_b = transpose_b,
      .c = c, .ldc = ldc, .image_columns = n, .beta = beta,
  };
  lk_run_product(pool, &product, scratch);
}

size_t lk_f32_gemm_packed_bytes(size_t n, size_t k) {
  return sizeof(packed_header) + ceil_div(n, LK_MAX_LANES) * LK_MAX_LANES * k * sizeof(float);
}

void lk_f32_gemm_pack(size_t n, size_t k, const float *b, size_t ldb, bool transpose_b, void *packed) {
  packed_header *header = packed;
  header->isa = lk_active_isa();
  float *to = (float *)(header + 1);
  const lk_product product = {.kernels = lk_gemm_kernels_for(header->isa), .b = b, .ldb = ldb,
                              .transpose_b = transpose_b};
  const size_t lanes = product.kernels->lanes;
  for (size_t column = 0; column < n; column += 2 * lanes) {
    const size_t count = least(2 * lanes, n - column);
    pack_matrix(&product, 0, 0, k, column, count, to + column * k, count > lanes ? 2 * lanes : lanes);
  }
}

void lk_f32_gemm_packed(lk_pool *pool, size_t m, size_t n, size_t k, float alpha, const float *a,
                        size_t lda, bool transpose_a, const void *packed, const float *bias,
                        lk_activation activation, float beta, float *c, size_t ldc, void *scratch) {
  const packed_header *header = packed;
  const lk_product product = {
      .kernels = lk_gemm_kernels_for(header->isa), .groups = 1, .rows = m, .columns = n, .depth = k,
      .a = a, .lda = lda, .transpose_a = transpose_a, .alpha = alpha,
      .packed_b = (const float *)(header + 1),
      .c = c, .ldc = ldc, .image_columns = n, .beta = beta,
      .column_bias = bias, .activation = activation,
  };
  lk_run_product(pool, &product, scratch);
}
