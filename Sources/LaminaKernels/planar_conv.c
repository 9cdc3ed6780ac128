#include "planar_conv.h"

#include <stdatomic.h>
#include <string.h>

#include "blocked.h"

static const lk_planar_kernels *kernels_for(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_planar_kernels_avx512;
  case LK_ISA_AVX2:
    return &lk_planar_kernels_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_planar_kernels_neon;
#endif
  default:
    return &lk_planar_kernels_scalar;
  }
}

bool lk_make_planar_conv(lk_planar_conv *planar, const lk_conv2d *c) {
  *planar = (lk_planar_conv){.conv = *c, .isa = lk_active_isa()};
  const size_t lanes = kernels_for(planar->isa)->lanes;
  if (c->batch == 0 || c->groups != 1 || c->stride_height != 1 || c->stride_width != 1 ||
      c->activation.kind == LK_ACTIVATION_LEAKY)
    return false;
  const size_t vectors = lk_ceil_div(c->out_width, lanes);
  // Twice the speed pays for what comes behind, which may want blocks.
  return c->in_channels <= lanes && 2 * c->out_channels <= lanes &&
         2 * vectors * c->out_channels <= c->out_width * lk_ceil_div(c->out_channels, lanes);
}

/// Extents of a padded input, a gradient's rows of whole vectors, and how channels are cut.
typedef struct plan {
  const lk_planar_kernels *kernels;
  size_t lanes, vectors, steps, runs, groups;
  /// Floats of a row and of all planes of an input with zeros around, some behind them for the last
  /// vector; and the same of an output's gradient in whole vectors.
  size_t row, plane, input, gradient_row, gradient;
  /// Images are cut into chunks whose sums are added in order.
  size_t chunks;
} plan;

static plan make_plan(const lk_planar_conv *planar) {
  const lk_conv2d *c = &planar->conv;
  plan p = {.kernels = kernels_for(planar->isa)};
  p.lanes = p.kernels->lanes;
  p.vectors = lk_ceil_div(c->out_width, p.lanes);
  p.steps = c->in_channels * c->kernel_height * c->kernel_width;
  p.runs = c->out_height * p.vectors;
  p.groups = lk_ceil_div(c->out_channels, LK_PLANAR_CHANNELS);
  p.row =
      lk_most(c->pad_left + c->in_width, c->out_width + (c->kernel_width - 1) * c->dilation_width);
  p.plane = p.row * lk_most(c->pad_top + c->in_height,
                            c->out_height + (c->kernel_height - 1) * c->dilation_height);
  p.input = lk_ceil_div(p.plane * c->in_channels + p.lanes, 16) * 16;
  p.gradient_row = p.vectors * p.lanes;
  p.gradient = lk_ceil_div(c->out_channels * c->out_height * p.gradient_row, 16) * 16;
  p.chunks = lk_least(lk_ceil_div(c->batch, 4), 16);
  return p;
}

static size_t first_channel(const lk_conv2d *c, const plan *p, size_t group) {
  return lk_share(c->out_channels, p->groups, group);
}

/// Offsets of the taps in a padded input, in the weight's order.
static void make_taps(const lk_conv2d *c, const plan *p, ptrdiff_t *taps) {
  for (size_t i = 0; i < c->in_channels; i++)
    for (size_t u = 0; u < c->kernel_height; u++)
      for (size_t v = 0; v < c->kernel_width; v++)
        *taps++ =
            (ptrdiff_t)(i * p->plane + u * c->dilation_height * p->row + v * c->dilation_width);
}

/// Copies an image into the middle of zeros.
static void pad_image(const lk_conv2d *c, const plan *p, const float *from, float *to) {
  const size_t area = c->in_height * c->in_width;
  for (size_t i = 0; i < c->in_channels; i++)
    p->kernels->copy_rows(from + i * area, c->in_width, c->in_height,
                          to + i * p->plane + c->pad_top * p->row + c->pad_left, p->row);
}

static size_t tap_bytes(const plan *p) {
  return lk_ceil_div(p->steps * sizeof(ptrdiff_t), 64) * 64;
}

// ------------------------------------------------------------------------------------------------
// Forward

static size_t weight_floats(const lk_conv2d *c, const plan *p) {
  return lk_ceil_div(c->out_channels * (p->steps + 1), 16) * 16;
}

