#include "winograd.h"

#include <math.h>
#include <stdatomic.h>

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static const lk_winograd_kernels *kernels_for(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_f32_winograd43_kernels_avx512;
  case LK_ISA_AVX2:
    return &lk_f32_winograd43_kernels_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_f32_winograd43_kernels_neon;
#endif
  default:
    return &lk_f32_winograd43_kernels_scalar;
  }
}

/// Fewer tiles than this do not pay for reading a weight that is four times as large.
enum { MIN_TILES = 12, MIN_CHANNELS = 16 };

bool lk_uses_winograd(const lk_conv2d *conv) {
  return conv->allow_winograd && conv->groups == 1 && conv->kernel_height == 3 &&
         conv->kernel_width == 3 && conv->stride_height == 1 && conv->stride_width == 1 &&
         conv->dilation_height == 1 && conv->dilation_width == 1 &&
         conv->in_channels >= MIN_CHANNELS && conv->out_channels >= MIN_CHANNELS &&
         ceil_div(conv->out_height, 4) * ceil_div(conv->out_width, 4) >= MIN_TILES;
}

size_t lk_f32_winograd_packed_bytes(const lk_conv2d *conv) {
  return (LK_POSITIONS * conv->out_channels * conv->in_channels + LK_MAX_LANES) * sizeof(float);
}

/// For each position, panels of [input channel][row], as a packed A.
void lk_f32_winograd_pack(const lk_conv2d *conv, lk_isa isa, const float *weight, float *packed) {
  const double a = sqrt(0.5), b = sqrt(2.0);
  const double G[6][3] = {{1, 0, 0},
                          {-1 / 1.5, -a / 1.5, -0.5 / 1.5},
                          {-1 / 1.5, a / 1.5, -0.5 / 1.5},
                          {1 / 6.0, b / 6, 2 / 6.0},
                          {1 / 6.0, -b / 6, 2 / 6.0},
                          {0, 0, 1}};
  const size_t channels = conv->in_channels;
  const size_t panel_rows = lk_panel_rows(lk_gemm_kernels_for(isa), conv->out_channels);
  for (size_t o = 0; o < conv->out_channels; o++) {
    const size_t panel = o / panel_rows * panel_rows;
    const size_t rows = least(panel_rows, conv->out_channels - panel);
    for (size_t i = 0; i < channels; i++, weight += 9) {
      double half[6][3];
      for (int u = 0; u < 6; u++)
        for (int v = 0; v < 3; v++)
          half[u][v] = G[u][0] * weight[v] + G[u][1] * weight[3 + v] + G[u][2] * weight[6 + v];
      for (int u = 0; u < 6; u++)
        for (int v = 0; v < 6; v++)
          packed[(size_t)(u * 6 + v) * conv->out_channels * channels + panel * channels + i * rows +
                 o - panel] =
              (float)(half[u][0] * G[v][0] + half[u][1] * G[v][1] + half[u][2] * G[v][2]);
    }
  }
  float *end = packed + LK_POSITIONS * conv->out_channels * channels;
  for (int i = 0; i < LK_MAX_LANES; i++) end[i] = 0;
}

/// How the tiles of an image are cut into blocks: pieces of a row of tiles, or, where rows are
/// short, as many tiles in reading order as fit.
typedef struct plan {
  size_t tile_rows, tile_columns, blocks, pieces, row_panels, panel_rows, splits, split_panels;
  size_t sorted_floats, input_floats, product_floats;
} plan;

