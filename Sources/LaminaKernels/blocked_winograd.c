// Convolution with stride 1 by F(m × m', r × r') of Winograd 1980 and Lavin and Gray 2016: y =
// Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for tiles d of inputs that overlap by the taps less one, and tiles y of
// outputs. The sum over input channels makes a matrix product for each element of a tile.
#include "blocked.h"
#include "gemm.h"
#include "winograd_points.h"

#include <stdatomic.h>
#include <string.h>

enum {
  /// Tiles in a block at most.
  MAX_TILES = 28,
  TILES_AHEAD = 3,
};

/// Cycles of the transforms of one vector, for each element of a tile.
static const double INPUT_CYCLES = 2.2, OUTPUT_CYCLES = 1.6;

typedef struct plan {
  const lk_blocked_kernels *kernels;
  const lk_winograd_kernels *transforms;
  size_t positions, tile_height, tile_width, rows, columns, tiles, blocks, width;
  size_t steps, blocks_in, blocks_out, panels;
  size_t input_position, product_position;
  /// Whether maps are larger than caches, where no processor foresees which rows a tile reads, and
  /// have long rows of tiles.
  bool fetches_ahead;
} plan;

static plan make_plan(const lk_blocked_conv *b) {
  const lk_conv2d *conv = &b->conv;
  plan p = {.kernels = lk_blocked_kernels_for(b->isa)};
  p.transforms = &p.kernels->winograd[b->winograd_form];
  p.positions = p.transforms->rows * p.transforms->columns;
  p.tile_height = p.transforms->rows - p.transforms->height + 1;
  p.tile_width = p.transforms->columns - p.transforms->width + 1;
  p.rows = lk_ceil_div(conv->out_height, p.tile_height);
  p.columns = lk_ceil_div(conv->out_width, p.tile_width);
  p.tiles = conv->batch * p.rows * p.columns;
  p.width = b->winograd_tiles;
  p.blocks = p.width ? lk_ceil_div(p.tiles, p.width) : 0;
  p.steps = lk_tap_steps(conv->in_channels);
  const size_t lanes = p.kernels->lanes;
  p.blocks_in = lk_ceil_div(conv->in_channels, lanes);
  p.blocks_out = lk_ceil_div(conv->out_channels, lanes);
  p.panels = lk_ceil_div(p.blocks_out, 2);
  // An odd number of vectors apart, so that the positions do not meet in one set of a cache.
  p.input_position = (p.blocks_in * p.width | 1) * lanes;
  p.product_position = (2 * p.width | 1) * lanes;
  const size_t floats = p.blocks_in * b->in.block + p.blocks_out * b->out.block;
  p.fetches_ahead = p.columns > 2 * TILES_AHEAD && floats * sizeof(float) > LK_CACHED_BYTES;
  return p;
}

const char *lk_winograd_name(const lk_blocked_conv *b) {
  static const char *const names[LK_WINOGRAD_FORMS] = {
      "winograd 2×2", "winograd 4×4", "winograd 2×2", "winograd 4×4", "winograd 1×4",
      "winograd 4×1", "winograd 1×2", "winograd 2×1", "winograd 1×4", "winograd 4×1"};
  return names[b->winograd_form];
}

/// The cost with `p.tiles` in `blocks` blocks and the panels in `splits` parts.
static double cost_of(const plan *p, size_t threads, size_t blocks, size_t splits) {
  const size_t width = lk_ceil_div(p->tiles, blocks);
  const double positions = (double)p->positions, panels = (double)lk_ceil_div(p->panels, splits);
  const double panel_bytes = positions * (double)(2 * p->steps * p->kernels->lanes) * sizeof(float);
  const double sums = panels * positions * lk_panel_cycles(width, p->kernels->pixels, p->steps);
  // Weights that leave the second-level cache come again for every block.
  const double again = panels * panel_bytes > 600e3 ? panels * panel_bytes / 14 : 0;
  const double item = (double)(width * p->blocks_in) * positions * INPUT_CYCLES +
                      (sums > again ? sums : again) +
                      panels * (double)(2 * width) * positions * OUTPUT_CYCLES;
  return lk_overlapped(item * (double)lk_ceil_div(blocks * splits, threads),
                       lk_weight_cycles((double)p->blocks_out / 2 * panel_bytes));
}

