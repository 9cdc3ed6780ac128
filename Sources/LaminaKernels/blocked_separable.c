#include "blocked.h"

#include <stdatomic.h>

/// What a piece of the map between the convolutions may take of the second-level cache.
enum { PIECE_BYTES = 512 << 10 };

static size_t pixel_count(const lk_separable_conv *s) {
  const lk_conv2d *conv = &s->pointwise.conv;
  return conv->batch * conv->out_height * conv->out_width;
}

static size_t blocks_between(const lk_separable_conv *s) {
  const size_t lanes = lk_blocked_kernels_for(s->pointwise.isa)->lanes;
  return lk_ceil_div(s->pointwise.conv.in_channels, lanes);
}

bool lk_make_separable_conv(lk_separable_conv *s, const lk_blocked_conv *first,
                            const lk_blocked_conv *second) {
  const lk_conv2d *c = &second->conv;
  if (first->algorithm != LK_CONV_DEPTHWISE || second->algorithm != LK_CONV_DIRECT ||
      first->isa != second->isa || c->groups != 1 || c->kernel_height != 1 ||
      c->kernel_width != 1 || c->stride_height != 1 || c->stride_width != 1 || c->pad_top != 0 ||
      c->pad_left != 0 || c->in_height != c->out_height || c->in_width != c->out_width)
    return false;
  *s = (lk_separable_conv){.depthwise = *first, .pointwise = *second};
  const size_t lanes = lk_blocked_kernels_for(first->isa)->lanes;
  const size_t threads = (size_t)second->threads;
  const size_t bytes = pixel_count(s) * blocks_between(s) * lanes * sizeof(float);
  s->pieces = lk_ceil_div(lk_ceil_div(bytes, PIECE_BYTES), threads) * threads;
  s->pieces = lk_least(lk_most(s->pieces, 1), pixel_count(s));
  return true;
}

static size_t worker_floats(const lk_separable_conv *s) {
  const size_t lanes = lk_blocked_kernels_for(s->pointwise.isa)->lanes;
  return lk_ceil_div(pixel_count(s), s->pieces) * blocks_between(s) * lanes;
}

size_t lk_separable_conv_scratch_bytes(const lk_separable_conv *s) {
  return lk_taps_bytes(&s->depthwise) +
         worker_floats(s) * sizeof(float) * (size_t)s->pointwise.threads;
}

typedef struct run {
  const lk_separable_conv *conv;
  const lk_blocked_kernels *kernels;
  const float *input, *depthwise_bias, *depthwise_weights, *bias, *weights, *residual;
  float *output, *scratch;
  const ptrdiff_t *taps;
  _Atomic size_t next;
} run;

/// Pixels first ..< first + count of a row.
typedef struct segment {
  size_t image, y, x, count;
} segment;

/// The pixels from `pixel` on that lie in one row, at most up to `end`.
static segment segment_at(const lk_conv2d *conv, size_t pixel, size_t end) {
  const size_t row = pixel / conv->out_width, x = pixel % conv->out_width;
  return (segment){.image = row / conv->out_height,
                   .y = row % conv->out_height,
                   .x = x,
                   .count = lk_least(conv->out_width - x, end - pixel)};
}

static void run_depthwise(const run *run, size_t first, size_t end, float *between) {
  const lk_blocked_conv *b = &run->conv->depthwise;
  const lk_conv2d *conv = &b->conv;
  const size_t lanes = run->kernels->lanes, taps = conv->kernel_height * conv->kernel_width;
  lk_depthwise_row row = {.taps = run->taps,
                          .tap_count = taps,
                          .pixel_stride = conv->stride_width * lanes,
                          .activation = conv->activation};
  for (size_t block = 0; block < blocks_between(run->conv); block++) {
    const float *input = run->input + block * b->in.block;
    float *to = between + block * (end - first) * lanes;
    row.weights = run->depthwise_weights + block * taps * lanes;
    row.bias = run->depthwise_bias + block * lanes;
    for (size_t pixel = first; pixel < end; pixel += row.width) {
      const segment s = segment_at(conv, pixel, end);
      row.input =
          input + lk_place(&b->in, lanes, s.image, s.y * conv->stride_height - conv->pad_top,
                           s.x * conv->stride_width - conv->pad_left);
      row.output = to + (pixel - first) * lanes;
      row.width = s.count;
      run->kernels->depthwise_row(&row);
    }
  }
}

