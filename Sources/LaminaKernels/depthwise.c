#include "depthwise.h"
#include "sizes.h"

#include <stdatomic.h>

enum { STRIP_BYTES = 24 << 10, MIN_STRIP_ROWS = 8, SLACK = 32 };

static const lk_depthwise_kernels *kernels_for(lk_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_f32_depthwise_kernels_avx512;
  case LK_ISA_AVX2:
    return &lk_f32_depthwise_kernels_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_f32_depthwise_kernels_neon;
#endif
  default:
    return &lk_f32_depthwise_kernels_scalar;
  }
}

/// Extents of a strip: `phases` rows of `phase_width` floats, of which the first `filled` are set,
/// hold one padded row of the input. Lanes that read behind them belong to no output.
typedef struct strip {
  size_t out_rows, rows, phases, filled, phase_width;
} strip;

static strip make_strip(const lk_conv2d *conv) {
  const size_t span_y = (conv->kernel_height - 1) * conv->dilation_height + 1;
  const size_t span_x = (conv->kernel_width - 1) * conv->dilation_width + 1;
  const size_t width = (conv->out_width - 1) * conv->stride_width + span_x;
  strip s = {.phases = conv->stride_width};
  s.filled = lk_ceil_div(lk_ceil_div(width, s.phases), 16) * 16;
  s.phase_width = s.filled + SLACK;
  const size_t row_bytes = s.phases * s.phase_width * sizeof(float);
  const size_t fitting = STRIP_BYTES / row_bytes;
  s.out_rows = fitting > span_y ? (fitting - span_y) / conv->stride_height + 1 : 1;
  if (s.out_rows < MIN_STRIP_ROWS) s.out_rows = MIN_STRIP_ROWS;
  s.out_rows = lk_least(s.out_rows, conv->out_height);
  s.rows = (s.out_rows - 1) * conv->stride_height + span_y;
  return s;
}

static size_t strip_floats(const strip *s) { return s->rows * s->phases * s->phase_width; }

static size_t worker_bytes(const lk_conv2d *conv, const strip *s) {
  const size_t bytes = strip_floats(s) * sizeof(float) + conv->kernel_width * sizeof(size_t);
  return (bytes + 63) / 64 * 64;
}

size_t lk_f32_depthwise_scratch_bytes(const lk_conv2d *conv, int threads) {
  const strip s = make_strip(conv);
  return worker_bytes(conv, &s) * (size_t)(threads < 1 ? 1 : threads);
}

typedef struct run {
  const lk_conv2d *conv;
  const lk_depthwise_kernels *kernels;
  const float *input, *weight, *bias, *residual;
  float *output;
  char *scratch;
  strip strip;
  _Atomic size_t next;
} run;

/// Fills the strip's rows, which begin at row `top` of the padded input.
static void fill(const run *run, const float *channel, size_t top, size_t rows, float *to) {
  const lk_conv2d *conv = run->conv;
  const strip *s = &run->strip;
  for (size_t y = top; y < top + rows; y++, to += s->phases * s->phase_width) {
    const bool inside = y >= conv->pad_top && y - conv->pad_top < conv->in_height;
    const float *from = inside ? channel + (y - conv->pad_top) * conv->in_width : channel;
    run->kernels->fill(from, inside ? conv->in_width : 0, conv->pad_left, s->phases, to, s->filled,
                       s->phase_width);
  }
}

static void worker(void *context, size_t index) {
  run *run = context;
  const lk_conv2d *conv = run->conv;
  const strip *s = &run->strip;
  float *picture = (float *)(run->scratch + index * worker_bytes(conv, s));
  size_t *column_offsets = (size_t *)(picture + strip_floats(s));
  for (size_t u = 0; u < conv->kernel_width; u++) {
    const size_t x = u * conv->dilation_width;
    column_offsets[u] = x % s->phases * s->phase_width + x / s->phases;
  }

  const size_t multiplier = conv->out_channels / conv->in_channels;
  const size_t plane = conv->out_height * conv->out_width;
  const size_t channels = conv->batch * conv->in_channels;
  size_t channel;
  while ((channel = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < channels) {
    const float *input = run->input + channel * conv->in_height * conv->in_width;
    for (size_t y = 0; y < conv->out_height; y += s->out_rows) {
      const size_t rows = lk_least(s->out_rows, conv->out_height - y);
      fill(run, input, y * conv->stride_height,
           s->rows - (s->out_rows - rows) * conv->stride_height, picture);
      for (size_t m = 0; m < multiplier; m++) {
        const size_t filter = channel % conv->in_channels * multiplier + m;
        const size_t at = (channel * multiplier + m) * plane + y * conv->out_width;
        const lk_depthwise_rows part = {
            .strip = picture,
            .line = s->phases * s->phase_width,
            .column_offsets = column_offsets,
            .kernel_height = conv->kernel_height,
            .kernel_width = conv->kernel_width,
            .stride = conv->stride_height,
            .dilation = conv->dilation_height,
            .weight = run->weight + filter * conv->kernel_height * conv->kernel_width,
            .bias = run->bias ? run->bias[filter] : 0,
            .activation = conv->activation,
            .output = run->output + at,
            .residual = run->residual ? run->residual + at : NULL,
            .rows = rows,
            .width = conv->out_width,
        };
        run->kernels->rows(&part);
      }
    }
  }
}

void lk_f32_depthwise(lk_pool *pool, lk_isa isa, const lk_conv2d *conv, const float *input,
                      const float *weight, const float *bias, const float *residual, float *output,
                      void *scratch) {
  if (conv->batch == 0) return;
  run run = {.conv = conv,
             .kernels = kernels_for(isa),
             .input = input,
             .weight = weight,
             .bias = bias,
             .residual = residual,
             .output = output,
             .scratch = scratch,
             .strip = make_strip(conv)};
  const size_t channels = conv->batch * conv->in_channels;
  lk_parallel_for(pool, lk_least((size_t)lk_pool_thread_count(pool), channels), worker, &run);
}
