// Gradients of convolutions of blocked maps.
#include "blocked.h"
#include "gemm.h"
#include "map_halo.h"

#include <stdatomic.h>
#include <string.h>

static size_t taps_of(const lk_conv2d *conv) { return conv->kernel_height * conv->kernel_width; }

// ------------------------------------------------------------------------------------------------
// By the input. With stride 1 it is a convolution with windows turned round. With stride s the
// pixels of the input fall into s × s phases: those of a phase meet the same taps, and their
// gradients are a convolution of the output's gradient with these alone.

/// The pixels s·i + first, i < count, of one axis, which meet output i + shift(tap) by `taps`.
typedef struct phase {
  size_t first, count, tap_count;
  size_t taps[LK_MAX_PHASE_TAPS];
  ptrdiff_t shifts[LK_MAX_PHASE_TAPS];
} phase;

static phase make_phase(size_t number, size_t extent, size_t stride, size_t kernel, size_t dilation,
                        size_t pad) {
  phase p = {.first = number, .count = number < extent ? lk_ceil_div(extent - number, stride) : 0};
  for (size_t tap = 0; tap < kernel; tap++) {
    const ptrdiff_t distance = (ptrdiff_t)(number + pad) - (ptrdiff_t)(tap * dilation);
    if (distance % (ptrdiff_t)stride != 0) continue;
    p.taps[p.tap_count] = tap;
    p.shifts[p.tap_count++] = distance / (ptrdiff_t)stride;
  }
  return p;
}

static phase row_phase(const lk_conv2d *c, size_t number) {
  return make_phase(number, c->in_height, c->stride_height, c->kernel_height, c->dilation_height,
                    c->pad_top);
}

static phase column_phase(const lk_conv2d *c, size_t number) {
  return make_phase(number, c->in_width, c->stride_width, c->kernel_width, c->dilation_width,
                    c->pad_left);
}

/// How far outputs that the pixels of a phase meet lie outside the map.
static size_t phase_halo(const phase *p, size_t outputs) {
  ptrdiff_t halo = 0;
  for (size_t t = 0; p->count > 0 && t < p->tap_count; t++) {
    const ptrdiff_t end = (ptrdiff_t)p->count + p->shifts[t] - (ptrdiff_t)outputs;
    if (-p->shifts[t] > halo) halo = -p->shifts[t];
    if (end > halo) halo = end;
  }
  return (size_t)halo;
}

size_t lk_input_gradient_halo(const lk_conv2d *c) {
  size_t halo = 0;
  if (c->kernel_height > LK_MAX_PHASE_TAPS || c->kernel_width > LK_MAX_PHASE_TAPS) return SIZE_MAX;
  for (size_t i = 0; i < c->stride_height; i++) {
    const phase p = row_phase(c, i);
    halo = lk_most(halo, phase_halo(&p, c->out_height));
  }
  for (size_t i = 0; i < c->stride_width; i++) {
    const phase p = column_phase(c, i);
    halo = lk_most(halo, phase_halo(&p, c->out_width));
  }
  return halo;
}

bool lk_make_input_gradient(lk_input_gradient *g, const lk_blocked_conv *forward) {
  const lk_conv2d *c = &forward->conv;
  *g = (lk_input_gradient){.forward = *forward};
  if (forward->algorithm == LK_CONV_FROM_PLAIN) return lk_make_plain_input_gradient(forward);
  if (lk_input_gradient_halo(c) > forward->out.halo) return false;
  g->is_strided = c->stride_height > 1 || c->stride_width > 1;
  if (g->is_strided) return true;
  const size_t below = (c->kernel_height - 1) * c->dilation_height;
  const size_t right = (c->kernel_width - 1) * c->dilation_width;
  if (c->pad_top > below || c->pad_left > right) return false;
  g->adjoint = (lk_blocked_conv){
      .conv = *c, .in = forward->out, .out = forward->in, .residual = forward->in};
  lk_conv2d *a = &g->adjoint.conv;
  a->in_channels = c->out_channels, a->out_channels = c->in_channels;
  a->in_height = c->out_height, a->in_width = c->out_width;
  a->out_height = c->in_height, a->out_width = c->in_width;
  a->pad_top = below - c->pad_top, a->pad_left = right - c->pad_left;
  a->activation = (lk_activation){0};
  return lk_make_blocked_conv(&g->adjoint, false, forward->threads);
}

/// What phases share: in the adjoint the channels of the output are summed up.
typedef struct strided {
  const lk_input_gradient *gradient;
  const lk_blocked_kernels *kernels;
  bool is_depthwise;
  size_t lanes, sum_channels, channels, sum_blocks, blocks, panels_in_group;
} strided;