double lk_winograd_cost(lk_blocked_conv *b, size_t form) {
  b->winograd_form = form;
  b->winograd_tiles = 0;
  const plan p = make_plan(b);
  double best = 1e300;
  if (p.transforms->height != b->conv.kernel_height || p.transforms->width != b->conv.kernel_width)
    return best;
  for (size_t blocks = lk_ceil_div(p.tiles, MAX_TILES), tries = 0; blocks <= p.tiles && tries < 16;
       blocks++, tries++)
    for (size_t splits = 1; splits <= p.panels;
         splits = splits < p.panels && splits * 2 > p.panels ? p.panels : splits * 2) {
      const double cost = cost_of(&p, (size_t)b->threads, blocks, splits);
      if (cost >= best) continue;
      best = cost;
      b->winograd_tiles = lk_ceil_div(p.tiles, blocks);
      b->panel_splits = splits;
    }
  return best;
}

size_t lk_winograd_packed_floats(const lk_blocked_conv *b) {
  const plan p = make_plan(b);
  return p.positions * p.steps * p.blocks_out * p.kernels->lanes;
}

/// A number for each of four outputs.
typedef double quad __attribute__((vector_size(32)));
typedef float float_quad __attribute__((vector_size(16)));

/// G g along one axis.
static void transform_weight(size_t n, size_t taps, const quad *g, size_t stride, quad *u) {
  if (n == 1) {
    u[0] = g[0];
    return;
  }
  const lk_points *points = lk_points_for(n);
  u[0] = points->first * g[0];
  u[n - 1] = g[(taps - 1) * stride];
  for (size_t j = 0; j < n / 2 - 1; j++) {
    quad part[2] = {{0}, {0}};
    for (size_t i = 0; i < taps; i++) part[i % 2] += points->weights[j][i] * g[i * stride];
    u[2 * j + 1] = part[0] + part[1];
    u[2 * j + 2] = part[0] - part[1];
  }
}

/// G g Gᵀ of windows of taps.
static void transform_window(const lk_winograd_kernels *k, const quad *g, quad *u) {
  quad half[LK_MAX_TILE_TAPS][LK_MAX_TILE_INPUTS];
  for (size_t j = 0; j < k->width; j++)
    transform_weight(k->rows, k->height, g + j, k->width, half[j]);
  for (size_t i = 0; i < k->rows; i++)
    transform_weight(k->columns, k->width, &half[0][i], LK_MAX_TILE_INPUTS, u + i * k->columns);
}

typedef struct packing {
  const lk_blocked_conv *conv;
  const float *weight;
  bool is_adjoint;
  float *packed;
} packing;

/// A panel of [position][channel][two blocks].
static void pack_panel(void *context, size_t index) {
  const packing *packing = context;
  const lk_conv2d *conv = &packing->conv->conv;
  const plan p = make_plan(packing->conv);
  const size_t lanes = p.kernels->lanes, channels = conv->in_channels, block = 2 * index;
  const size_t taps = p.transforms->height * p.transforms->width;
  const size_t width = lk_least(2, p.blocks_out - block) * lanes;
  float *panel = packing->packed + block * lanes * p.positions * p.steps;
  for (size_t i = 0; i < p.steps; i++)
    for (size_t first = 0; first < width; first += 4) {
      quad g[LK_MAX_TILE_TAPS * LK_MAX_TILE_TAPS] = {{0}};
      for (size_t o = 0; o < 4; o++) {
        const size_t output = block * lanes + first + o;
        if (i >= channels || output >= conv->out_channels) continue;
        const float *window = packing->weight + (output * channels + i) * taps;
        for (size_t tap = 0; tap < taps; tap++) g[tap][o] = window[tap];
      }
      quad u[LK_MAX_TILE_INPUTS * LK_MAX_TILE_INPUTS];
      transform_window(p.transforms, g, u);
      for (size_t position = 0; position < p.positions; position++) {
        const float_quad rounded = __builtin_convertvector(u[position], float_quad);
        memcpy(panel + (position * p.steps + i) * width + first, &rounded, sizeof rounded);
      }
    }
}

