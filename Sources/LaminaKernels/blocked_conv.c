#include "blocked.h"
#include "gemm.h"

#include <stdatomic.h>
#include <string.h>

const lk_blocked_kernels *lk_blocked_kernels_for(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_blocked_kernels_avx512;
  case LK_ISA_AVX2:
    return &lk_blocked_kernels_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_blocked_kernels_neon;
#endif
  default:
    return &lk_blocked_kernels_scalar;
  }
}

size_t lk_block_channels(lk_isa isa) { return lk_blocked_kernels_for(isa)->lanes; }

// ------------------------------------------------------------------------------------------------
// Choice

enum {
  TILE_CYCLES = 40,
  /// A tile of fewer pixels waits for its own sums.
  LEAST_PIXELS = 4,
  /// What a chunk of input pixels, or all weights, may take of the second-level cache.
  CHUNK_BYTES = 512 << 10,
  ITEMS_PER_THREAD = 4,
  /// For how many threads algorithms are compared.
  TYPICAL_THREADS = 2,
};

double lk_panel_cycles(size_t pixels, size_t most, size_t steps) {
  const size_t tiles = lk_ceil_div(pixels, most);
  const double cycles = (double)lk_most(pixels, tiles * LEAST_PIXELS);
  return cycles * (double)steps + (double)(tiles * TILE_CYCLES);
}

double lk_weight_cycles(double bytes) { return bytes / 10; }

/// How the output is cut into tiles, panels of two blocks, and items of work.
typedef struct plan {
  /// One row of all pixels where none is skipped between input and output.
  bool is_flat;
  size_t rows, row_pixels, row_tiles, tiles, most, stride_kind;
  size_t steps, blocks_in, blocks_out, panels_in_group, panels;
} plan;

static size_t taps_of(const lk_conv2d *conv) { return conv->kernel_height * conv->kernel_width; }

static plan make_plan(const lk_blocked_conv *b) {
  const lk_conv2d *conv = &b->conv;
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(b->isa);
  const size_t channels = conv->in_channels / conv->groups;
  plan p = {.rows = conv->batch * conv->out_height, .row_pixels = conv->out_width};
  const bool is_plain = b->algorithm == LK_CONV_FROM_PLAIN;
  p.is_flat = !is_plain && taps_of(conv) == 1 && conv->stride_height == 1 &&
              conv->stride_width == 1 && conv->pad_top == 0 && conv->pad_left == 0 &&
              conv->in_height == conv->out_height && conv->in_width == conv->out_width &&
              b->in.halo == 0 && b->out.halo == 0 && b->residual.halo == 0;
  if (p.is_flat) {
    p.row_pixels *= p.rows;
    p.rows = 1;
  }
  p.stride_kind = conv->stride_width == 1 ? 0 : conv->stride_width == 2 ? 1 : 2;
  p.most = is_plain || p.stride_kind < 2 ? kernels->pixels : kernels->strided_pixels;
  p.row_tiles = lk_ceil_div(p.row_pixels, p.most);
  p.tiles = p.rows * p.row_tiles;
  p.steps = taps_of(conv) * (is_plain ? channels : lk_tap_steps(channels));
  p.blocks_in = lk_ceil_div(channels, kernels->lanes);
  p.blocks_out = lk_ceil_div(conv->out_channels / conv->groups, kernels->lanes);
  p.panels_in_group = lk_ceil_div(p.blocks_out, 2);
  p.panels = p.panels_in_group * conv->groups;
  return p;
}

static bool is_depthwise(const lk_conv2d *conv) {
  return conv->groups > 1 && conv->groups == conv->in_channels &&
         conv->groups == conv->out_channels;
}

double lk_direct_cost(const lk_blocked_conv *b) {
  const plan p = make_plan(b);
  const lk_conv2d *conv = &b->conv;
  const double compute = lk_panel_cycles(p.row_pixels, p.most, p.steps) * (double)p.rows *
                         (double)p.blocks_out * (double)conv->groups / 2;
  const double bytes = (double)p.steps * (double)conv->out_channels * sizeof(float);
  return lk_overlapped(compute / (double)b->threads, lk_weight_cycles(bytes));
}