static strided make_strided(const lk_input_gradient *g) {
  const lk_conv2d *c = &g->forward.conv;
  strided s = {.gradient = g, .kernels = lk_blocked_kernels_for(g->forward.isa)};
  s.is_depthwise = g->forward.algorithm == LK_CONV_DEPTHWISE;
  s.lanes = s.kernels->lanes;
  s.sum_channels = c->out_channels / c->groups;
  s.channels = c->in_channels / c->groups;
  s.sum_blocks = lk_ceil_div(s.sum_channels, s.lanes);
  s.blocks = lk_ceil_div(s.channels, s.lanes);
  s.panels_in_group = lk_ceil_div(s.blocks, 2);
  return s;
}

static size_t strided_panels(const strided *s) {
  const lk_conv2d *c = &s->gradient->forward.conv;
  return s->is_depthwise ? lk_ceil_div(c->in_channels, s->lanes) : s->panels_in_group * c->groups;
}

/// Floats of the weights of one panel: the phases one behind the other.
static size_t panel_floats(const strided *s) {
  const size_t taps = taps_of(&s->gradient->forward.conv);
  return s->is_depthwise ? taps * s->lanes : taps * lk_tap_steps(s->sum_channels) * 2 * s->lanes;
}

static bool is_plain(const lk_input_gradient *g) {
  return g->forward.algorithm == LK_CONV_FROM_PLAIN;
}

size_t lk_input_gradient_packed_bytes(const lk_input_gradient *g) {
  if (is_plain(g)) return lk_plain_input_gradient_packed_bytes(g);
  if (!g->is_strided) return lk_blocked_conv_packed_bytes(&g->adjoint);
  const strided s = make_strided(g);
  return lk_ceil_div(strided_panels(&s) * panel_floats(&s) * sizeof(float), 64) * 64;
}

typedef struct packing {
  strided strided;
  const float *weight;
  float *packed;
} packing;

static void pack_phases(void *context, size_t index) {
  const packing *packing = context;
  const strided *s = &packing->strided;
  const lk_conv2d *c = &s->gradient->forward.conv;
  const size_t taps = taps_of(c);
  const size_t group = index / s->panels_in_group, block = index % s->panels_in_group * 2;
  const size_t first = s->is_depthwise ? index * s->lanes : block * s->lanes;
  const size_t width = s->is_depthwise ? s->lanes : lk_least(2, s->blocks - block) * s->lanes;
  const float *weight = packing->weight + group * s->sum_channels * s->channels * taps;
  float *to = packing->packed + index * panel_floats(s);
  for (size_t i = 0; i < c->stride_height * c->stride_width; i++) {
    const phase rows = row_phase(c, i / c->stride_width);
    const phase columns = column_phase(c, i % c->stride_width);
    for (size_t o0 = 0; o0 < s->sum_channels; o0 += s->lanes) {
      const size_t count = lk_tap_steps(lk_least(s->lanes, s->sum_channels - o0));
      for (size_t u = 0; u < rows.tap_count; u++)
        for (size_t v = 0; v < columns.tap_count; v++) {
          const size_t tap = rows.taps[u] * c->kernel_width + columns.taps[v];
          if (s->is_depthwise) {
            for (size_t j = first; j < first + width; j++)
              *to++ = j < c->in_channels ? packing->weight[j * taps + tap] : 0;
            continue;
          }
          for (size_t o = o0; o < o0 + count; o++)
            for (size_t j = first; j < first + width; j++)
              *to++ = j < s->channels && o < s->sum_channels
                          ? weight[(o * s->channels + j) * taps + tap]
                          : 0;
        }
    }
  }
}

void lk_input_gradient_pack(lk_pool *pool, const lk_input_gradient *g, const float *weight,
                            void *packed) {
  if (is_plain(g)) {
    lk_plain_input_gradient_pack(g, weight, packed);
    return;
  }
  if (!g->is_strided) {
    lk_blocked_conv_repack(pool, &g->adjoint, weight, NULL, true, packed);
    return;
  }
  packing p = {make_strided(g), weight, packed};
  lk_parallel_for(pool, strided_panels(&p.strided), pack_phases, &p);
}

/// Floats in which a worker keeps the gradients of a row of a phase, one block behind the other.
static size_t row_floats(const strided *s) {
  return 2 * s->gradient->forward.conv.in_width * s->lanes;
}

size_t lk_input_gradient_scratch_bytes(const lk_input_gradient *g) {
  if (is_plain(g)) return lk_plain_input_gradient_scratch_bytes(g);
  if (!g->is_strided) return lk_blocked_conv_scratch_bytes(&g->adjoint);
  const strided s = make_strided(g);
  return row_floats(&s) * sizeof(float) * (size_t)g->forward.threads;
}

typedef struct strided_run {
  strided strided;
  const float *from, *packed;
  bool adds;
  float *to, *scratch;
  /// The input's rows are cut, in whole periods of phases, into chunks whose output gradients stay
  /// in the cache.
  size_t periods, chunks;
  _Atomic size_t next;
} strided_run;