static void run_pointwise(const run *run, size_t first, size_t end, const float *between) {
  static const ptrdiff_t no_offset = 0;
  const lk_blocked_conv *b = &run->conv->pointwise;
  const lk_conv2d *conv = &b->conv;
  const size_t lanes = run->kernels->lanes, blocks = blocks_between(run->conv);
  const size_t blocks_out = lk_ceil_div(conv->out_channels, lanes);
  const size_t steps = lk_tap_steps(conv->in_channels);
  const bool is_flat = b->out.halo == 0 && b->residual.halo == 0;
  lk_pixel_tile tile = {.taps = &no_offset,
                        .tap_count = 1,
                        .blocks = blocks,
                        .block_stride = (end - first) * lanes,
                        .last_channels = steps - (blocks - 1) * lanes,
                        .residual_block = b->residual.block,
                        .output_block = b->out.block,
                        .activation = conv->activation};
  for (size_t block = 0; block < blocks_out; block += 2) {
    const size_t vectors = lk_least(2, blocks_out - block);
    float *output = run->output + block * b->out.block;
    const float *residual = run->residual ? run->residual + block * b->residual.block : NULL;
    tile.weights = run->weights + block * lanes * steps;
    tile.bias = run->bias + block * lanes;
    tile.ahead = LK_AHEAD;
    for (size_t pixel = first; pixel < end;) {
      const segment s = segment_at(conv, pixel, end);
      const size_t count = is_flat ? end - pixel : s.count;
      const size_t pieces = lk_ceil_div(count, run->kernels->pixels);
      float *to = output + lk_place(&b->out, lanes, s.image, s.y, s.x);
      const float *add =
          residual ? residual + lk_place(&b->residual, lanes, s.image, s.y, s.x) : NULL;
      for (size_t piece = 0; piece < pieces; piece++) {
        const size_t x = lk_share(count, pieces, piece);
        tile.input = between + (pixel - first + x) * lanes;
        tile.output = to + x * lanes;
        tile.residual = add ? add + x * lanes : NULL;
        run->kernels->tile[0][vectors - 1][lk_share(count, pieces, piece + 1) - x - 1](&tile);
        tile.ahead = 0;
      }
      for (size_t v = 0; v < vectors; v++)
        lk_clear_halo(b, lanes, output + v * b->out.block + s.image * b->out.image, s.y, s.x,
                      s.x + s.count);
      pixel += count;
    }
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_separable_conv *conv = run->conv;
  const size_t pixels = pixel_count(conv);
  float *between = run->scratch + index * worker_floats(conv);
  size_t piece;
  while ((piece = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < conv->pieces) {
    const size_t first = lk_share(pixels, conv->pieces, piece);
    const size_t end = lk_share(pixels, conv->pieces, piece + 1);
    run_depthwise(run, first, end, between);
    run_pointwise(run, first, end, between);
  }
}

void lk_separable_conv_run(lk_pool *pool, const lk_separable_conv *conv, const float *input,
                           const void *packed_depthwise, const void *packed_pointwise,
                           const float *residual, float *output, void *scratch) {
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(conv->pointwise.isa);
  const float *depthwise = packed_depthwise, *pointwise = packed_pointwise;
  run run = {.conv = conv,
             .kernels = kernels,
             .input = input,
             .depthwise_bias = depthwise,
             .depthwise_weights = depthwise + lk_bias_floats(&conv->depthwise),
             .bias = pointwise,
             .weights = pointwise + lk_bias_floats(&conv->pointwise),
             .residual = residual,
             .output = output,
             .taps = scratch,
             .scratch = (float *)((char *)scratch + lk_taps_bytes(&conv->depthwise))};
  lk_make_taps(&conv->depthwise, kernels->lanes, 0, scratch);
  const size_t threads =
      lk_least((size_t)conv->pointwise.threads, (size_t)lk_pool_thread_count(pool));
  lk_parallel_for(pool, lk_least(threads, conv->pieces), worker, &run);
}