/// Whether every tap of every output pixel lies in the map or its halo.
static bool is_inside_halo(const lk_blocked_conv *b) {
  const lk_conv2d *c = &b->conv;
  const size_t bottom =
      (c->out_height - 1) * c->stride_height + (c->kernel_height - 1) * c->dilation_height;
  const size_t right =
      (c->out_width - 1) * c->stride_width + (c->kernel_width - 1) * c->dilation_width;
  return c->pad_top <= b->in.halo && c->pad_left <= b->in.halo &&
         bottom < c->in_height + b->in.halo + c->pad_top &&
         right < c->in_width + b->in.halo + c->pad_left;
}

/// Whether every tap of every pixel counts.
static bool is_dense(const lk_conv2d *c) {
  return c->groups == 1 && c->stride_height == 1 && c->stride_width == 1 &&
         c->dilation_height == 1 && c->dilation_width == 1;
}

/// Splits the work by panels where each thread then reads only its share of many weights, else by
/// pixels.
static void split_direct(lk_blocked_conv *b) {
  const plan p = make_plan(b);
  const lk_conv2d *conv = &b->conv;
  const size_t threads = (size_t)b->threads;
  const size_t skipped = taps_of(conv) == 1 ? conv->stride_height * conv->stride_width : 1;
  const size_t bytes =
      conv->batch * conv->in_channels * conv->in_height * conv->in_width * sizeof(float) / skipped;
  const size_t weight_bytes = p.steps * conv->out_channels * sizeof(float);
  const size_t wanted = threads > 1 ? ITEMS_PER_THREAD * threads : 1;
  b->pixel_splits = b->panel_splits = 1;
  if (threads > 1 && p.panels >= wanted && (bytes <= CHUNK_BYTES || weight_bytes >= 3 * bytes)) {
    b->panel_splits = p.panels;
    if (p.panels % threads != 0 && p.panels < 16 * threads)
      b->pixel_splits = lk_least(threads, p.tiles);
    return;
  }
  // Many weights pass through the cache once a chunk: those are few then.
  b->pixel_splits =
      lk_most(weight_bytes > CHUNK_BYTES ? threads : wanted,
              lk_ceil_div(bytes, weight_bytes > CHUNK_BYTES ? 2 * CHUNK_BYTES : CHUNK_BYTES / 2));
  b->pixel_splits = lk_least(b->pixel_splits, lk_most(p.tiles / LEAST_PIXELS, 1));
  b->pixel_splits = lk_least(lk_ceil_div(b->pixel_splits, threads) * threads, p.tiles);
  if (b->pixel_splits < threads)
    b->panel_splits = lk_least(lk_ceil_div(wanted, b->pixel_splits), p.panels);
}