/// A row of the gradient of one phase and where it goes.
typedef struct phase_row {
  const phase *rows, *columns;
  const float *from, *weights;
  size_t vectors;
  float *to, *line;
} phase_row;

static void run_row(const strided_run *run, const phase_row *r) {
  static const float no_bias[LK_MAX_BLOCK];
  const strided *s = &run->strided;
  const lk_blocked_conv *b = &s->gradient->forward;
  const lk_conv2d *c = &b->conv;
  const size_t lanes = s->lanes, count = r->columns->count;
  const size_t line_block = c->in_width * lanes;
  ptrdiff_t taps[LK_MAX_PHASE_TAPS * LK_MAX_PHASE_TAPS];
  size_t tap_count = 0;
  for (size_t u = 0; u < r->rows->tap_count; u++)
    for (size_t v = 0; v < r->columns->tap_count; v++)
      taps[tap_count++] =
          r->rows->shifts[u] * (ptrdiff_t)b->out.row + r->columns->shifts[v] * (ptrdiff_t)lanes;
  if (tap_count > 0 && s->is_depthwise) {
    s->kernels->depthwise_row(&(lk_depthwise_row){.input = r->from,
                                                  .taps = taps,
                                                  .tap_count = tap_count,
                                                  .pixel_stride = lanes,
                                                  .width = count,
                                                  .weights = r->weights,
                                                  .bias = no_bias,
                                                  .output = r->line});
  } else if (tap_count > 0) {
    lk_pixel_tile tile = {.taps = taps,
                          .tap_count = tap_count,
                          .blocks = s->sum_blocks,
                          .block_stride = b->out.block,
                          .last_channels =
                              lk_tap_steps(s->sum_channels - (s->sum_blocks - 1) * lanes),
                          .weights = r->weights,
                          .output_block = line_block};
    const size_t tiles = lk_ceil_div(count, s->kernels->pixels);
    for (size_t t = 0; t < tiles; t++) {
      const size_t x = lk_share(count, tiles, t), end = lk_share(count, tiles, t + 1);
      tile.input = r->from + x * lanes;
      tile.output = r->line + x * lanes;
      s->kernels->tile[0][r->vectors - 1][end - x - 1](&tile);
    }
  }
  for (size_t v = 0; v < r->vectors; v++)
    s->kernels->put_pixels(tap_count > 0 ? r->line + v * line_block : NULL, r->to + v * b->in.block,
                           c->stride_width * lanes, count, run->adds);
}

static void strided_worker(void *context, size_t index) {
  strided_run *run = context;
  const strided *s = &run->strided;
  const lk_blocked_conv *b = &s->gradient->forward;
  const lk_conv2d *c = &b->conv;
  const size_t lanes = s->lanes, panels = strided_panels(s);
  const size_t items = panels * c->batch * run->chunks;
  float *line = run->scratch + index * row_floats(s);
  size_t item;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < items) {
    // Neighbouring items share a chunk, or where an image is one the weights.
    const size_t place = run->chunks > 1 ? item / panels : item % c->batch;
    const size_t panel = run->chunks > 1 ? item % panels : item / c->batch;
    const size_t image = place / run->chunks, chunk = place % run->chunks;
    const size_t group = s->is_depthwise ? 0 : panel / s->panels_in_group;
    const size_t first = s->is_depthwise ? panel : panel % s->panels_in_group * 2;
    const size_t vectors = s->is_depthwise ? 1 : lk_least(2, s->blocks - first);
    const float *from = run->from + image * b->out.image +
                        (s->is_depthwise ? panel : group * s->sum_blocks) * b->out.block +
                        b->out.halo * (b->out.row + lanes);
    float *to = run->to + image * b->in.image + (group * s->blocks + first) * b->in.block;
    const size_t start = lk_share(run->periods, run->chunks, chunk);
    const size_t end = lk_share(run->periods, run->chunks, chunk + 1);
    const float *weights = run->packed + panel * panel_floats(s);
    for (size_t i = 0; i < c->stride_height * c->stride_width; i++) {
      const phase rows = row_phase(c, i / c->stride_width);
      const phase columns = column_phase(c, i % c->stride_width);
      for (size_t k = start; columns.count > 0 && k < lk_least(end, rows.count); k++) {
        const size_t y = rows.first + k * c->stride_height;
        if (!run->adds && columns.first == 0)
          for (size_t v = 0; v < vectors; v++)
            lk_zero_halo(to + v * b->in.block, y, c->in_height, c->in_width, lanes, b->in.halo);
        run_row(run, &(phase_row){.rows = &rows,
                                  .columns = &columns,
                                  .from = from + k * b->out.row,
                                  .weights = weights,
                                  .vectors = vectors,
                                  .to = to + (y + b->in.halo) * b->in.row +
                                        (columns.first + b->in.halo) * lanes,
                                  .line = line});
      }
      weights += rows.tap_count * columns.tap_count *
                 (s->is_depthwise ? lanes : lk_tap_steps(s->sum_channels) * vectors * lanes);
    }
  }
}

