// 3×3 convolution with stride 1 by F(m×m, 3×3) of Winograd 1980 and Lavin and Gray 2016: y = Aᵀ[(G
// g Gᵀ) ⊙ (Bᵀ d B)]A for tiles d of (m + 2)² inputs that overlap by 2 and tiles y of m² outputs.
// The sum over input channels makes (m + 2)² matrix products. F(4×4) uses the points 0, ±1/√2, ±√2,
// ∞, which keep the error near that of direct summation, F(2×2) 0, ±1, ∞.
#include "blocked.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum {
  MAX_POSITIONS = 36,
  /// Tiles in a block at most.
  MAX_TILES = 28,
  INPUT_CYCLES_2 = 30,
  OUTPUT_CYCLES_2 = 25,
  INPUT_CYCLES_4 = 85,
  OUTPUT_CYCLES_4 = 60,
};

typedef struct plan {
  const lk_blocked_kernels *kernels;
  const lk_winograd_kernels *transforms;
  size_t tile, positions, rows, columns, tiles, blocks, width;
  size_t steps, blocks_in, blocks_out, panels;
  size_t input_position, product_position;
} plan;

static plan make_plan(const lk_blocked_conv *b) {
  const lk_conv2d *conv = &b->conv;
  plan p = {.kernels = lk_blocked_kernels_for(b->isa), .tile = b->winograd_tile};
  p.transforms = p.tile == 2 ? &p.kernels->winograd2 : &p.kernels->winograd4;
  p.positions = (p.tile + 2) * (p.tile + 2);
  p.rows = lk_ceil_div(conv->out_height, p.tile);
  p.columns = lk_ceil_div(conv->out_width, p.tile);
  p.tiles = conv->batch * p.rows * p.columns;
  p.width = b->winograd_tiles;
  p.blocks = p.width ? lk_ceil_div(p.tiles, p.width) : 0;
  p.steps = lk_tap_steps(conv->in_channels);
  p.blocks_in = lk_ceil_div(conv->in_channels, p.kernels->lanes);
  p.blocks_out = lk_ceil_div(conv->out_channels, p.kernels->lanes);
  p.panels = lk_ceil_div(p.blocks_out, 2);
  // An odd number of vectors apart, so that the positions do not meet in one set of a cache.
  p.input_position = (p.blocks_in * p.width | 1) * p.kernels->lanes;
  p.product_position = (2 * p.width | 1) * p.kernels->lanes;
  return p;
}

double lk_winograd_cost(lk_blocked_conv *b, size_t tile) {
  b->winograd_tile = tile;
  b->winograd_tiles = 0;
  const plan p = make_plan(b);
  const double input = tile == 2 ? INPUT_CYCLES_2 : INPUT_CYCLES_4;
  const double output = tile == 2 ? OUTPUT_CYCLES_2 : OUTPUT_CYCLES_4;
  const size_t threads = (size_t)b->threads;
  const double panel_bytes = (double)(p.positions * p.steps * 2 * p.kernels->lanes) * sizeof(float);
  const double bytes = panel_bytes * (double)p.blocks_out / 2;
  double best = 1e300;
  for (size_t blocks = lk_ceil_div(p.tiles, MAX_TILES), tries = 0; blocks <= p.tiles && tries < 16;
       blocks++, tries++) {
    const size_t width = lk_ceil_div(p.tiles, blocks);
    for (size_t splits = 1; splits <= p.panels;
         splits = splits < p.panels && splits * 2 > p.panels ? p.panels : splits * 2) {
      const double panels = (double)lk_ceil_div(p.panels, splits);
      const double sums =
          panels * (double)p.positions * lk_panel_cycles(width, p.kernels->pixels, p.steps);
      // Weights that leave the second-level cache come again for every block.
      const double again = panels * panel_bytes > 600e3 ? panels * panel_bytes / 14 : 0;
      const double item = (double)(width * p.blocks_in) * input + (sums > again ? sums : again) +
                          panels * (double)(2 * width) * output;
      double cost = item * (double)lk_ceil_div(blocks * splits, threads);
      const double first = lk_weight_cycles(bytes) / (double)threads;
      if (cost < first) cost = first;
      if (cost < best) {
        best = cost;
        b->winograd_tiles = width;
        b->panel_splits = splits;
      }
      if (splits == p.panels) break;
    }
  }
  return best;
}

size_t lk_winograd_packed_floats(const lk_blocked_conv *b) {
  const plan p = make_plan(b);
  return p.positions * p.steps * p.blocks_out * p.kernels->lanes;
}