bool lk_make_blocked_conv(lk_blocked_conv *b, bool is_plain, int threads) {
  const lk_conv2d *conv = &b->conv;
  b->isa = lk_active_isa();
  b->threads = threads < 1 ? 1 : threads;
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(b->isa);
  if (conv->batch == 0) return false;
  if (is_plain) {
    const size_t s = conv->stride_width;
    if (conv->groups != 1 || (s != 1 && s != 2 && s != 4) ||
        conv->in_channels > lk_most(kernels->lanes / 2, 4))
      return false;
    b->algorithm = LK_CONV_FROM_PLAIN;
    const plan p = make_plan(b);
    b->panel_splits = 1;
    b->pixel_splits = lk_least(p.rows, b->threads > 1 ? (size_t)b->threads * 8 : 1);
    return true;
  }
  if (is_depthwise(conv)) {
    b->algorithm = LK_CONV_DEPTHWISE;
    return is_inside_halo(b);
  }
  if (conv->groups > 1 && (conv->in_channels / conv->groups % kernels->lanes != 0 ||
                           conv->out_channels / conv->groups % kernels->lanes != 0))
    return false;
  b->algorithm = LK_CONV_DIRECT;
  // The same algorithm, and so the same bits, for any number of threads.
  b->threads = TYPICAL_THREADS;
  const bool is_direct = is_inside_halo(b);
  double best = is_direct ? lk_direct_cost(b) : 1e300;
  if (is_dense(conv))
    // The first form is as accurate as direct summation.
    for (size_t form = 0; form < (conv->allow_winograd ? LK_WINOGRAD_FORMS : 1); form++) {
      lk_blocked_conv other = *b;
      const double cost = lk_winograd_cost(&other, form);
      if (cost >= best) continue;
      best = cost;
      *b = other;
      b->algorithm = LK_CONV_WINOGRAD;
    }
  b->threads = threads < 1 ? 1 : threads;
  if (b->algorithm == LK_CONV_DIRECT)
    split_direct(b);
  else
    lk_winograd_cost(b, b->winograd_form);
  return best < 1e300;
}

const char *lk_blocked_conv_algorithm(const lk_blocked_conv *b) {
  switch (b->algorithm) {
  case LK_CONV_FROM_PLAIN:
    return "direct from NCHW";
  case LK_CONV_DEPTHWISE:
    return "depthwise";
  case LK_CONV_WINOGRAD:
    return lk_winograd_name(b);
  default:
    return "direct";
  }
}

// ------------------------------------------------------------------------------------------------
// Weights: the bias in whole blocks, then panels [block][tap][channel][two blocks]

size_t lk_bias_floats(const lk_blocked_conv *b) {
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes;
  return lk_ceil_div(b->conv.out_channels, lanes) * lanes;
}

static size_t weight_floats(const lk_blocked_conv *b) {
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes;
  if (b->algorithm == LK_CONV_WINOGRAD) return lk_winograd_packed_floats(b);
  if (b->algorithm == LK_CONV_DEPTHWISE) return lk_bias_floats(b) * taps_of(&b->conv);
  const plan p = make_plan(b);
  return p.blocks_out * b->conv.groups * lanes * p.steps;
}

size_t lk_blocked_conv_packed_bytes(const lk_blocked_conv *b) {
  return lk_ceil_div((lk_bias_floats(b) + weight_floats(b)) * sizeof(float), 64) * 64;
}

typedef struct packing {
  const lk_blocked_conv *conv;
  const float *weight;
  bool is_adjoint;
  float *packed;
} packing;

static void pack_panel(void *context, size_t index) {
  const packing *packing = context;
  const lk_blocked_conv *b = packing->conv;
  const lk_conv2d *conv = &b->conv;
  const plan p = make_plan(b);
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes, taps = taps_of(conv);
  const size_t channels = conv->in_channels / conv->groups;
  const size_t outputs = conv->out_channels / conv->groups;
  // A plain input is summed channel by channel, a blocked one block by block.
  const size_t run = b->algorithm == LK_CONV_FROM_PLAIN ? 1 : lanes;
  const size_t group = index / p.panels_in_group, block = index % p.panels_in_group * 2;
  const size_t first = block * lanes, width = lk_least(2, p.blocks_out - block) * lanes;
  float *to = packing->packed + (group * p.blocks_out + block) * lanes * p.steps;
  if (taps == 1 && run > 1) {
    const lk_gemm_kernels *kernels = lk_gemm_kernels_for(b->isa);
    const float *weight = lk_window(conv, packing->weight, packing->is_adjoint, group, first, 0);
    const size_t count = lk_least(width, outputs - first);
    if (packing->is_adjoint)
      kernels->pack_rows(weight, outputs, count, channels, 1, to, width);
    else
      kernels->pack_columns(weight, channels, count, channels, 1, to, width);
    memset(to + channels * width, 0, (p.steps - channels) * width * sizeof *to);
    return;
  }
  for (size_t c0 = 0; c0 < channels; c0 += run) {
    const size_t count = run == 1 ? 1 : lk_tap_steps(lk_least(run, channels - c0));
    for (size_t tap = 0; tap < taps; tap++) {
      const size_t from = packing->is_adjoint ? taps - 1 - tap : tap;
      for (size_t c = c0; c < c0 + count; c++)
        for (size_t o = first; o < first + width; o++)
          *to++ = c < channels && o < outputs
                      ? lk_window(conv, packing->weight, packing->is_adjoint, group, o, c)[from]
                      : 0;
    }
  }
}