/// What a chunk of output gradients may take of the second-level cache.
enum { ROWS_BYTES = 384 << 10 };

void lk_input_gradient_run(lk_pool *pool, const lk_input_gradient *g, const float *output_gradient,
                           const void *packed, bool adds, float *input_gradient, void *scratch) {
  if (is_plain(g)) {
    lk_plain_input_gradient_run(pool, g, output_gradient, packed, adds, input_gradient, scratch);
    return;
  }
  if (!g->is_strided) {
    lk_blocked_conv_run(pool, &g->adjoint, output_gradient, packed, adds ? input_gradient : NULL,
                        input_gradient, scratch);
    return;
  }
  const lk_conv2d *c = &g->forward.conv;
  strided_run run = {.strided = make_strided(g),
                     .from = output_gradient,
                     .packed = packed,
                     .adds = adds,
                     .to = input_gradient,
                     .scratch = scratch,
                     .periods = lk_ceil_div(c->in_height, c->stride_height)};
  const size_t bytes = run.strided.sum_channels * c->out_height * c->out_width * sizeof(float);
  run.chunks = lk_least(lk_ceil_div(bytes, ROWS_BYTES), run.periods);
  const size_t threads = lk_least((size_t)g->forward.threads, (size_t)lk_pool_thread_count(pool));
  lk_parallel_for(pool, threads, strided_worker, &run);
}

// ------------------------------------------------------------------------------------------------
// By the weight: products of inputs and output gradients, summed over pixels in chunks that stay in
// the cache, in the layout of the packed weight. A unit is a block of input channels (a plain input
// has blocks of one) and a row of taps, for a panel of two blocks of output channels.

enum {
  CHUNK_BYTES = 384 << 10,
  LEAST_CHUNK_PIXELS = 64,
  /// Output gradients that stay in the first-level cache.
  MOST_CHUNK_BYTES = 24 << 10,
  ITEMS_PER_THREAD = 4,
  /// Parts of a batch with sums of their own, where all these sums are few beside the maps.
  PIECES = 8,
  MAPS_TO_SUMS = 4,
};

typedef struct weight_plan {
  const lk_blocked_kernels *kernels;
  bool is_plain;
  size_t lanes, taps, channels, outputs, run, blocks_in, blocks_out, panels_in_group, panels, steps;
  size_t rows_in_panel, chunk_images, chunk_rows;
  /// The batch, the panels and their rows (of taps of a block) are cut into parts; an item has one
  /// of each.
  size_t pieces, panel_splits, row_splits;
  /// A plain input with zeros around it.
  size_t padded_height, padded_width;
} weight_plan;

/// Cuts the panels and their rows into at least `items` parts where there are as many, so that
/// least is read: each part of the panels reads the inputs, and each of the rows the output
/// gradients.
static void split_sums(weight_plan *p, const lk_conv2d *c, size_t items) {
  const size_t inputs = c->in_channels * c->in_height * c->in_width;
  const size_t gradients = c->out_channels * c->out_height * c->out_width;
  size_t least = SIZE_MAX;
  for (size_t panels = 1; panels <= lk_least(items, p->panels); panels++) {
    const size_t rows = lk_least(lk_ceil_div(items, panels), p->rows_in_panel);
    const size_t reads = lk_ceil_div(panels, c->groups) * inputs + rows * gradients;
    if (panels * rows < lk_least(items, p->panels * p->rows_in_panel) || reads >= least) continue;
    least = reads;
    p->panel_splits = panels;
    p->row_splits = rows;
  }
}

static size_t items_of(const weight_plan *p) { return p->pieces * p->panel_splits * p->row_splits; }

/// Sums of a piece of the batch.
static size_t piece_floats(const lk_conv2d *c, const weight_plan *p) {
  return p->blocks_out * c->groups * p->lanes * p->steps;
}