static plan make_plan(const lk_conv2d *conv, size_t kernel_rows, int threads) {
  plan p = {.tile_rows = ceil_div(conv->out_height, 4),
            .tile_columns = ceil_div(conv->out_width, 4)};
  p.pieces = p.tile_columns > LK_BLOCK_TILES / 2 ? ceil_div(p.tile_columns, LK_BLOCK_TILES) : 0;
  p.blocks =
      p.pieces ? p.tile_rows * p.pieces : ceil_div(p.tile_rows * p.tile_columns, LK_BLOCK_TILES);
  p.row_panels = ceil_div(conv->out_channels, kernel_rows);
  p.panel_rows = ceil_div(conv->out_channels, p.row_panels);
  p.row_panels = ceil_div(conv->out_channels, p.panel_rows);
  p.splits = 1;
  while (threads > 1 && conv->batch * p.blocks * p.splits < 3 * (size_t)threads &&
         p.row_panels >= 4 * p.splits)
    p.splits *= 2;
  p.split_panels = ceil_div(p.row_panels, p.splits);
  p.splits = ceil_div(p.row_panels, p.split_panels);
  // A block touches at most this many rows of tiles, each with one more tile to its right and one
  // row below.
  const size_t rows = p.pieces ? 1 : least((LK_BLOCK_TILES - 2) / p.tile_columns + 2, p.tile_rows);
  const size_t pitch = (p.pieces ? LK_BLOCK_TILES : p.tile_columns) + 1;
  p.sorted_floats = 16 * ((rows + 1) * pitch + LK_SORTED_SLACK);
  p.input_floats = LK_POSITIONS * conv->in_channels * LK_BLOCK_TILES;
  p.product_floats = LK_POSITIONS * conv->out_channels * LK_BLOCK_TILES;
  return p;
}

static size_t worker_floats(const plan *p) {
  return ceil_div(p->sorted_floats + p->input_floats + p->product_floats, 16) * 16;
}

size_t lk_f32_winograd_scratch_bytes(const lk_conv2d *conv, int threads) {
  const plan p = make_plan(conv, LK_MAX_ROWS, threads);
  return worker_floats(&p) * sizeof(float) * (size_t)(threads < 1 ? 1 : threads);
}

typedef struct run {
  const lk_conv2d *conv;
  const lk_gemm_kernels *gemm;
  const lk_winograd_kernels *kernels;
  const float *input, *packed, *bias, *residual;
  float *output, *scratch;
  plan plan;
  _Atomic size_t next;
} run;

static lk_tile_block make_block(const plan *p, size_t index, size_t lanes) {
  lk_tile_block block;
  size_t first, columns = p->tile_columns, left = 0;
  if (p->pieces) {
    left = index % p->pieces * LK_BLOCK_TILES;
    columns = least(LK_BLOCK_TILES, p->tile_columns - left);
    block.count = columns;
    first = index / p->pieces * p->tile_columns + left;
  } else {
    first = index * LK_BLOCK_TILES;
    block.count = least(LK_BLOCK_TILES, p->tile_rows * p->tile_columns - first);
  }
  block.pitch = columns + 1;
  const size_t top = first / p->tile_columns;
  const size_t rows = (first + block.count - 1) / p->tile_columns - top + 1;
  block.plane = (rows + 1) * block.pitch + LK_SORTED_SLACK;
  size_t start = 0;
  for (size_t t = 0; t < LK_BLOCK_TILES; t++) {
    const size_t tile = first + least(t, block.count - 1);
    const size_t row = tile / p->tile_columns, column = tile % p->tile_columns;
    const size_t place = (row - top) * block.pitch + column - left;
    if (t % lanes == 0) start = place;
    block.vector_place[t] = start;
    block.place[t] = (int32_t)(place - start);
    block.y[t] = 4 * row;
    block.x[t] = 4 * column;
  }
  return block;
}

/// Sorts the rows that the block's tiles read, channel by channel, and transforms them.
static void make_inputs(const run *run, const lk_tile_block *block, const float *image,
                        float *sorted, float *inputs, size_t width) {
  const lk_conv2d *conv = run->conv;
  const size_t top = block->y[0], bottom = block->y[block->count - 1] + LK_TILE_IN;
  const bool is_piece = run->plan.pieces != 0;
  for (size_t i = 0; i < conv->in_channels; i++, image += conv->in_height * conv->in_width) {
    for (size_t y = top; y < bottom; y++) {
      const bool inside = y >= conv->pad_top && y - conv->pad_top < conv->in_height;
      const float *from = inside ? image + (y - conv->pad_top) * conv->in_width : image;
      float *to = sorted + (y - top) % 4 * 4 * block->plane + (y - top) / 4 * block->pitch;
      run->kernels->sort(from, inside ? conv->in_width : 0, conv->pad_left,
                         is_piece ? block->x[0] : 0, to, block->pitch, block->plane);
    }
    run->kernels->transform_input(block, sorted, inputs + i * width, conv->in_channels * width);
  }
}