static void pack_depthwise(const lk_blocked_conv *b, const float *weight, bool is_adjoint,
                           float *to) {
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes, taps = taps_of(&b->conv);
  for (size_t first = 0; first < b->conv.out_channels; first += lanes)
    for (size_t tap = 0; tap < taps; tap++)
      for (size_t c = first; c < first + lanes; c++)
        *to++ =
            c < b->conv.out_channels ? weight[c * taps + (is_adjoint ? taps - 1 - tap : tap)] : 0;
}

static void pack(lk_pool *pool, const lk_blocked_conv *b, const float *weight, const float *bias,
                 bool is_adjoint, bool is_quick, void *packed) {
  float *to = packed;
  const size_t count = lk_bias_floats(b);
  memset(to, 0, count * sizeof *to);
  if (bias) memcpy(to, bias, b->conv.out_channels * sizeof *to);
  to += count;
  switch (b->algorithm) {
  case LK_CONV_DIRECT:
  case LK_CONV_FROM_PLAIN:
    lk_parallel_for(pool, make_plan(b).panels, pack_panel, &(packing){b, weight, is_adjoint, to});
    break;
  case LK_CONV_DEPTHWISE:
    pack_depthwise(b, weight, is_adjoint, to);
    break;
  case LK_CONV_WINOGRAD:
    if (is_quick)
      lk_winograd_repack(pool, b, weight, is_adjoint, to);
    else
      lk_winograd_pack(pool, b, weight, to);
    break;
  }
}

void lk_blocked_conv_pack(lk_pool *pool, const lk_blocked_conv *b, const float *weight,
                          const float *bias, void *packed) {
  pack(pool, b, weight, bias, false, false, packed);
}

void lk_blocked_conv_repack(lk_pool *pool, const lk_blocked_conv *b, const float *weight,
                            const float *bias, bool is_adjoint, void *packed) {
  pack(pool, b, weight, bias, is_adjoint, true, packed);
}

// ------------------------------------------------------------------------------------------------
// Running

void lk_clear_halo(const lk_blocked_conv *b, size_t lanes, float *image, size_t y, size_t first,
                   size_t end) {
  const size_t halo = b->out.halo, row = b->out.row;
  if (halo == 0) return;
  float *line = image + (y + halo) * row;
  const bool is_left = first == 0, is_right = end == b->conv.out_width;
  if (is_left) memset(line, 0, halo * lanes * sizeof *line);
  if (is_right) memset(line + (halo + end) * lanes, 0, halo * lanes * sizeof *line);
  if (y == 0 && is_left) memset(image, 0, halo * row * sizeof *line);
  if (y + 1 == b->conv.out_height && is_right) memset(line + row, 0, halo * row * sizeof *line);
}

typedef struct run {
  const lk_blocked_conv *conv;
  const lk_blocked_kernels *kernels;
  plan plan;
  const float *input, *weights, *bias, *residual;
  float *output, *scratch;
  ptrdiff_t *taps;
  size_t worker_floats, line;
  _Atomic size_t next;
} run;

/// Pixels x ..< end of a row.
typedef struct place {
  size_t image, y, x, end;
} place;