static weight_plan make_weight_plan(const lk_blocked_conv *b) {
  const lk_conv2d *c = &b->conv;
  weight_plan p = {.kernels = lk_blocked_kernels_for(b->isa), .taps = taps_of(c)};
  p.is_plain = b->algorithm == LK_CONV_FROM_PLAIN;
  p.lanes = p.kernels->lanes;
  p.channels = c->in_channels / c->groups;
  p.outputs = c->out_channels / c->groups;
  p.run = p.is_plain ? 1 : p.lanes;
  p.blocks_in = lk_ceil_div(p.channels, p.run);
  p.blocks_out = lk_ceil_div(p.outputs, p.lanes);
  p.panels_in_group = lk_ceil_div(p.blocks_out, 2);
  p.panels = p.panels_in_group * c->groups;
  p.steps = p.taps * (p.is_plain ? p.channels : lk_tap_steps(p.channels));
  p.rows_in_panel = p.blocks_in * c->kernel_height;
  const size_t maps = c->batch * (c->in_channels * c->in_height * c->in_width +
                                  c->out_channels * c->out_height * c->out_width);
  const bool is_large = maps >= MAPS_TO_SUMS * PIECES * piece_floats(c, &p);
  // Where sums must round like direct ones, each is one sum over the batch.
  p.pieces = is_large && c->allow_winograd ? lk_least(c->batch, PIECES) : 1;
  split_sums(&p, c,
             lk_ceil_div(b->threads > 1 ? ITEMS_PER_THREAD * (size_t)b->threads : 1, p.pieces));
  const size_t skipped = c->kernel_height * c->kernel_width == 1
                             ? c->stride_width
                             : c->stride_height * c->stride_width;
  const size_t bytes = (p.blocks_in * p.run * skipped + p.blocks_out * p.lanes) * sizeof(float);
  const size_t most = MOST_CHUNK_BYTES / (lk_least(2, p.blocks_out) * p.lanes * sizeof(float));
  const size_t pixels = lk_most(lk_least(CHUNK_BYTES / bytes, most), LEAST_CHUNK_PIXELS);
  p.chunk_rows = lk_most(lk_least(pixels / c->out_width, c->out_height), 1);
  p.chunk_rows = lk_ceil_div(c->out_height, lk_ceil_div(c->out_height, p.chunk_rows));
  p.chunk_images = p.chunk_rows < c->out_height
                       ? 1
                       : lk_most(lk_least(pixels / (c->out_width * c->out_height), c->batch), 1);
  p.padded_height = lk_most((c->out_height - 1) * c->stride_height +
                                (c->kernel_height - 1) * c->dilation_height + 1,
                            c->in_height + c->pad_top);
  p.padded_width =
      lk_most((c->out_width - 1) * c->stride_width + (c->kernel_width - 1) * c->dilation_width + 1,
              c->in_width + c->pad_left);
  return p;
}

static size_t padded_floats(const lk_conv2d *c, const weight_plan *p) {
  if (!p->is_plain || !lk_reads_padding(c)) return 0;
  return lk_ceil_div(c->batch * c->in_channels * p->padded_height * p->padded_width, 16) * 16;
}

static size_t depthwise_floats(const lk_blocked_conv *b) {
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes;
  return b->conv.batch * lk_ceil_div(b->conv.in_channels, lanes) *
         (lk_ceil_div(taps_of(&b->conv), 3) * 3) * lanes;
}

/// Sums of transformed tiles are 1e-8 of the largest where no input meets an output's gradient.
static bool sums_transformed_tiles(const lk_blocked_conv *b) {
  return b->algorithm == LK_CONV_WINOGRAD && b->conv.allow_winograd;
}

size_t lk_weight_gradient_scratch_bytes(const lk_blocked_conv *b) {
  if (b->algorithm == LK_CONV_DEPTHWISE) return depthwise_floats(b) * sizeof(float);
  if (sums_transformed_tiles(b)) return lk_winograd_weight_gradient_scratch_bytes(b);
  const weight_plan p = make_weight_plan(b);
  return (padded_floats(&b->conv, &p) + p.pieces * piece_floats(&b->conv, &p)) * sizeof(float);
}

typedef struct weight_run {
  const lk_blocked_conv *conv;
  weight_plan plan;
  const float *input, *gradient;
  /// A plain input with zeros around it, where it is read there.
  const float *padded;
  float *copy, *sums, *to;
  bool adds;
  _Atomic size_t next;
} weight_run;

/// Where the sums of a block of inputs and a tap begin in those of a panel.
static size_t sum_place(const weight_plan *p, size_t block, size_t tap, size_t vectors) {
  const size_t left = lk_least(p->run, p->channels - block * p->run);
  const size_t count = p->run == 1 ? 1 : lk_tap_steps(left);
  return (block * p->run * p->taps + tap * count) * vectors * p->lanes;
}

/// What is summed at once: a panel and a row of it over a chunk of pixels.
typedef struct unit {
  size_t panel, row, image, images, y, rows;
} unit;

static const float *unit_gradient(const weight_run *run, const unit *unit) {
  const lk_map *map = &run->conv->out;
  const weight_plan *p = &run->plan;
  const size_t group = unit->panel / p->panels_in_group;
  const size_t block = group * p->blocks_out + unit->panel % p->panels_in_group * 2;
  return run->gradient + block * map->block + lk_place(map, p->lanes, unit->image, unit->y, 0);
}