size_t lk_planar_conv_scratch_bytes(const lk_planar_conv *planar, int threads) {
  const plan p = make_plan(planar);
  return tap_bytes(&p) +
         (weight_floats(&planar->conv, &p) + p.input * (size_t)threads) * sizeof(float);
}

typedef struct run {
  const lk_conv2d *conv;
  plan plan;
  const float *input, *weights, *bias;
  const ptrdiff_t *taps;
  float *output, *padded;
  _Atomic size_t next;
} run;

static void convolve_image(const run *run, size_t image, const float *padded) {
  const lk_conv2d *c = run->conv;
  const plan *p = &run->plan;
  const size_t plane = c->out_height * c->out_width, most = p->kernels->runs;
  lk_planar_tile tile = {.input = padded,
                         .taps = run->taps,
                         .tap_count = p->steps,
                         .output_plane = plane,
                         .activation = c->activation};
  for (size_t first = 0; first < p->runs; first += most) {
    for (size_t r = 0; r < most; r++) {
      const size_t number = lk_least(first + r, p->runs - 1);
      const size_t y = number / p->vectors, x = number % p->vectors * p->lanes;
      tile.from[r] = y * p->row + x;
      tile.to[r] = y * c->out_width + x;
      tile.counts[r] = (int)lk_least(p->lanes, c->out_width - x);
    }
    for (size_t group = 0; group < p->groups; group++) {
      const size_t o = first_channel(c, p, group);
      tile.weights = run->weights + o * p->steps;
      tile.bias = run->bias + o;
      tile.output = run->output + (image * c->out_channels + o) * plane;
      p->kernels->tile[first_channel(c, p, group + 1) - o - 1](&tile);
    }
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_conv2d *c = run->conv;
  float *padded = run->padded + index * run->plan.input;
  memset(padded, 0, run->plan.input * sizeof *padded);
  size_t image;
  while ((image = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < c->batch) {
    pad_image(c, &run->plan, run->input + image * c->in_channels * c->in_height * c->in_width,
              padded);
    convolve_image(run, image, padded);
  }
}

void lk_planar_conv_run(lk_pool *pool, const lk_planar_conv *planar, const float *input,
                        const float *weight, const float *bias, float *output, void *scratch) {
  const lk_conv2d *c = &planar->conv;
  run run = {.conv = c, .plan = make_plan(planar), .input = input, .output = output};
  const plan *p = &run.plan;
  float *weights = (float *)((char *)scratch + tap_bytes(p));
  float *biases = weights + c->out_channels * p->steps;
  make_taps(c, p, scratch);
  for (size_t group = 0; group < p->groups; group++) {
    const size_t first = first_channel(c, p, group), end = first_channel(c, p, group + 1);
    float *to = weights + first * p->steps;
    for (size_t step = 0; step < p->steps; step++)
      for (size_t o = first; o < end; o++) *to++ = weight[o * p->steps + step];
  }
  for (size_t o = 0; o < c->out_channels; o++) biases[o] = bias ? bias[o] : 0;
  run.taps = scratch, run.weights = weights, run.bias = biases;
  run.padded = weights + weight_floats(c, p);
  lk_parallel_for(pool, lk_least((size_t)lk_pool_thread_count(pool), c->batch), worker, &run);
}

// ------------------------------------------------------------------------------------------------
// Gradients

/// Floats of the sums of a chunk: a vector for each weight and bias.
static size_t sum_floats(const lk_conv2d *c, const plan *p) {
  return c->out_channels * (p->steps + 1) * p->lanes;
}

size_t lk_planar_conv_gradient_scratch_bytes(const lk_planar_conv *planar, int threads) {
  const plan p = make_plan(planar);
  return tap_bytes(&p) + (p.chunks * sum_floats(&planar->conv, &p) +
                          (p.input + p.gradient) * (size_t)threads + p.lanes) *
                             sizeof(float);
}

typedef struct gradient_run {
  const lk_conv2d *conv;
  plan plan;
  const float *input, *gradient;
  const ptrdiff_t *taps;
  float *sums, *copies;
  bool wants_weight, wants_bias;
  _Atomic size_t next;
} gradient_run;

/// The sums of one image; those of a channel are its weights and then its bias.
static void sum_image(const gradient_run *run, const float *padded, const float *gradient,
                      float *sums) {
  const lk_conv2d *c = run->conv;
  const plan *p = &run->plan;
  const size_t channel = (p->steps + 1) * p->lanes, plane = c->out_height * p->gradient_row;
  const size_t tap_groups = lk_ceil_div(p->steps, p->kernels->taps);
  for (size_t group = 0; group < p->groups; group++) {
    const size_t o = first_channel(c, p, group), end = first_channel(c, p, group + 1);
    lk_planar_sums s = {.input = padded,
                        .gradient = gradient + o * plane,
                        .input_row = p->row,
                        .gradient_row = p->gradient_row,
                        .gradient_plane = plane,
                        .rows = c->out_height,
                        .vectors = p->vectors,
                        .sums_channel = channel};
    for (size_t t = 0; run->wants_weight && t < tap_groups; t++) {
      const size_t tap = lk_share(p->steps, tap_groups, t);
      s.taps = run->taps + tap;
      s.sums = sums + o * channel + tap * p->lanes;
      p->kernels->sums[end - o - 1][lk_share(p->steps, tap_groups, t + 1) - tap - 1](&s);
    }
    for (size_t k = o; run->wants_bias && k < end; k++)
      p->kernels->add_vectors(gradient + k * plane, c->out_height * p->vectors,
                              sums + k * channel + p->steps * p->lanes);
  }
}

static void gradient_worker(void *context, size_t index) {
  gradient_run *run = context;
  const lk_conv2d *c = run->conv;
  const plan *p = &run->plan;
  const size_t in_floats = c->in_channels * c->in_height * c->in_width;
  const size_t rows = c->out_channels * c->out_height;
  float *padded = run->copies + index * (p->input + p->gradient), *gradient = padded + p->input;
  memset(padded, 0, (p->input + p->gradient) * sizeof *padded);
  size_t chunk;
  while ((chunk = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < p->chunks) {
    float *sums = run->sums + chunk * sum_floats(c, p);
    memset(sums, 0, sum_floats(c, p) * sizeof *sums);
    const size_t end = lk_share(c->batch, p->chunks, chunk + 1);
    for (size_t image = lk_share(c->batch, p->chunks, chunk); image < end; image++) {
      pad_image(c, p, run->input + image * in_floats, padded);
      p->kernels->copy_rows(run->gradient + image * rows * c->out_width, c->out_width, rows,
                            gradient, p->gradient_row);
      sum_image(run, padded, gradient, sums);
    }
  }
}

void lk_planar_conv_gradient(lk_pool *pool, const lk_planar_conv *planar, const float *input,
                             const float *output_gradient, bool adds_weight, float *weight_gradient,
                             bool adds_bias, float *bias_gradient, void *scratch) {
  const lk_conv2d *c = &planar->conv;
  gradient_run run = {.conv = c,
                      .plan = make_plan(planar),
                      .input = input,
                      .gradient = output_gradient,
                      .taps = scratch,
                      .wants_weight = weight_gradient != NULL,
                      .wants_bias = bias_gradient != NULL};
  const plan *p = &run.plan;
  const size_t floats = sum_floats(c, p);
  make_taps(c, p, scratch);
  run.sums = (float *)((char *)scratch + tap_bytes(p));
  run.copies = run.sums + p->chunks * floats;
  lk_parallel_for(pool, lk_least((size_t)lk_pool_thread_count(pool), p->chunks), gradient_worker,
                  &run);
  for (size_t chunk = 1; chunk < p->chunks; chunk++)
    p->kernels->add(run.sums + chunk * floats, floats, run.sums);
  for (size_t o = 0; o < c->out_channels; o++) {
    const float *sums = run.sums + o * (p->steps + 1) * p->lanes;
    for (size_t step = 0; weight_gradient && step < p->steps; step++) {
      float *to = weight_gradient + o * p->steps + step;
      *to = (adds_weight ? *to : 0) + p->kernels->total(sums + step * p->lanes);
    }
    if (bias_gradient)
      bias_gradient[o] =
          (adds_bias ? bias_gradient[o] : 0) + p->kernels->total(sums + p->steps * p->lanes);
  }
}