void lk_winograd_pack(lk_pool *pool, const lk_blocked_conv *b, const float *weight, float *packed) {
  lk_parallel_for(pool, make_plan(b).panels, pack_panel, &(packing){b, weight, false, packed});
}

enum { MAX_WINDOW = 25 };

/// One block of input channels of a panel.
static void repack_block(void *context, size_t index) {
  const packing *packing = context;
  const lk_conv2d *conv = &packing->conv->conv;
  const plan p = make_plan(packing->conv);
  const lk_pack_rows_kernel transpose = lk_gemm_kernels_for(packing->conv->isa)->pack_columns;
  const size_t lanes = p.kernels->lanes, channels = conv->in_channels;
  const size_t block = index / p.blocks_in * 2, first_channel = index % p.blocks_in * lanes;
  const size_t taps = p.transforms->height * p.transforms->width;
  const size_t width = lk_least(2, p.blocks_out - block) * lanes;
  float *panel = packing->packed + block * lanes * p.positions * p.steps;
  const size_t end = lk_least(first_channel + lanes, p.steps);
  const size_t count = lk_least(lanes, channels - first_channel);
  float windows[2][LK_MAX_BLOCK * MAX_WINDOW * LK_MAX_BLOCK], turned[MAX_WINDOW * LK_MAX_BLOCK];
  for (size_t v = 0; v * lanes < width; v++) {
    const size_t start = (block + v) * lanes;
    memset(windows[v] + count * taps * lanes, 0, (lanes - count) * taps * lanes * sizeof(float));
    if (!packing->is_adjoint)
      transpose(packing->weight + (start * channels + first_channel) * taps, channels * taps,
                lk_least(lanes, conv->out_channels - start), count * taps, 1, windows[v], lanes);
  }
  for (size_t i = first_channel; i < end; i++)
    for (size_t v = 0; v * lanes < width; v++) {
      const size_t start = (block + v) * lanes;
      float *window = windows[v] + (i - first_channel) * taps * lanes;
      if (packing->is_adjoint && i < channels) {
        transpose(packing->weight + (i * conv->out_channels + start) * taps, taps,
                  lk_least(lanes, conv->out_channels - start), taps, 1, turned, lanes);
        for (size_t tap = 0; tap < taps; tap++)
          memcpy(window + tap * lanes, turned + (taps - 1 - tap) * lanes, lanes * sizeof(float));
      }
      p.transforms->weight(window, panel + i * width + v * lanes, p.steps * width);
    }
}

void lk_winograd_repack(lk_pool *pool, const lk_blocked_conv *b, const float *weight,
                        bool is_adjoint, float *packed) {
  const plan p = make_plan(b);
  lk_parallel_for(pool, p.panels * p.blocks_in, repack_block,
                  &(packing){b, weight, is_adjoint, packed});
}

static size_t worker_floats(const plan *p) {
  const size_t floats =
      p->positions * (p->input_position + p->product_position + p->kernels->lanes);
  return lk_ceil_div(floats, 16) * 16;
}

size_t lk_winograd_scratch_bytes(const lk_blocked_conv *b) {
  const plan p = make_plan(b);
  return worker_floats(&p) * sizeof(float) * (size_t)b->threads;
}

/// Fetches the pixels that are a tile's own, of the tile that comes some tiles later in its row, or
/// what lies behind the row.
static void fetch_ahead(const plan *p, const float *tile, size_t row) {
  if (!p->fetches_ahead) return;
  const size_t lanes = p->kernels->lanes;
  const float *later = tile + TILES_AHEAD * p->tile_width * lanes;
  for (size_t i = 0; i < p->tile_height; i++)
    for (size_t j = 0; j < p->tile_width; j++) __builtin_prefetch(later + i * row + j * lanes);
}

/// The first pixel of a tile of inputs that its neighbours above and to the left do not read.
static size_t own_pixel(const plan *p, size_t row) {
  return (p->transforms->height - 1) * row + (p->transforms->width - 1) * p->kernels->lanes;
}