/// Of an input in blocks.
static const float *unit_input(const weight_run *run, const unit *unit) {
  const lk_conv2d *c = &run->conv->conv;
  const lk_map *map = &run->conv->in;
  const weight_plan *p = &run->plan;
  const size_t block =
      unit->panel / p->panels_in_group * p->blocks_in + unit->row / c->kernel_height;
  const size_t u = unit->row % c->kernel_height;
  return run->input + block * map->block +
         lk_place(map, p->lanes, unit->image,
                  unit->y * c->stride_height + u * c->dilation_height - c->pad_top,
                  0 - c->pad_left);
}

/// `next` is the unit behind this one, which is fetched meanwhile; NULL behind the last.
static void sum_unit(const weight_run *run, float *all_sums, const unit *unit,
                     const struct unit *next) {
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *c = &b->conv;
  const weight_plan *p = &run->plan;
  const size_t lanes = p->lanes;
  const size_t block = unit->row / c->kernel_height, u = unit->row % c->kernel_height;
  const size_t group = unit->panel / p->panels_in_group;
  const size_t first = unit->panel % p->panels_in_group * 2;
  const size_t vectors = lk_least(2, p->blocks_out - first);
  float *sums = all_sums + (group * p->blocks_out + first) * lanes * p->steps;
  lk_weight_tile tile = {
      .gradient = unit_gradient(run, unit),
      .gradient_row = b->out.row,
      .gradient_image = b->out.image,
      .gradient_block = b->out.block,
      .images = unit->images,
      .rows = unit->rows,
      .width = c->out_width,
      .to_stride = vectors * lanes,
  };
  const size_t most = p->kernels->weight_channels;
  if (p->is_plain) {
    const size_t plane = p->padded_height * p->padded_width;
    tile.input_pixel = c->stride_width;
    tile.input_row = c->stride_height * p->padded_width;
    tile.input_image = c->in_channels * plane;
    const float *line = run->padded + (unit->image * c->in_channels + block) * plane +
                        (unit->y * c->stride_height + u * c->dilation_height) * p->padded_width;
    const size_t together = c->dilation_width == 1 ? most : 1;
    for (size_t v = 0; v < c->kernel_width; v += together) {
      const size_t count = lk_least(together, c->kernel_width - v);
      tile.input = line + v * c->dilation_width;
      tile.to = sums + sum_place(p, block, u * c->kernel_width + v, vectors);
      p->kernels->weight_tile[vectors - 1][count - 1](&tile);
    }
    return;
  }
  tile.input_pixel = c->stride_width * lanes;
  tile.input_row = c->stride_height * b->in.row;
  tile.input_image = b->in.image;
  const float *input = unit_input(run, unit);
  if (next) {
    tile.input_ahead = unit_input(run, next) - input;
    tile.gradient_ahead = unit_gradient(run, next) - tile.gradient;
  }
  const size_t channels = lk_tap_steps(lk_least(lanes, p->channels - block * lanes));
  for (size_t v = 0; v < c->kernel_width; v++) {
    float *to = sums + sum_place(p, block, u * c->kernel_width + v, vectors);
    for (size_t i = 0; i < channels; i += most) {
      tile.input = input + v * c->dilation_width * lanes + i;
      tile.to = to + i * vectors * lanes;
      p->kernels->weight_tile[vectors - 1][lk_least(most, channels - i) - 1](&tile);
      tile.input_ahead = tile.gradient_ahead = 0;
    }
  }
}

static void clear_unit(const weight_run *run, float *all_sums, size_t panel, size_t row) {
  const lk_conv2d *c = &run->conv->conv;
  const weight_plan *p = &run->plan;
  const size_t block = row / c->kernel_height, u = row % c->kernel_height;
  const size_t group = panel / p->panels_in_group, first = panel % p->panels_in_group * 2;
  const size_t vectors = lk_least(2, p->blocks_out - first);
  float *sums = all_sums + (group * p->blocks_out + first) * p->lanes * p->steps;
  const size_t start = sum_place(p, block, u * c->kernel_width, vectors);
  const size_t end = sum_place(p, block, (u + 1) * c->kernel_width, vectors);
  memset(sums + start, 0, (end - start) * sizeof *sums);
}

/// What a worker sums up at a time.
typedef struct part {
  size_t first_panel, end_panel, first_row, end_row, first_image, end_image;
  float *sums;
} part;

static part make_part(const weight_run *run, size_t item) {
  const weight_plan *p = &run->plan;
  const size_t batch = run->conv->conv.batch;
  const size_t rows = item % p->row_splits, panels = item / p->row_splits % p->panel_splits;
  const size_t piece = item / p->row_splits / p->panel_splits;
  return (part){
      .first_panel = lk_share(p->panels, p->panel_splits, panels),
      .end_panel = lk_share(p->panels, p->panel_splits, panels + 1),
      .first_row = lk_share(p->rows_in_panel, p->row_splits, rows),
      .end_row = lk_share(p->rows_in_panel, p->row_splits, rows + 1),
      .first_image = lk_share(batch, p->pieces, piece),
      .end_image = lk_share(batch, p->pieces, piece + 1),
      .sums = run->sums + piece * piece_floats(&run->conv->conv, p),
  };
}