/// Panels of [position][channel][two blocks].
void lk_winograd_pack(const lk_blocked_conv *b, const float *weight, float *packed) {
  const double a = sqrt(0.5), c = sqrt(2.0);
  const double G4[6][3] = {{1, 0, 0},
                           {-1 / 1.5, -a / 1.5, -0.5 / 1.5},
                           {-1 / 1.5, a / 1.5, -0.5 / 1.5},
                           {1 / 6.0, c / 6, 2 / 6.0},
                           {1 / 6.0, -c / 6, 2 / 6.0},
                           {0, 0, 1}};
  const double G2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  const plan p = make_plan(b);
  const double(*G)[3] = p.tile == 2 ? G2 : G4;
  const size_t n = p.tile + 2, lanes = p.kernels->lanes, channels = b->conv.in_channels;
  for (size_t block = 0; block < p.blocks_out; block += 2) {
    const size_t width = lk_least(2, p.blocks_out - block) * lanes;
    float *panel = packed + block * lanes * p.positions * p.steps;
    for (size_t i = 0; i < p.steps; i++)
      for (size_t o = 0; o < width; o++) {
        const size_t output = block * lanes + o;
        const bool is_inside = i < channels && output < b->conv.out_channels;
        const float *g = weight + (output * channels + i) * 9;
        double half[6][3];
        for (size_t u = 0; u < n; u++)
          for (size_t v = 0; v < 3; v++)
            half[u][v] = is_inside ? G[u][0] * g[v] + G[u][1] * g[3 + v] + G[u][2] * g[6 + v] : 0;
        for (size_t u = 0; u < n; u++)
          for (size_t v = 0; v < n; v++)
            panel[((u * n + v) * p.steps + i) * width + o] =
                (float)(half[u][0] * G[v][0] + half[u][1] * G[v][1] + half[u][2] * G[v][2]);
      }
  }
}

static size_t edge_floats(const plan *p) { return p->positions * p->kernels->lanes; }

static size_t worker_floats(const plan *p) {
  const size_t floats = p->positions * (p->input_position + p->product_position) + edge_floats(p);
  return lk_ceil_div(floats, 16) * 16;
}

size_t lk_winograd_scratch_bytes(const lk_blocked_conv *b) {
  const plan p = make_plan(b);
  return worker_floats(&p) * sizeof(float) * (size_t)b->threads;
}

typedef struct run {
  const lk_blocked_conv *conv;
  plan plan;
  const float *input, *weights, *bias, *residual;
  float *output, *scratch;
  _Atomic size_t next;
} run;

/// Copies the tile at (y, x), which sticks out of the map and its halo, with zeros around.
static void copy_edge(const run *run, const float *image, ptrdiff_t y, ptrdiff_t x, float *edge) {
  const lk_map *map = &run->conv->in;
  const ptrdiff_t n = (ptrdiff_t)run->plan.tile + 2, lanes = (ptrdiff_t)run->plan.kernels->lanes;
  const ptrdiff_t height = (ptrdiff_t)run->conv->conv.in_height;
  const ptrdiff_t width = (ptrdiff_t)run->conv->conv.in_width, halo = (ptrdiff_t)map->halo;
  for (ptrdiff_t i = 0; i < n; i++)
    for (ptrdiff_t j = 0; j < n; j++, edge += lanes) {
      const bool is_inside = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width;
      if (is_inside)
        memcpy(edge, image + (y + i + halo) * (ptrdiff_t)map->row + (x + j + halo) * lanes,
               (size_t)lanes * sizeof *edge);
      else
        memset(edge, 0, (size_t)lanes * sizeof *edge);
    }
}

static void transform_inputs(const run *run, size_t first, size_t count, float *inputs,
                             float *edge) {
  const lk_conv2d *conv = &run->conv->conv;
  const lk_map *map = &run->conv->in;
  const plan *p = &run->plan;
  const size_t lanes = p->kernels->lanes;
  const ptrdiff_t n = (ptrdiff_t)p->tile + 2, halo = (ptrdiff_t)map->halo;
  for (size_t t = 0; t < count; t++) {
    const size_t image = (first + t) / (p->rows * p->columns);
    const size_t row = (first + t) / p->columns % p->rows, column = (first + t) % p->columns;
    const ptrdiff_t y = (ptrdiff_t)(row * p->tile) - (ptrdiff_t)conv->pad_top;
    const ptrdiff_t x = (ptrdiff_t)(column * p->tile) - (ptrdiff_t)conv->pad_left;
    const bool is_inside = y >= -halo && y + n <= (ptrdiff_t)conv->in_height + halo && x >= -halo &&
                           x + n <= (ptrdiff_t)conv->in_width + halo;
    for (size_t block = 0; block < p->blocks_in; block++) {
      const float *from = run->input + block * map->block + image * map->image;
      float *to = inputs + (block * count + t) * lanes;
      if (is_inside) {
        p->transforms->input(from + (y + halo) * (ptrdiff_t)map->row +
                                 (x + halo) * (ptrdiff_t)lanes,
                             map->row, to, p->input_position);
      } else {
        copy_edge(run, from, y, x, edge);
        p->transforms->input(edge, (size_t)n * lanes, to, p->input_position);
      }
    }
  }
}