static place place_of(const run *run, size_t tile) {
  const plan *p = &run->plan;
  const size_t row = tile / p->row_tiles, column = tile % p->row_tiles;
  const size_t height = p->is_flat ? 1 : run->conv->conv.out_height;
  return (place){.image = row / height,
                 .y = row % height,
                 .x = lk_share(p->row_pixels, p->row_tiles, column),
                 .end = lk_share(p->row_pixels, p->row_tiles, column + 1)};
}

/// Where the first tap of a place lies in a block of inputs.
static size_t input_place(const run *run, place at) {
  const lk_conv2d *conv = &run->conv->conv;
  return lk_place(&run->conv->in, run->kernels->lanes, at.image,
                  at.y * conv->stride_height - conv->pad_top,
                  at.x * conv->stride_width - conv->pad_left);
}

static void run_panel(const run *run, size_t panel, size_t first_tile, size_t end_tile,
                      lk_pixel_tile *tile, const float *buffer, bool fetches_inputs) {
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *conv = &b->conv;
  const plan *p = &run->plan;
  const size_t lanes = run->kernels->lanes;
  const size_t group = panel / p->panels_in_group, first_block = panel % p->panels_in_group * 2;
  const size_t vectors = lk_least(2, p->blocks_out - first_block);
  const size_t block = group * p->blocks_out + first_block;
  tile->weights = run->weights + block * lanes * p->steps;
  tile->bias = run->bias + block * lanes;
  const float *input = run->input + group * p->blocks_in * b->in.block;
  const float *residual = run->residual ? run->residual + block * b->residual.block : NULL;
  float *output = run->output + block * b->out.block;
  for (size_t t = first_tile; t < end_tile; t++) {
    const place at = place_of(run, t);
    const size_t count = at.end - at.x;
    tile->output = output + lk_place(&b->out, lanes, at.image, at.y, at.x);
    tile->residual =
        residual ? residual + lk_place(&b->residual, lanes, at.image, at.y, at.x) : NULL;
    if (buffer) {
      tile->input = buffer + at.x * conv->stride_width;
      run->kernels->plain_tile[p->stride_kind][vectors - 1][count - 1](tile);
    } else {
      tile->input = input + input_place(run, at);
      tile->ahead = t == first_tile ? LK_AHEAD : 0;
      tile->input_ahead = 0;
      if (fetches_inputs && t + 1 < end_tile)
        tile->input_ahead = input + input_place(run, place_of(run, t + 1)) - tile->input;
      run->kernels->tile[p->stride_kind][vectors - 1][count - 1](tile);
    }
    if (b->out.halo > 0)
      for (size_t v = 0; v < vectors; v++)
        lk_clear_halo(b, lanes, output + v * b->out.block + at.image * b->out.image, at.y, at.x,
                      at.end);
  }
}

static lk_pixel_tile make_tile(const run *run) {
  const lk_blocked_conv *b = run->conv;
  const size_t lanes = run->kernels->lanes, channels = b->conv.in_channels / b->conv.groups;
  return (lk_pixel_tile){
      .taps = run->taps,
      .tap_count = b->algorithm == LK_CONV_FROM_PLAIN ? run->plan.steps : taps_of(&b->conv),
      .blocks = run->plan.blocks_in,
      .block_stride = b->in.block,
      .last_channels = lk_tap_steps(channels - (run->plan.blocks_in - 1) * lanes),
      .pixel_stride = b->conv.stride_width * lanes,
      .residual_block = b->residual.block,
      .output_block = b->out.block,
      .activation = b->conv.activation};
}