/// The unit behind one: the next row, or the first of the next panel or of the next chunk.
static unit next_unit(const weight_run *run, const part *part, unit unit) {
  if (++unit.row < part->end_row) return unit;
  unit.row = part->first_row;
  if (++unit.panel < part->end_panel) return unit;
  unit.panel = part->first_panel;
  unit.y += unit.rows;
  if (unit.y == run->conv->conv.out_height) {
    unit.y = 0;
    unit.image += unit.images;
  }
  return unit;
}

static void weight_worker(void *context, size_t index) {
  (void)index;
  weight_run *run = context;
  const lk_conv2d *c = &run->conv->conv;
  const weight_plan *p = &run->plan;
  size_t item;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < items_of(p)) {
    const part part = make_part(run, item);
    for (size_t panel = part.first_panel; panel < part.end_panel; panel++)
      for (size_t row = part.first_row; row < part.end_row; row++)
        clear_unit(run, part.sums, panel, row);
    unit now = {part.first_panel, part.first_row, part.first_image, 0, 0, 0};
    while (now.image < part.end_image) {
      now.images = lk_least(p->chunk_images, part.end_image - now.image);
      now.rows = lk_least(p->chunk_rows, c->out_height - now.y);
      const unit next = next_unit(run, &part, now);
      sum_unit(run, part.sums, &now, next.image < part.end_image ? &next : NULL);
      now = next;
    }
  }
}

/// Copies one channel of a plain input, with zeros around it.
static void pad_plane(void *context, size_t plane) {
  const weight_run *run = context;
  const lk_conv2d *c = &run->conv->conv;
  const weight_plan *p = &run->plan;
  const float *from = run->input + plane * c->in_height * c->in_width;
  float *to = run->copy + plane * p->padded_height * p->padded_width;
  memset(to, 0, p->padded_height * p->padded_width * sizeof *to);
  for (size_t y = 0; y < c->in_height; y++)
    memcpy(to + (y + c->pad_top) * p->padded_width + c->pad_left, from + y * c->in_width,
           c->in_width * sizeof *to);
}

/// Brings the sums of one panel and one block of inputs to their places.
static void unpack(void *context, size_t index) {
  const weight_run *run = context;
  const weight_plan *p = &run->plan;
  const lk_pack_rows_kernel transpose = lk_gemm_kernels_for(run->conv->isa)->pack_columns;
  const size_t panel = index / p->blocks_in, block = index % p->blocks_in;
  const size_t group = panel / p->panels_in_group, first = panel % p->panels_in_group * 2;
  const size_t vectors = lk_least(2, p->blocks_out - first), width = vectors * p->lanes;
  float *sums = run->sums + (group * p->blocks_out + first) * p->lanes * p->steps;
  const size_t channels = lk_least(p->run, p->channels - block * p->run);
  const size_t outputs = lk_least(p->outputs - first * p->lanes, width);
  float *to =
      run->to + ((group * p->outputs + first * p->lanes) * p->channels + block * p->run) * p->taps;
  const size_t piece = piece_floats(&run->conv->conv, p), start = sum_place(p, block, 0, vectors);
  const size_t count = p->taps * (p->run == 1 ? 1 : lk_tap_steps(channels)) * width;
  for (size_t i = 1; i < p->pieces; i++)
    for (size_t k = start; k < start + count; k++) sums[k] += sums[i * piece + k];
  float rows[2 * LK_MAX_BLOCK * LK_MAX_BLOCK];
  for (size_t tap = 0; tap < p->taps; tap++) {
    transpose(sums + sum_place(p, block, tap, vectors), width, channels, outputs, 1, rows,
              channels);
    for (size_t o = 0; o < outputs; o++)
      for (size_t i = 0; i < channels; i++)
        lk_put(rows + o * channels + i, 1, run->adds, to + (o * p->channels + i) * p->taps + tap);
  }
}

typedef struct depthwise_run {
  const lk_blocked_conv *conv;
  const lk_blocked_kernels *kernels;
  const float *input, *gradient;
  float *sums, *to;
  size_t blocks, taps;
  bool adds;
} depthwise_run;