static void multiply(const run *run, size_t panel, size_t vectors, size_t count,
                     const float *inputs, float *products) {
  static const ptrdiff_t no_offset = 0;
  const plan *p = &run->plan;
  const size_t lanes = p->kernels->lanes, pieces = lk_ceil_div(count, p->kernels->pixels);
  lk_pixel_tile tile = {.taps = &no_offset,
                        .tap_count = 1,
                        .blocks = p->blocks_in,
                        .block_stride = count * lanes,
                        .last_channels = p->steps - (p->blocks_in - 1) * lanes,
                        .weights = run->weights + 2 * panel * lanes * p->positions * p->steps,
                        .output_block = count * lanes};
  for (size_t position = 0; position < p->positions; position++) {
    for (size_t piece = 0; piece < pieces; piece++) {
      const size_t first = lk_share(count, pieces, piece);
      const size_t end = lk_share(count, pieces, piece + 1);
      tile.ahead = piece == 0 ? LK_AHEAD : 0;
      tile.input = inputs + position * p->input_position + first * lanes;
      tile.output = products + position * p->product_position + first * lanes;
      p->kernels->tile[0][vectors - 1][end - first - 1](&tile);
    }
    tile.weights += vectors * lanes * p->steps;
  }
}

static void transform_outputs(const run *run, size_t block, size_t first, size_t count,
                              const float *products) {
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *conv = &b->conv;
  const plan *p = &run->plan;
  const size_t lanes = p->kernels->lanes;
  lk_winograd_target target = {.residual_row = b->residual.row,
                               .row = b->out.row,
                               .bias = run->bias + block * lanes,
                               .activation = conv->activation};
  for (size_t t = 0; t < count; t++) {
    const size_t image = (first + t) / (p->rows * p->columns);
    const size_t y = (first + t) / p->columns % p->rows * p->tile;
    const size_t x = (first + t) % p->columns * p->tile;
    float *map = run->output + block * b->out.block + image * b->out.image;
    target.height = lk_least(p->tile, conv->out_height - y);
    target.width = lk_least(p->tile, conv->out_width - x);
    target.to = map + (y + b->out.halo) * b->out.row + (x + b->out.halo) * lanes;
    if (run->residual)
      target.residual = run->residual + block * b->residual.block + image * b->residual.image +
                        (y + b->residual.halo) * b->residual.row + (x + b->residual.halo) * lanes;
    p->transforms->output(products + t * lanes, p->product_position, &target);
    for (size_t i = 0; i < target.height; i++)
      lk_clear_halo(b, lanes, map, y + i, x, x + target.width);
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const plan *p = &run->plan;
  const size_t splits = run->conv->panel_splits, items = p->blocks * splits;
  float *inputs = run->scratch + index * worker_floats(p);
  float *products = inputs + p->positions * p->input_position;
  float *edge = products + p->positions * p->product_position;
  const size_t lanes = p->kernels->lanes;
  size_t item, transformed = (size_t)-1;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < items) {
    const size_t block = item / splits, split = item % splits;
    const size_t first = lk_share(p->tiles, p->blocks, block);
    const size_t count = lk_share(p->tiles, p->blocks, block + 1) - first;
    if (block != transformed) transform_inputs(run, first, count, inputs, edge);
    transformed = block;
    const size_t end = lk_share(p->panels, splits, split + 1);
    for (size_t panel = lk_share(p->panels, splits, split); panel < end; panel++) {
      const size_t vectors = lk_least(2, p->blocks_out - 2 * panel);
      multiply(run, panel, vectors, count, inputs, products);
      for (size_t v = 0; v < vectors; v++)
        transform_outputs(run, 2 * panel + v, first, count, products + v * count * lanes);
    }
  }
}

void lk_winograd_run(lk_pool *pool, const lk_blocked_conv *conv, const float *input,
                     const float *weights, const float *bias, const float *residual, float *output,
                     void *scratch) {
  run run = {.conv = conv,
             .plan = make_plan(conv),
             .input = input,
             .weights = weights,
             .bias = bias,
             .residual = residual,
             .output = output,
             .scratch = scratch};
  const size_t threads = lk_least((size_t)conv->threads, (size_t)lk_pool_thread_count(pool));
  lk_parallel_for(pool, lk_least(threads, run.plan.blocks * conv->panel_splits), worker, &run);
}