static void direct_worker(void *context, size_t index) {
  (void)index;
  run *run = context;
  const lk_blocked_conv *b = run->conv;
  const plan *p = &run->plan;
  const size_t items = b->pixel_splits * b->panel_splits;
  const bool is_large =
      p->blocks_in * b->conv.groups * b->in.block * sizeof(float) > LK_CACHED_BYTES;
  lk_pixel_tile tile = make_tile(run);
  size_t item;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < items) {
    const size_t panels = item / b->pixel_splits, pixels = item % b->pixel_splits;
    const size_t first = lk_share(p->tiles, b->pixel_splits, pixels);
    const size_t end = lk_share(p->tiles, b->pixel_splits, pixels + 1);
    const size_t first_panel = lk_share(p->panels, b->panel_splits, panels);
    const size_t end_panel = lk_share(p->panels, b->panel_splits, panels + 1);
    for (size_t panel = first_panel; panel < end_panel; panel++)
      run_panel(run, panel, first, end, &tile, NULL, is_large && panel == first_panel);
  }
}

bool lk_reads_padding(const lk_conv2d *c) {
  return c->pad_top > 0 || c->pad_left > 0 ||
         (c->out_height - 1) * c->stride_height + (c->kernel_height - 1) * c->dilation_height >=
             c->in_height ||
         (c->out_width - 1) * c->stride_width + (c->kernel_width - 1) * c->dilation_width >=
             c->in_width;
}

/// Copies the rows that output row `y` reads, with zeros around them.
static void gather_rows(const run *run, size_t image, size_t y, float *buffer) {
  const lk_conv2d *conv = &run->conv->conv;
  const size_t plane = conv->in_height * conv->in_width;
  for (size_t c = 0; c < conv->in_channels; c++)
    for (size_t u = 0; u < conv->kernel_height; u++, buffer += run->line) {
      const size_t at = y * conv->stride_height + u * conv->dilation_height - conv->pad_top;
      memset(buffer, 0, run->line * sizeof *buffer);
      if (at >= conv->in_height || conv->pad_left >= run->line) continue;
      memcpy(buffer + conv->pad_left,
             run->input + (image * conv->in_channels + c) * plane + at * conv->in_width,
             lk_least(conv->in_width, run->line - conv->pad_left) * sizeof *buffer);
    }
}

static void plain_worker(void *context, size_t index) {
  run *run = context;
  const lk_blocked_conv *b = run->conv;
  const plan *p = &run->plan;
  float *buffer = run->scratch + index * run->worker_floats;
  lk_pixel_tile tile = make_tile(run);
  size_t item;
  while ((item = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) <
         b->pixel_splits) {
    const size_t end = lk_share(p->rows, b->pixel_splits, item + 1);
    for (size_t row = lk_share(p->rows, b->pixel_splits, item); row < end; row++) {
      const size_t image = row / b->conv.out_height, y = row % b->conv.out_height;
      const float *rows = buffer;
      if (lk_reads_padding(&b->conv))
        gather_rows(run, image, y, buffer);
      else
        rows = run->input +
               (image * b->conv.in_channels * b->conv.in_height + y * b->conv.stride_height) *
                   b->conv.in_width;
      for (size_t panel = 0; panel < p->panels; panel++)
        run_panel(run, panel, row * p->row_tiles, (row + 1) * p->row_tiles, &tile, rows, false);
    }
  }
}

static void depthwise_task(void *context, size_t item) {
  const run *run = context;
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *conv = &b->conv;
  const size_t lanes = run->kernels->lanes, taps = taps_of(conv);
  const size_t image = item % conv->batch, block = item / conv->batch;
  lk_depthwise_row row = {.taps = run->taps,
                          .tap_count = taps,
                          .pixel_stride = conv->stride_width * lanes,
                          .width = conv->out_width,
                          .weights = run->weights + block * taps * lanes,
                          .bias = run->bias + block * lanes,
                          .activation = conv->activation};
  float *output = run->output + block * b->out.block;
  for (size_t y = 0; y < conv->out_height; y++) {
    row.input =
        run->input + block * b->in.block +
        lk_place(&b->in, lanes, image, y * conv->stride_height - conv->pad_top, 0 - conv->pad_left);
    row.output = output + lk_place(&b->out, lanes, image, y, 0);
    if (run->residual)
      row.residual =
          run->residual + block * b->residual.block + lk_place(&b->residual, lanes, image, y, 0);
    run->kernels->depthwise_row(&row);
    lk_clear_halo(b, lanes, output + image * b->out.image, y, 0, conv->out_width);
  }
}