static void sum_depthwise(void *context, size_t item) {
  const depthwise_run *run = context;
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *c = &b->conv;
  const size_t lanes = run->kernels->lanes, block = item / c->batch, image = item % c->batch;
  float *sums = run->sums + (image * run->blocks + block) * run->taps * lanes;
  lk_depthwise_weights w = {
      .input = run->input + block * b->in.block +
               lk_place(&b->in, lanes, image, 0 - c->pad_top, 0 - c->pad_left),
      .gradient = run->gradient + block * b->out.block + lk_place(&b->out, lanes, image, 0, 0),
      .input_pixel = c->stride_width * lanes,
      .input_row = c->stride_height * b->in.row,
      .gradient_row = b->out.row,
      .rows = c->out_height,
      .width = c->out_width};
  for (size_t first = 0; first < run->taps; first += 3) {
    ptrdiff_t taps[3];
    for (size_t i = 0; i < 3; i++) {
      const size_t tap = lk_least(first + i, taps_of(c) - 1);
      taps[i] = (ptrdiff_t)(tap / c->kernel_width * c->dilation_height * b->in.row +
                            tap % c->kernel_width * c->dilation_width * lanes);
    }
    w.taps = taps;
    run->kernels->depthwise_weights(&w, sums + first * lanes);
  }
}

static void unpack_depthwise(void *context, size_t block) {
  const depthwise_run *run = context;
  const lk_conv2d *c = &run->conv->conv;
  const size_t lanes = run->kernels->lanes, taps = taps_of(c);
  const size_t channels = lk_least(lanes, c->in_channels - block * lanes);
  for (size_t i = 0; i < channels; i++)
    for (size_t tap = 0; tap < taps; tap++) {
      float sum = 0, *to = run->to + (block * lanes + i) * taps + tap;
      for (size_t image = 0; image < c->batch; image++)
        sum += run->sums[((image * run->blocks + block) * run->taps + tap) * lanes + i];
      *to = run->adds ? *to + sum : sum;
    }
}

void lk_weight_gradient_run(lk_pool *pool, const lk_blocked_conv *b, const float *input,
                            const float *output_gradient, bool adds, float *weight_gradient,
                            void *scratch) {
  const lk_conv2d *c = &b->conv;
  if (sums_transformed_tiles(b)) {
    lk_winograd_weight_gradient(pool, b, input, output_gradient, adds, weight_gradient, scratch);
    return;
  }
  if (b->algorithm == LK_CONV_DEPTHWISE) {
    const lk_blocked_kernels *kernels = lk_blocked_kernels_for(b->isa);
    depthwise_run run = {b,
                         kernels,
                         input,
                         output_gradient,
                         scratch,
                         weight_gradient,
                         lk_ceil_div(c->in_channels, kernels->lanes),
                         lk_ceil_div(taps_of(c), 3) * 3,
                         adds};
    lk_parallel_for(pool, run.blocks * c->batch, sum_depthwise, &run);
    lk_parallel_for(pool, run.blocks, unpack_depthwise, &run);
    return;
  }
  weight_run run = {.conv = b,
                    .plan = make_weight_plan(b),
                    .input = input,
                    .gradient = output_gradient,
                    .padded = scratch,
                    .copy = scratch,
                    .to = weight_gradient,
                    .adds = adds};
  run.sums = run.copy + padded_floats(c, &run.plan);
  if (padded_floats(c, &run.plan) > 0)
    lk_parallel_for(pool, c->batch * c->in_channels, pad_plane, &run);
  else
    run.padded = input;
  const size_t threads = lk_least((size_t)b->threads, (size_t)lk_pool_thread_count(pool));
  lk_parallel_for(pool, lk_least(threads, items_of(&run.plan)), weight_worker, &run);
  lk_parallel_for(pool, run.plan.panels * run.plan.blocks_in, unpack, &run);
}

// ------------------------------------------------------------------------------------------------
// By the bias

typedef struct bias_run {
  const lk_blocked_conv *conv;
  const float *gradient;
  bool adds;
  float *to;
} bias_run;

static void sum_bias(void *context, size_t block) {
  const bias_run *run = context;
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *c = &b->conv;
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(b->isa);
  const size_t lanes = kernels->lanes;
  const size_t channels = lk_least(lanes, c->out_channels - block * lanes);
  double totals[LK_MAX_BLOCK] = {0};
  for (size_t image = 0; image < c->batch; image++) {
    float sums[LK_MAX_BLOCK];
    kernels->sum(run->gradient + block * b->out.block + lk_place(&b->out, lanes, image, 0, 0),
                 b->out.row, c->out_height, c->out_width, sums);
    for (size_t i = 0; i < channels; i++) totals[i] += (double)sums[i];
  }
  float *to = run->to + block * lanes;
  for (size_t i = 0; i < channels; i++) to[i] = (run->adds ? to[i] : 0) + (float)totals[i];
}

void lk_bias_gradient_run(lk_pool *pool, const lk_blocked_conv *b, const float *output_gradient,
                          bool adds, float *bias_gradient) {
  bias_run run = {b, output_gradient, adds, bias_gradient};
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes;
  lk_parallel_for(pool, lk_ceil_div(b->conv.out_channels, lanes), sum_bias, &run);
}