static void multiply(const run *run, const lk_tile_block *block, size_t first_panel,
                     size_t end_panel, const float *inputs, float *products, size_t width) {
  const lk_conv2d *conv = run->conv;
  const lk_gemm_kernels *gemm = run->gemm;
  const size_t channels = conv->in_channels, lanes = gemm->lanes;
  const size_t first_row = first_panel * run->plan.panel_rows;
  const size_t rows = least(end_panel * run->plan.panel_rows, conv->out_channels) - first_row;
  for (size_t position = 0; position < LK_POSITIONS; position++) {
    const float *a = run->packed + (position * conv->out_channels + first_row) * channels;
    const float *b = inputs + position * channels * width;
    float *c = products + position * rows * width;
    for (size_t column = 0; column < block->count;) {
      size_t left = block->count - column;
      const size_t tail = left % lanes <= gemm->tail_columns ? left % lanes : 0;
      if (left < lanes && tail == left) {
        const size_t group = gemm->tail_panels[tail - 1];
        lk_tail_panel panels[LK_TAIL_PANELS];
        for (size_t row = 0, n = 0; row < rows;) {
          const size_t r = least(run->plan.panel_rows, rows - row);
          panels[n++] = (lk_tail_panel){
              .a = a + row * channels,
              .rows = r,
              .tile = {.c = c + row * width + column, .ldc = width, .columns = tail}};
          row += r;
          if (n == group || row == rows) {
            gemm->tail[tail - 1](channels, panels, n, b + column, width);
            n = 0;
          }
        }
        break;
      }
      const size_t vectors = left - tail > lanes ? 2 : 1;
      const size_t count = least(left - tail, vectors * lanes);
      for (size_t row = 0; row < rows;) {
        const size_t r = least(run->plan.panel_rows, rows - row);
        const lk_tile tile = {
            .c = c + row * width + column, .ldc = width, .columns = vectors * lanes};
        gemm->tile[vectors - 1][r - 1](channels, a + row * channels, b + column, width, &tile);
        row += r;
      }
      column += count;
    }
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_conv2d *conv = run->conv;
  const plan *p = &run->plan;
  float *sorted = run->scratch + index * worker_floats(p);
  float *inputs = sorted + p->sorted_floats, *products = inputs + p->input_floats;
  const size_t in_image = conv->in_channels * conv->in_height * conv->in_width;
  const size_t plane = conv->out_height * conv->out_width;
  const size_t items = conv->batch * p->blocks * p->splits;
  size_t item, key = (size_t)-1;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < items) {
    const size_t image = item / p->splits / p->blocks, split = item % p->splits;
    const lk_tile_block block = make_block(p, item / p->splits % p->blocks, run->gemm->lanes);
    const size_t width = block.count > LK_BLOCK_TILES / 2 ? LK_BLOCK_TILES : LK_BLOCK_TILES / 2;
    if (key != item / p->splits) {
      make_inputs(run, &block, run->input + image * in_image, sorted, inputs, width);
      key = item / p->splits;
    }
    const size_t first_panel = split * p->split_panels;
    const size_t end_panel = least(first_panel + p->split_panels, p->row_panels);
    multiply(run, &block, first_panel, end_panel, inputs, products, width);
    const size_t first_row = first_panel * p->panel_rows;
    const size_t end_row = least(end_panel * p->panel_rows, conv->out_channels);
    for (size_t o = first_row; o < end_row; o++) {
      const size_t at = (image * conv->out_channels + o) * plane;
      run->kernels->transform_output(&block, products + (o - first_row) * width,
                                     (end_row - first_row) * width, run->bias ? run->bias[o] : 0,
                                     conv->activation, run->residual ? run->residual + at : NULL,
                                     run->output + at, conv->out_height, conv->out_width);
    }
  }
}

void lk_f32_winograd(lk_pool *pool, lk_isa isa, const lk_conv2d *conv, const float *input,
                     const float *packed, const float *bias, const float *residual, float *output,
                     void *scratch) {
  const int threads = lk_pool_thread_count(pool);
  run run = {.conv = conv,
             .gemm = lk_gemm_kernels_for(isa),
             .kernels = kernels_for(isa),
             .input = input,
             .packed = packed,
             .bias = bias,
             .residual = residual,
             .output = output,
             .scratch = scratch};
  run.plan = make_plan(conv, run.gemm->rows, threads);
  const size_t items = conv->batch * run.plan.blocks * run.plan.splits;
  lk_parallel_for(pool, least((size_t)threads, items), worker, &run);
}