/// Floats of a padded row of a plain input.
static size_t line_floats(const lk_conv2d *conv) {
  return (conv->out_width - 1) * conv->stride_width +
         (conv->kernel_width - 1) * conv->dilation_width + 1;
}

size_t lk_taps_bytes(const lk_blocked_conv *b) {
  const size_t count =
      taps_of(&b->conv) * (b->algorithm == LK_CONV_FROM_PLAIN ? b->conv.in_channels : 1);
  return lk_ceil_div(count * sizeof(ptrdiff_t), 64) * 64;
}

static size_t worker_floats(const lk_blocked_conv *b) {
  if (b->algorithm != LK_CONV_FROM_PLAIN) return 0;
  return lk_ceil_div(line_floats(&b->conv) * b->conv.in_channels * b->conv.kernel_height, 16) * 16;
}

size_t lk_blocked_conv_scratch_bytes(const lk_blocked_conv *b) {
  if (b->algorithm == LK_CONV_WINOGRAD) return lk_winograd_scratch_bytes(b);
  return lk_taps_bytes(b) + worker_floats(b) * (size_t)b->threads * sizeof(float);
}

void lk_make_taps(const lk_blocked_conv *b, size_t lanes, size_t line, ptrdiff_t *taps) {
  const lk_conv2d *conv = &b->conv;
  const bool is_plain = b->algorithm == LK_CONV_FROM_PLAIN;
  // Rows of a plain input are gathered one behind the other, or lie in the input itself.
  const bool is_gathered = is_plain && lk_reads_padding(conv);
  const size_t row = is_gathered ? line
                     : is_plain  ? conv->dilation_height * conv->in_width
                                 : conv->dilation_height * b->in.row;
  const size_t plane = is_gathered ? conv->kernel_height * line : conv->in_height * conv->in_width;
  const size_t pixel = conv->dilation_width * (is_plain ? 1 : lanes);
  for (size_t c = 0; c < (is_plain ? conv->in_channels : 1); c++)
    for (size_t u = 0; u < conv->kernel_height; u++)
      for (size_t v = 0; v < conv->kernel_width; v++)
        *taps++ = (ptrdiff_t)(c * plane + u * row + v * pixel);
}

void lk_blocked_conv_run(lk_pool *pool, const lk_blocked_conv *b, const float *input,
                         const void *packed, const float *residual, float *output, void *scratch) {
  const float *bias = packed, *weights = bias + lk_bias_floats(b);
  if (b->algorithm == LK_CONV_WINOGRAD) {
    lk_winograd_run(pool, b, input, weights, bias, residual, output, scratch);
    return;
  }
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(b->isa);
  run run = {.conv = b,
             .kernels = kernels,
             .plan = make_plan(b),
             .input = input,
             .weights = weights,
             .bias = bias,
             .residual = residual,
             .output = output,
             .taps = scratch,
             .scratch = (float *)((char *)scratch + lk_taps_bytes(b)),
             .worker_floats = worker_floats(b),
             .line = line_floats(&b->conv)};
  lk_make_taps(b, kernels->lanes, run.line, run.taps);
  const size_t threads = lk_least((size_t)b->threads, (size_t)lk_pool_thread_count(pool));
  switch (b->algorithm) {
  case LK_CONV_DEPTHWISE:
    lk_parallel_for(pool, lk_ceil_div(b->conv.out_channels, kernels->lanes) * b->conv.batch,
                    depthwise_task, &run);
    break;
  case LK_CONV_FROM_PLAIN:
    lk_parallel_for(pool, lk_least(threads, b->pixel_splits), plain_worker, &run);
    break;
  default:
    lk_parallel_for(pool, lk_least(threads, b->pixel_splits * b->panel_splits), direct_worker,
                    &run);
  }
}
