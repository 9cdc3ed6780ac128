// The gradient of a convolution with stride 1 by a plain input of few channels. A row of taps times
// these channels fills vectors: products of each output gradient with the weights of a row are
// summed up over output channels into lines, and a pixel of the input gathers its part of each.
#include "blocked.h"
#include "gemm.h"

#include <stdatomic.h>
#include <string.h>

typedef struct plan {
  const lk_blocked_kernels *kernels;
  /// Floats of a pixel of a line: taps of a row times input channels, in whole vectors.
  size_t lanes, vectors, pixel;
  /// Pixels of zeros on either side of a line, and its floats.
  size_t margin, line;
  size_t blocks, steps, pixels;
} plan;

static plan make_plan(const lk_input_gradient *g) {
  const lk_conv2d *c = &g->forward.conv;
  plan p = {.kernels = lk_blocked_kernels_for(g->forward.isa)};
  p.lanes = p.kernels->lanes;
  p.vectors = lk_ceil_div(c->kernel_width * c->in_channels, p.lanes);
  p.pixel = p.vectors * p.lanes;
  p.margin = (c->kernel_width - 1) * c->dilation_width;
  p.line = (c->out_width + 2 * p.margin) * p.pixel;
  p.blocks = lk_ceil_div(c->out_channels, p.lanes);
  p.steps = lk_tap_steps(c->out_channels);
  p.pixels = c->in_height * c->in_width;
  return p;
}

bool lk_make_plain_input_gradient(const lk_blocked_conv *b) {
  const lk_conv2d *c = &b->conv;
  const size_t lanes = lk_blocked_kernels_for(b->isa)->lanes;
  return c->stride_height == 1 && c->stride_width == 1 && 2 * c->in_channels <= lanes &&
         c->kernel_height * c->kernel_width <= LK_MAX_GATHERED_TAPS;
}

size_t lk_plain_input_gradient_packed_bytes(const lk_input_gradient *g) {
  const plan p = make_plan(g);
  return g->forward.conv.kernel_height * p.steps * p.pixel * sizeof(float);
}

/// [row of taps][two vectors][output channel][tap, input channel]
void lk_plain_input_gradient_pack(const lk_input_gradient *g, const float *weight, float *to) {
  const lk_conv2d *c = &g->forward.conv;
  const plan p = make_plan(g);
  const size_t used = c->kernel_width * c->in_channels;
  for (size_t u = 0; u < c->kernel_height; u++)
    for (size_t first = 0; first < p.pixel; first += 2 * p.lanes) {
      const size_t end = lk_least(first + 2 * p.lanes, p.pixel);
      for (size_t o = 0; o < p.steps; o++)
        for (size_t j = first; j < end; j++)
          *to++ = o < c->out_channels && j < used
                      ? weight[((o * c->in_channels + j % c->in_channels) * c->kernel_height + u) *
                                   c->kernel_width +
                               j / c->in_channels]
                      : 0;
    }
}

static size_t dense_floats(const lk_input_gradient *g, const plan *p) {
  return lk_ceil_div(p->pixels * g->forward.conv.in_channels + p->lanes, 16) * 16;
}

/// Lines of every row of taps, an image [pixel][channel], and the same [channel][pixel].
static size_t worker_floats(const lk_input_gradient *g, const plan *p) {
  return g->forward.conv.kernel_height * p->line + 2 * dense_floats(g, p);
}

size_t lk_plain_input_gradient_scratch_bytes(const lk_input_gradient *g) {
  const plan p = make_plan(g);
  return worker_floats(g, &p) * (size_t)g->forward.threads * sizeof(float);
}

typedef struct run {
  const lk_input_gradient *gradient;
  plan plan;
  const float *from, *packed;
  bool adds;
  float *to, *scratch;
  _Atomic size_t next;
} run;

/// Row `y` of the output's gradient times row `u` of the taps.
static void make_line(const run *run, size_t image, size_t y, size_t u, float *line) {
  const lk_blocked_conv *b = &run->gradient->forward;
  const plan *p = &run->plan;
  lk_gradient_line l = {.gradient = run->from + lk_place(&b->out, p->lanes, image, y, 0),
                        .blocks = p->blocks,
                        .block_stride = b->out.block,
                        .last_channels = p->steps - (p->blocks - 1) * p->lanes,
                        .weights = run->packed + u * p->steps * p->pixel,
                        .width = b->conv.out_width,
                        .to_pixel = p->pixel};
  for (size_t v = 0; v < p->vectors; v += 2) {
    const size_t vectors = lk_least(2, p->vectors - v);
    l.to = line + p->margin * p->pixel + v * p->lanes;
    p->kernels->gradient_line[vectors - 1](&l);
    l.weights += p->steps * vectors * p->lanes;
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_conv2d *c = &run->gradient->forward.conv;
  const plan *p = &run->plan;
  const lk_pack_rows_kernel transpose =
      lk_gemm_kernels_for(run->gradient->forward.isa)->pack_columns;
  float *lines = run->scratch + index * worker_floats(run->gradient, p);
  float *dense = lines + c->kernel_height * p->line;
  float *planes = dense + dense_floats(run->gradient, p);
  memset(lines, 0, c->kernel_height * p->line * sizeof *lines);
  size_t image;
  while ((image = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < c->batch) {
    for (size_t y = 0; y < c->in_height; y++) {
      const float *taps[LK_MAX_GATHERED_TAPS];
      size_t count = 0;
      for (size_t u = 0; u < c->kernel_height; u++) {
        const size_t at = y + c->pad_top - u * c->dilation_height;
        if (at >= c->out_height) continue;
        float *line = lines + u * p->line;
        make_line(run, image, at, u, line);
        for (size_t v = 0; v < c->kernel_width; v++)
          taps[count++] = line + (c->pad_left + p->margin - v * c->dilation_width) * p->pixel +
                          v * c->in_channels;
      }
      p->kernels->gather_pixels(taps, count, p->pixel, c->in_width, c->in_channels,
                                dense + y * c->in_width * c->in_channels);
    }
    float *to = run->to + image * c->in_channels * p->pixels;
    transpose(dense, c->in_channels, p->pixels, c->in_channels, 1, run->adds ? planes : to,
              p->pixels);
    if (run->adds) lk_put(planes, c->in_channels * p->pixels, true, to);
  }
}

void lk_plain_input_gradient_run(lk_pool *pool, const lk_input_gradient *g,
                                 const float *output_gradient, const float *packed, bool adds,
                                 float *input_gradient, float *scratch) {
  run run = {.gradient = g,
             .plan = make_plan(g),
             .from = output_gradient,
             .packed = packed,
             .adds = adds,
             .to = input_gradient,
             .scratch = scratch};
  const size_t threads = lk_least((size_t)g->forward.threads, (size_t)lk_pool_thread_count(pool));
  lk_parallel_for(pool, lk_least(threads, g->forward.conv.batch), worker, &run);
}