typedef struct run {
  const lk_blocked_conv *conv;
  plan plan;
  const float *input, *weights, *bias, *residual;
  float *output, *scratch;
  _Atomic size_t next;
} run;

/// Copies `rows` × `columns` pixels of a map of `height` × `width` from (y, x) on, with zeros
/// outside.
static void copy_edge(const lk_map *map, ptrdiff_t height, ptrdiff_t width, const float *image,
                      ptrdiff_t y, ptrdiff_t x, ptrdiff_t rows, ptrdiff_t columns, float *edge) {
  const ptrdiff_t lanes = (ptrdiff_t)map->channels, halo = (ptrdiff_t)map->halo;
  for (ptrdiff_t i = 0; i < rows; i++)
    for (ptrdiff_t j = 0; j < columns; j++, edge += lanes) {
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
  const ptrdiff_t rows = (ptrdiff_t)p->transforms->rows, halo = (ptrdiff_t)map->halo;
  const ptrdiff_t columns = (ptrdiff_t)p->transforms->columns;
  for (size_t t = 0; t < count; t++) {
    const size_t image = (first + t) / (p->rows * p->columns);
    const size_t row = (first + t) / p->columns % p->rows, column = (first + t) % p->columns;
    const ptrdiff_t y = (ptrdiff_t)(row * p->tile_height) - (ptrdiff_t)conv->pad_top;
    const ptrdiff_t x = (ptrdiff_t)(column * p->tile_width) - (ptrdiff_t)conv->pad_left;
    const bool is_inside = y >= -halo && y + rows <= (ptrdiff_t)conv->in_height + halo &&
                           x >= -halo && x + columns <= (ptrdiff_t)conv->in_width + halo;
    for (size_t block = 0; block < p->blocks_in; block++) {
      const float *from = run->input + block * map->block + image * map->image;
      float *to = inputs + (block * count + t) * lanes;
      if (is_inside) {
        from += (y + halo) * (ptrdiff_t)map->row + (x + halo) * (ptrdiff_t)lanes;
        fetch_ahead(p, from + own_pixel(p, map->row), map->row);
        p->transforms->input(from, map->row, to, p->input_position);
      } else {
        copy_edge(map, (ptrdiff_t)conv->in_height, (ptrdiff_t)conv->in_width, from, y, x, rows,
                  columns, edge);
        p->transforms->input(edge, p->transforms->columns * lanes, to, p->input_position);
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
    const size_t y = (first + t) / p->columns % p->rows * p->tile_height;
    const size_t x = (first + t) % p->columns * p->tile_width;
    float *map = run->output + block * b->out.block + image * b->out.image;
    target.height = lk_least(p->tile_height, conv->out_height - y);
    target.width = lk_least(p->tile_width, conv->out_width - x);
    target.to = map + (y + b->out.halo) * b->out.row + (x + b->out.halo) * lanes;
    if (run->residual)
      target.residual = run->residual + block * b->residual.block + image * b->residual.image +
                        (y + b->residual.halo) * b->residual.row + (x + b->residual.halo) * lanes;
    fetch_ahead(p, target.to, b->out.row);
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

// ------------------------------------------------------------------------------------------------
// The gradient by the weight: dW = Gᵀ[Σ (Bᵀ d B) ⊙ (A dy Aᵀ)]G over all tiles, a chunk of tiles at
// a time: its transforms, then for each element of a tile a product of matrices that adds to the
// sums [panel][position][channel][two blocks].

enum { TILE_CHUNK_BYTES = 4 << 20, LEAST_CHUNK_TILES = 64, MOST_CHUNK_TILES = 256, PIECE = 16 };

typedef struct gradient_plan {
  plan plan;
  size_t chunks, width, pieces;
  size_t input_position, gradient_position;
} gradient_plan;

static gradient_plan make_gradient_plan(const lk_blocked_conv *b) {
  gradient_plan g = {.plan = make_plan(b)};
  const plan *p = &g.plan;
  const size_t bytes =
      p->positions * (p->blocks_in + p->blocks_out) * p->kernels->lanes * sizeof(float);
  const size_t most =
      lk_most(lk_least(TILE_CHUNK_BYTES / bytes, MOST_CHUNK_TILES), LEAST_CHUNK_TILES);
  g.chunks = lk_ceil_div(p->tiles, most);
  g.width = lk_ceil_div(p->tiles, g.chunks);
  g.pieces = lk_ceil_div(g.width, PIECE);
  g.input_position = (p->blocks_in * g.width | 1) * p->kernels->lanes;
  g.gradient_position = (p->blocks_out * g.width | 1) * p->kernels->lanes;
  return g;
}

/// Distance of the sums of neighbouring positions of a panel; the last panel may have less.
static size_t sum_position(const plan *p) { return (2 * p->steps | 1) * p->kernels->lanes; }

static size_t sum_floats(const plan *p) { return p->panels * p->positions * sum_position(p); }

size_t lk_winograd_weight_gradient_scratch_bytes(const lk_blocked_conv *b) {
  const gradient_plan g = make_gradient_plan(b);
  return (sum_floats(&g.plan) + g.plan.positions * (g.input_position + g.gradient_position)) *
         sizeof(float);
}

typedef struct gradient_run {
  const lk_blocked_conv *conv;
  gradient_plan plan;
  const float *input, *gradient;
  bool adds;
  float *to, *sums, *inputs, *gradients;
  /// The chunk.
  size_t first, count;
} gradient_run;

/// Transforms some tiles of one block of the input or the output's gradient.
static void transform_piece(void *context, size_t index) {
  const gradient_run *run = context;
  const gradient_plan *g = &run->plan;
  const plan *p = &g->plan;
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *conv = &b->conv;
  const size_t lanes = p->kernels->lanes, piece = index % g->pieces;
  const bool is_input = index / g->pieces < p->blocks_in;
  const size_t block = index / g->pieces - (is_input ? 0 : p->blocks_in);
  const lk_map *map = is_input ? &b->in : &b->out;
  const ptrdiff_t height = (ptrdiff_t)(is_input ? conv->in_height : conv->out_height);
  const ptrdiff_t width = (ptrdiff_t)(is_input ? conv->in_width : conv->out_width);
  const ptrdiff_t rows = (ptrdiff_t)(is_input ? p->transforms->rows : p->tile_height);
  const ptrdiff_t columns = (ptrdiff_t)(is_input ? p->transforms->columns : p->tile_width);
  const ptrdiff_t halo = (ptrdiff_t)map->halo;
  const size_t stride = is_input ? g->input_position : g->gradient_position;
  float *to = (is_input ? run->inputs : run->gradients) + block * run->count * lanes;
  float edge[LK_MAX_TILE_INPUTS * LK_MAX_TILE_INPUTS * LK_MAX_BLOCK];
  const size_t end = lk_share(run->count, g->pieces, piece + 1);
  for (size_t t = lk_share(run->count, g->pieces, piece); t < end; t++) {
    const size_t tile = run->first + t, image = tile / (p->rows * p->columns);
    const ptrdiff_t y = (ptrdiff_t)(tile / p->columns % p->rows * p->tile_height) -
                        (is_input ? (ptrdiff_t)conv->pad_top : 0);
    const ptrdiff_t x =
        (ptrdiff_t)(tile % p->columns * p->tile_width) - (is_input ? (ptrdiff_t)conv->pad_left : 0);
    const float *from =
        (is_input ? run->input : run->gradient) + block * map->block + image * map->image;
    size_t row = map->row;
    if (y >= -halo && y + rows <= height + halo && x >= -halo && x + columns <= width + halo) {
      from += (y + halo) * (ptrdiff_t)map->row + (x + halo) * (ptrdiff_t)lanes;
      fetch_ahead(p, from + (is_input ? own_pixel(p, row) : 0), row);
    } else {
      copy_edge(map, height, width, from, y, x, rows, columns, edge);
      from = edge;
      row = (size_t)columns * lanes;
    }
    if (is_input)
      p->transforms->input(from, row, to + t * lanes, stride);
    else
      p->transforms->output_gradient(from, row, to + t * lanes, stride);
  }
}

/// Adds the products of one position to the sums of one panel.
static void add_products(void *context, size_t index) {
  const gradient_run *run = context;
  const gradient_plan *g = &run->plan;
  const plan *p = &g->plan;
  const size_t lanes = p->kernels->lanes, most = p->kernels->weight_channels;
  const size_t panel = index / p->positions, position = index % p->positions;
  const size_t vectors = lk_least(2, p->blocks_out - 2 * panel);
  float *sums = run->sums + (panel * p->positions + position) * sum_position(p);
  if (run->first == 0) memset(sums, 0, p->steps * vectors * lanes * sizeof *sums);
  lk_weight_tile tile = {.gradient = run->gradients + position * g->gradient_position +
                                     2 * panel * run->count * lanes,
                         .gradient_block = run->count * lanes,
                         .input_pixel = lanes,
                         .images = 1,
                         .rows = 1,
                         .width = run->count,
                         .to_stride = vectors * lanes};
  for (size_t i = 0; i < p->steps; i += most) {
    tile.input =
        run->inputs + position * g->input_position + i / lanes * run->count * lanes + i % lanes;
    tile.to = sums + i * vectors * lanes;
    p->kernels->weight_tile[vectors - 1][lk_least(most, p->steps - i) - 1](&tile);
  }
}

/// Transforms the sums of one panel and one block of input channels, and brings them to their
/// places.
static void unpack_sums(void *context, size_t index) {
  const gradient_run *run = context;
  const plan *p = &run->plan.plan;
  const lk_conv2d *conv = &run->conv->conv;
  const lk_pack_rows_kernel transpose = lk_gemm_kernels_for(run->conv->isa)->pack_columns;
  const size_t lanes = p->kernels->lanes, taps = p->transforms->height * p->transforms->width;
  const size_t block = index / p->blocks_in * 2, first_channel = index % p->blocks_in * lanes;
  const size_t width = lk_least(2, p->blocks_out - block) * lanes;
  const float *sums = run->sums + index / p->blocks_in * p->positions * sum_position(p);
  const size_t end = lk_least(first_channel + lanes, conv->in_channels);
  float windows[LK_STEP_CHANNELS * MAX_WINDOW * LK_MAX_BLOCK];
  float rows[LK_STEP_CHANNELS * MAX_WINDOW * LK_MAX_BLOCK];
  for (size_t first = 0; first < width; first += lanes) {
    const size_t start = block * lanes + first;
    const size_t outputs = lk_least(lanes, conv->out_channels - start);
    for (size_t step = first_channel; step < end; step += LK_STEP_CHANNELS) {
      const size_t count = lk_least(LK_STEP_CHANNELS, end - step);
      for (size_t i = 0; i < count; i++)
        p->transforms->weight_gradient(sums + (step + i) * width + first, sum_position(p),
                                       windows + i * taps * lanes);
      transpose(windows, lanes, count * taps, outputs, 1, rows, count * taps);
      for (size_t o = 0; o < outputs; o++)
        lk_put(rows + o * count * taps, count * taps, run->adds,
               run->to + ((start + o) * conv->in_channels + step) * taps);
    }
  }
}

void lk_winograd_weight_gradient(lk_pool *pool, const lk_blocked_conv *b, const float *input,
                                 const float *output_gradient, bool adds, float *weight_gradient,
                                 void *scratch) {
  gradient_run run = {.conv = b,
                      .plan = make_gradient_plan(b),
                      .input = input,
                      .gradient = output_gradient,
                      .adds = adds,
                      .to = weight_gradient,
                      .sums = scratch};
  const plan *p = &run.plan.plan;
  run.inputs = run.sums + sum_floats(p);
  run.gradients = run.inputs + p->positions * run.plan.input_position;
  for (size_t chunk = 0; chunk < run.plan.chunks; chunk++) {
    run.first = lk_share(p->tiles, run.plan.chunks, chunk);
    run.count = lk_share(p->tiles, run.plan.chunks, chunk + 1) - run.first;
    lk_parallel_for(pool, (p->blocks_in + p->blocks_out) * run.plan.pieces, transform_piece, &run);
    lk_parallel_for(pool, p->panels * p->positions, add_products, &run);
  }
  lk_parallel_for(pool, p->panels * p->blocks_in, unpack_sums, &run);
}
