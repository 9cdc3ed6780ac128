// The gradient of a convolution by a plain input of few channels. A row of taps times these
// channels fills vectors: each output gradient adds the weights of its channel, a window of such
// rows, to an image [pixel][channel].
#include "blocked.h"
#include "gemm.h"

#include <stdatomic.h>
#include <string.h>

typedef struct plan {
  const lk_blocked_kernels *kernels;
  /// Vectors of a row of taps, and of a window.
  size_t lanes, row_vectors, vectors;
  size_t blocks;
  /// Floats of a row and of all of an image with padding, and of one without.
  size_t row, padded, image;
} plan;

static plan make_plan(const lk_blocked_conv *b) {
  const lk_conv2d *c = &b->conv;
  plan p = {.kernels = lk_blocked_kernels_for(b->isa)};
  p.lanes = p.kernels->lanes;
  p.row_vectors = lk_ceil_div(c->kernel_width * c->in_channels, p.lanes);
  p.vectors = c->kernel_height * p.row_vectors;
  p.blocks = lk_ceil_div(c->out_channels, p.lanes);
  const size_t width = (c->out_width - 1) * c->stride_width + c->kernel_width;
  const size_t height =
      (c->out_height - 1) * c->stride_height + (c->kernel_height - 1) * c->dilation_height + 1;
  p.row = lk_most(width, c->pad_left + c->in_width) * c->in_channels;
  // The last vector of a row of taps may reach behind them.
  p.padded = lk_most(height, c->pad_top + c->in_height) * p.row + p.lanes;
  p.padded = lk_ceil_div(p.padded, 16) * 16;
  p.image = lk_ceil_div(c->in_channels * c->in_height * c->in_width, 16) * 16;
  return p;
}

bool lk_make_plain_input_gradient(const lk_blocked_conv *b) {
  const lk_conv2d *c = &b->conv;
  const plan p = make_plan(b);
  return 2 * c->in_channels <= p.lanes && p.vectors <= LK_MAX_WINDOW &&
         (c->dilation_width == 1 || c->kernel_width == 1);
}

size_t lk_plain_input_gradient_packed_bytes(const lk_input_gradient *g) {
  const plan p = make_plan(&g->forward);
  return p.blocks * p.lanes * p.vectors * p.lanes * sizeof(float);
}

/// [output channel][row of taps][tap, input channel]
void lk_plain_input_gradient_pack(const lk_input_gradient *g, const float *weight, float *to) {
  const lk_conv2d *c = &g->forward.conv;
  const plan p = make_plan(&g->forward);
  const size_t channels = c->in_channels, taps = c->kernel_height * c->kernel_width;
  memset(to, 0, lk_plain_input_gradient_packed_bytes(g));
  for (size_t o = 0; o < c->out_channels; o++)
    for (size_t i = 0; i < channels; i++)
      for (size_t tap = 0; tap < taps; tap++) {
        const size_t u = tap / c->kernel_width, v = tap % c->kernel_width;
        to[(o * p.vectors + u * p.row_vectors) * p.lanes + v * channels + i] =
            weight[(o * channels + i) * taps + tap];
      }
}

/// An image with padding, and one without as [pixel][channel] and as [channel][pixel].
static size_t worker_floats(const plan *p) { return p->padded + 2 * p->image; }

size_t lk_plain_input_gradient_scratch_bytes(const lk_input_gradient *g) {
  const plan p = make_plan(&g->forward);
  return worker_floats(&p) * (size_t)g->forward.threads * sizeof(float);
}

typedef struct run {
  const lk_blocked_conv *conv;
  plan plan;
  const float *from, *packed;
  bool adds;
  float *to, *scratch;
  _Atomic size_t next;
} run;

static void add_windows(const run *run, size_t image, float *padded) {
  const lk_blocked_conv *b = run->conv;
  const lk_conv2d *c = &b->conv;
  const plan *p = &run->plan;
  size_t places[LK_MAX_WINDOW];
  for (size_t k = 0; k < p->vectors; k++)
    places[k] = k / p->row_vectors * c->dilation_height * p->row + k % p->row_vectors * p->lanes;
  lk_window_sum sum = {
      .blocks = p->blocks, .block_stride = b->out.block, .weights = run->packed, .places = places};
  for (size_t y = 0; y < c->out_height; y++) {
    sum.gradient = run->from + lk_place(&b->out, p->lanes, image, y, 0);
    sum.to = padded + y * c->stride_height * p->row;
    for (size_t x = 0; x < c->out_width; x++) {
      p->kernels->add_window[p->vectors - 1](&sum);
      sum.gradient += p->lanes;
      sum.to += c->stride_width * c->in_channels;
    }
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_conv2d *c = &run->conv->conv;
  const plan *p = &run->plan;
  const lk_pack_rows_kernel transpose = lk_gemm_kernels_for(run->conv->isa)->pack_columns;
  const size_t pixels = c->in_height * c->in_width, row = c->in_width * c->in_channels;
  float *padded = run->scratch + index * worker_floats(p);
  float *dense = padded + p->padded, *planes = dense + p->image;
  size_t image;
  while ((image = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < c->batch) {
    memset(padded, 0, p->padded * sizeof *padded);
    add_windows(run, image, padded);
    for (size_t y = 0; y < c->in_height; y++)
      memcpy(dense + y * row, padded + (y + c->pad_top) * p->row + c->pad_left * c->in_channels,
             row * sizeof *dense);
    float *to = run->to + image * c->in_channels * pixels;
    transpose(dense, c->in_channels, pixels, c->in_channels, 1, run->adds ? planes : to, pixels);
    if (run->adds) lk_put(planes, c->in_channels * pixels, true, to);
  }
}

void lk_plain_input_gradient_run(lk_pool *pool, const lk_input_gradient *g,
                                 const float *output_gradient, const float *packed, bool adds,
                                 float *input_gradient, float *scratch) {
  const lk_blocked_conv *b = &g->forward;
  run run = {.conv = b,
             .plan = make_plan(b),
             .from = output_gradient,
             .packed = packed,
             .adds = adds,
             .to = input_gradient,
             .scratch = scratch};
  const size_t threads = lk_least((size_t)b->threads, (size_t)lk_pool_thread_count(pool));
  lk_parallel_for(pool, lk_least(threads, b->conv.batch), worker, &run);
}
