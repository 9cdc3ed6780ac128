#include "pooling.h"
#include "sizes.h"

#include <math.h>
#include <string.h>

#include "map_halo.h"

static const lk_pooling_variant *variant(void) {
  switch (lk_active_isa()) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_pooling_avx512;
  case LK_ISA_AVX2:
    return &lk_pooling_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_pooling_neon;
#endif
  default:
    return &lk_pooling_scalar;
  }
}

/// Window taps per task: fixed, so that results do not depend on the number of threads.
enum { TASK_TAPS = 65536 };

void lk_window_divisors(const lk_window_axis *axis, bool include_padding, float *divisors) {
  lk_window_axis padded = *axis;
  if (include_padding) {
    padded.input += axis->before + axis->after;
    padded.before = 0;
  }
  for (size_t o = 0; o < axis->output; o++) {
    const lk_taps taps = lk_taps_inside(&padded, o);
    divisors[o] = (float)(taps.end - taps.first);
  }
}

// ------------------------------------------------------------------------------------------------
// Windows over plain planes

typedef struct pool_call {
  const lk_pooling_variant *variant;
  lk_pooling op;
  const lk_window_axis *axes;
  const float *divisors;
  float p;
  const float *x;
  float *y;
  int64_t *indices;
  bool column_major;
  size_t rows, rows_per_task, channels, in_halo, out_halo;
} pool_call;

/// An output row: its plane, and the taps of depth and height that it reads.
typedef struct pool_position {
  size_t plane, depth, height;
  lk_taps depth_taps, height_taps;
} pool_position;

static pool_position position_of(const lk_window_axis *axes, size_t row) {
  pool_position at = {.height = row % axes[1].output};
  at.depth = row / axes[1].output % axes[0].output;
  at.plane = row / axes[1].output / axes[0].output;
  at.depth_taps = lk_taps_inside(&axes[0], at.depth);
  at.height_taps = lk_taps_inside(&axes[1], at.height);
  return at;
}

/// The input row of a tap.
static size_t tap_row(const lk_window_axis *axis, size_t output, size_t tap) {
  return output * axis->stride + tap * axis->dilation - axis->before;
}

static size_t rows_per_task(const lk_window_axis axes[3], size_t channels) {
  const double taps = (double)axes[2].output * (double)channels * (double)axes[0].kernel *
                      (double)axes[1].kernel * (double)axes[2].kernel;
  return taps < TASK_TAPS ? (size_t)(TASK_TAPS / (taps > 1 ? taps : 1)) : 1;
}

static void run_rows(lk_pool *pool, lk_task task, pool_call *call, size_t planes) {
  call->rows = planes * call->axes[0].output * call->axes[1].output;
  call->rows_per_task = rows_per_task(call->axes, call->channels);
  lk_parallel_for(pool, lk_ceil_div(call->rows, call->rows_per_task), task, call);
}

static void pool_task(void *context, size_t task) {
  const pool_call *call = context;
  const lk_window_axis *axes = call->axes;
  const size_t width = axes[2].input, area = axes[1].input * width;
  const size_t first = task * call->rows_per_task;
  const size_t end = lk_least(first + call->rows_per_task, call->rows);
  for (size_t row = first; row < end; row++) {
    const pool_position at = position_of(axes, row);
    const lk_taps d = at.depth_taps, h = at.height_taps;
    const float *x = call->x + at.plane * axes[0].input * area;
    if (d.end > d.first && h.end > h.first)
      x += tap_row(&axes[0], at.depth, d.first) * area +
           tap_row(&axes[1], at.height, h.first) * width;
    const float *divisors = call->divisors;
    const float divisor = divisors ? divisors[at.depth] * divisors[axes[0].output + at.height] : 1;
    call->variant->row(call->op, &axes[2],
                       divisors ? divisors + axes[0].output + axes[1].output : NULL, divisor,
                       call->p, x, d.end - d.first, axes[0].dilation * area, h.end - h.first,
                       axes[1].dilation * width, call->y + row * axes[2].output);
  }
}

// ------------------------------------------------------------------------------------------------
// Windows of 2×2 with stride 2 that lie in the plane

typedef struct squares_call {
  const lk_pooling_variant *variant;
  lk_pooling op;
  const float *x, *y, *dy;
  float *to;
  bool sets;
  /// Those of x and of the results; planes without rows that no window reads count as one.
  size_t height, width, out_height, out_width;
  size_t rows, rows_per_task;
} squares_call;

/// Sixteen windows count as one. A task takes some microseconds and does not depend on the number
/// of threads.
enum { TASK_SQUARES = 704 };

static bool is_halved(const lk_window_axis *axis) {
  return axis->kernel == 2 && axis->stride == 2 && axis->dilation == 1 && axis->before == 0 &&
         axis->output > 0 && axis->output <= axis->input / 2;
}

static bool are_all(const float *numbers, size_t n, float value) {
  for (size_t i = 0; i < n; i++)
    if (numbers[i] != value) return false;
  return true;
}

static bool is_of_squares(lk_pooling op, const lk_window_axis axes[3], const float *divisors) {
  const lk_window_axis *d = &axes[0], *h = &axes[1], *w = &axes[2];
  const bool is_flat = d->kernel == 1 && d->stride == 1 && d->before == 0 && d->output == d->input;
  if (!is_flat || !is_halved(h) || !is_halved(w)) return false;
  return op == LK_POOL_MAX ||
         (op == LK_POOL_AVERAGE && divisors && are_all(divisors, d->output, 1) &&
          are_all(divisors + d->output, h->output + w->output, 2));
}

static void run_squares(lk_pool *pool, lk_task task, squares_call *call,
                        const lk_window_axis axes[3], size_t planes) {
  call->variant = variant();
  call->height = axes[1].input;
  call->width = axes[2].input;
  call->out_height = axes[1].output;
  call->out_width = axes[2].output;
  call->rows = planes * axes[0].output * call->out_height;
  if (call->rows == 0) return;
  if (call->height == 2 * call->out_height) {
    call->out_height = call->rows;
    call->height = 2 * call->rows;
  }
  const size_t row = (call->out_width + 15) / 16;
  const size_t most = row < TASK_SQUARES ? TASK_SQUARES / row : 1;
  const size_t tasks = lk_ceil_div(call->rows, most);
  call->rows_per_task = lk_ceil_div(call->rows, tasks);
  lk_parallel_for(pool, lk_ceil_div(call->rows, call->rows_per_task), task, call);
}

static void squares_task(void *context, size_t task) {
  const squares_call *call = context;
  const size_t end = lk_least((task + 1) * call->rows_per_task, call->rows);
  for (size_t row = task * call->rows_per_task, count; row < end; row += count) {
    const size_t plane = row / call->out_height, first = row % call->out_height;
    count = lk_least(call->out_height - first, end - row);
    const float *x = call->x + (plane * call->height + 2 * first) * call->width;
    call->variant->squares(call->op, x, call->width, call->to + row * call->out_width,
                           call->out_width, count);
  }
}

static void squares_gradient_task(void *context, size_t task) {
  const squares_call *call = context;
  // Averages read neither.
  const float *x = call->op == LK_POOL_MAX ? call->x : call->to;
  const float *y = call->op == LK_POOL_MAX ? call->y : call->dy;
  const size_t end = lk_least((task + 1) * call->rows_per_task, call->rows);
  for (size_t row = task * call->rows_per_task, count; row < end; row += count) {
    const size_t plane = row / call->out_height, first = row % call->out_height;
    count = lk_least(call->out_height - first, end - row);
    const size_t in = (plane * call->height + 2 * first) * call->width;
    const size_t out = row * call->out_width;
    call->variant->squares_gradient(call->op, x + in, y + out, call->dy + out, call->to + in,
                                    call->sets, call->width, call->out_width, count);
    const size_t below = call->height - 2 * call->out_height;
    if (call->sets && first + count == call->out_height && below > 0)
      memset(call->to + in + 2 * count * call->width, 0, below * call->width * sizeof *call->to);
  }
}

// ------------------------------------------------------------------------------------------------
// Any windows over plain planes

void lk_f32_pool(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3], const float *divisors,
                 float p, const float *x, float *y, size_t planes) {
  if (is_of_squares(op, axes, divisors)) {
    squares_call squares = {.op = op, .x = x, .to = y};
    run_squares(pool, squares_task, &squares, axes, planes);
    return;
  }
  pool_call call = {.variant = variant(),
                    .op = op,
                    .axes = axes,
                    .divisors = divisors,
                    .p = p,
                    .x = x,
                    .y = y,
                    .channels = 1};
  run_rows(pool, pool_task, &call, planes);
}

// ------------------------------------------------------------------------------------------------
// Maxima with their places

static void indices_task(void *context, size_t task) {
  const pool_call *call = context;
  const lk_window_axis *axes = call->axes, *w = &axes[2];
  const size_t height = axes[1].input, width = w->input;
  const size_t first = task * call->rows_per_task;
  const size_t end = lk_least(first + call->rows_per_task, call->rows);
  for (size_t row = first; row < end; row++) {
    const pool_position at = position_of(axes, row);
    for (size_t o = 0; o < w->output; o++) {
      const lk_taps taps = lk_taps_inside(w, o);
      float best = -INFINITY;
      int64_t place = -1;
      for (size_t d = at.depth_taps.first; d < at.depth_taps.end; d++)
        for (size_t h = at.height_taps.first; h < at.height_taps.end; h++)
          for (size_t t = taps.first; t < taps.end; t++) {
            const size_t iz = at.plane * axes[0].input + tap_row(&axes[0], at.depth, d);
            const size_t iy = tap_row(&axes[1], at.height, h), ix = tap_row(w, o, t);
            const float value = call->x[(iz * height + iy) * width + ix];
            if (place >= 0 && !(value > best || (isnan(value) && !isnan(best)))) continue;
            best = value;
            place = (int64_t)(call->column_major ? (iz * width + ix) * height + iy
                                                 : (iz * height + iy) * width + ix);
          }
      call->y[row * w->output + o] = best;
      call->indices[row * w->output + o] = place;
    }
  }
}

void lk_f32_max_pool_indices(lk_pool *pool, const lk_window_axis axes[3], bool column_major,
                             const float *x, float *y, int64_t *indices, size_t planes) {
  pool_call call = {.axes = axes,
                    .x = x,
                    .y = y,
                    .indices = indices,
                    .column_major = column_major,
                    .channels = 1};
  run_rows(pool, indices_task, &call, planes);
}

// ------------------------------------------------------------------------------------------------
// Adaptive bins

typedef struct adaptive_call {
  lk_pooling op;
  const size_t *input, *output;
  const float *x;
  float *y;
} adaptive_call;

static size_t bin_start(size_t i, size_t input, size_t output) { return i * input / output; }
static size_t bin_end(size_t i, size_t input, size_t output) {
  return lk_ceil_div((i + 1) * input, output);
}

static void adaptive_task(void *context, size_t plane) {
  const adaptive_call *call = context;
  const size_t *in = call->input, *out = call->output;
  const float *x = call->x + plane * in[0] * in[1] * in[2];
  float *y = call->y + plane * out[0] * out[1] * out[2];
  for (size_t d = 0; d < out[0]; d++)
    for (size_t h = 0; h < out[1]; h++)
      for (size_t w = 0; w < out[2]; w++) {
        const size_t d0 = bin_start(d, in[0], out[0]), d1 = bin_end(d, in[0], out[0]);
        const size_t h0 = bin_start(h, in[1], out[1]), h1 = bin_end(h, in[1], out[1]);
        const size_t w0 = bin_start(w, in[2], out[2]), w1 = bin_end(w, in[2], out[2]);
        float sum = call->op == LK_POOL_MAX ? -INFINITY : 0;
        for (size_t z = d0; z < d1; z++)
          for (size_t r = h0; r < h1; r++)
            for (size_t c = w0; c < w1; c++) {
              const float value = x[(z * in[1] + r) * in[2] + c];
              if (call->op != LK_POOL_MAX)
                sum += value;
              else if (value > sum || isnan(value))
                sum = value;
            }
        const size_t count = (d1 - d0) * (h1 - h0) * (w1 - w0);
        *y++ = call->op == LK_POOL_MAX || count == 0 ? sum : sum / (float)count;
      }
}

void lk_f32_adaptive_pool(lk_pool *pool, lk_pooling op, const size_t input[3],
                          const size_t output[3], const float *x, float *y, size_t planes) {
  adaptive_call call = {op, input, output, x, y};
  lk_parallel_for(pool, planes, adaptive_task, &call);
}

// ------------------------------------------------------------------------------------------------
// Windows over blocked maps

static void blocked_task(void *context, size_t task) {
  const pool_call *call = context;
  const lk_window_axis *h = &call->axes[1], *w = &call->axes[2];
  const size_t channels = call->channels, in_halo = call->in_halo, halo = call->out_halo;
  const size_t in_row = (w->input + 2 * in_halo) * channels;
  const size_t out_map = (h->output + 2 * halo) * (w->output + 2 * halo) * channels;
  const size_t first = task * call->rows_per_task;
  const size_t end = lk_least(first + call->rows_per_task, call->rows);
  for (size_t row = first; row < end; row++) {
    const pool_position at = position_of(call->axes, row);
    const lk_taps taps = at.height_taps;
    float *y =
        lk_zero_halo(call->y + at.plane * out_map, at.height, h->output, w->output, channels, halo);
    const float *x = call->x + at.plane * (h->input + 2 * in_halo) * in_row + in_halo * channels;
    if (taps.end > taps.first) x += (tap_row(h, at.height, taps.first) + in_halo) * in_row;
    const float *divisors = call->divisors;
    call->variant->blocked_row(
        call->op, w, divisors ? divisors + call->axes[0].output + h->output : NULL,
        divisors ? divisors[0] * divisors[call->axes[0].output + at.height] : 1, x,
        taps.end - taps.first, h->dilation * in_row, channels, y);
  }
}

void lk_f32_pool_blocked(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3],
                         const float *divisors, size_t channels, size_t in_halo, size_t out_halo,
                         const float *x, float *y, size_t blocks) {
  pool_call call = {.variant = variant(),
                    .op = op,
                    .axes = axes,
                    .divisors = divisors,
                    .x = x,
                    .y = y,
                    .channels = channels,
                    .in_halo = in_halo,
                    .out_halo = out_halo};
  run_rows(pool, blocked_task, &call, blocks);
}

// ------------------------------------------------------------------------------------------------
// Gradients: windows overlap, so that a task takes whole planes

typedef struct gradient_call {
  const lk_pooling_variant *variant;
  lk_pooling op;
  const lk_window_axis *axes;
  const size_t *input, *output;
  const float *divisors;
  float p;
  const float *x, *y, *dy;
  float *dx;
  size_t channels, in_halo, out_halo;
  bool sets;
} gradient_call;

/// The part of dy that an input x of a window with the result y gets; `open` until a maximum or
/// minimum has been found.
static float share(const gradient_call *call, float x, float y, float dy, float divisor,
                   bool *open) {
  if (call->op == LK_POOL_AVERAGE) return dy / divisor;
  if (call->op == LK_POOL_LP)
    return y == 0 ? 0 : dy * copysignf(powf(fabsf(x) / y, call->p - 1), x);
  if (!*open || !(x == y || isnan(x))) return 0;
  *open = false;
  return dy;
}

static void gradient_task(void *context, size_t plane) {
  const gradient_call *call = context;
  const lk_window_axis *a = call->axes;
  const size_t count = a[0].input * a[1].input * a[2].input, in_start = plane * count;
  size_t at = plane * a[0].output * a[1].output * a[2].output;
  if (call->sets) memset(call->dx + in_start, 0, count * sizeof *call->dx);
  for (size_t d = 0; d < a[0].output; d++)
    for (size_t h = 0; h < a[1].output; h++)
      for (size_t w = 0; w < a[2].output; w++, at++) {
        const lk_taps depth = lk_taps_inside(&a[0], d), height = lk_taps_inside(&a[1], h);
        const lk_taps width = lk_taps_inside(&a[2], w);
        const float *divisors = call->divisors;
        const size_t behind = a[0].output + a[1].output;
        const float divisor =
            divisors ? divisors[d] * divisors[a[0].output + h] * divisors[behind + w] : 1;
        const float y = call->y ? call->y[at] : 0;
        bool open = true;
        for (size_t i = depth.first; i < depth.end; i++)
          for (size_t j = height.first; j < height.end; j++)
            for (size_t k = width.first; k < width.end; k++) {
              const size_t row = tap_row(&a[0], d, i) * a[1].input + tap_row(&a[1], h, j);
              const size_t tap = in_start + row * a[2].input + tap_row(&a[2], w, k);
              call->dx[tap] += share(call, call->x ? call->x[tap] : 0, y, call->dy[at],
                                     divisor > 1 ? divisor : 1, &open);
            }
      }
}

void lk_f32_pool_gradient(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3],
                          const float *divisors, float p, const float *x, const float *y,
                          const float *dy, float *dx, bool sets, size_t planes) {
  if (is_of_squares(op, axes, divisors)) {
    squares_call squares = {.op = op, .x = x, .y = y, .dy = dy, .to = dx, .sets = sets};
    run_squares(pool, squares_gradient_task, &squares, axes, planes);
    return;
  }
  gradient_call call = {.op = op,
                        .axes = axes,
                        .divisors = divisors,
                        .p = p,
                        .x = x,
                        .y = y,
                        .dy = dy,
                        .dx = dx,
                        .sets = sets};
  lk_parallel_for(pool, planes, gradient_task, &call);
}

static void adaptive_gradient_task(void *context, size_t plane) {
  const gradient_call *call = context;
  const size_t *in = call->input, *out = call->output;
  const size_t start = plane * in[0] * in[1] * in[2];
  size_t at = plane * out[0] * out[1] * out[2];
  for (size_t d = 0; d < out[0]; d++)
    for (size_t h = 0; h < out[1]; h++)
      for (size_t w = 0; w < out[2]; w++, at++) {
        const size_t d0 = bin_start(d, in[0], out[0]), d1 = bin_end(d, in[0], out[0]);
        const size_t h0 = bin_start(h, in[1], out[1]), h1 = bin_end(h, in[1], out[1]);
        const size_t w0 = bin_start(w, in[2], out[2]), w1 = bin_end(w, in[2], out[2]);
        const float divisor = (float)((d1 - d0) * (h1 - h0) * (w1 - w0));
        const float y = call->y ? call->y[at] : 0;
        bool open = true;
        for (size_t z = d0; z < d1; z++)
          for (size_t r = h0; r < h1; r++)
            for (size_t c = w0; c < w1; c++) {
              const size_t tap = start + (z * in[1] + r) * in[2] + c;
              call->dx[tap] +=
                  share(call, call->x ? call->x[tap] : 0, y, call->dy[at], divisor, &open);
            }
      }
}

void lk_f32_adaptive_pool_gradient(lk_pool *pool, lk_pooling op, const size_t input[3],
                                   const size_t output[3], const float *x, const float *y,
                                   const float *dy, float *dx, size_t planes) {
  gradient_call call = {
      .op = op, .input = input, .output = output, .x = x, .y = y, .dy = dy, .dx = dx};
  lk_parallel_for(pool, planes, adaptive_gradient_task, &call);
}

static void blocked_gradient_task(void *context, size_t block) {
  const gradient_call *call = context;
  const lk_window_axis *h = &call->axes[1], *w = &call->axes[2];
  const size_t channels = call->channels, in_halo = call->in_halo, halo = call->out_halo;
  const size_t in_row = (w->input + 2 * in_halo) * channels;
  const size_t out_row = (w->output + 2 * halo) * channels;
  const size_t in_map = (h->input + 2 * in_halo) * in_row;
  const size_t in_start = block * in_map, inside = in_start + in_halo * (in_row + channels);
  const size_t out_start = block * (h->output + 2 * halo) * out_row + halo * (out_row + channels);
  if (call->sets) memset(call->dx + in_start, 0, in_map * sizeof *call->dx);
  for (size_t row = 0; row < h->output; row++) {
    const lk_taps taps = lk_taps_inside(h, row);
    if (taps.end == taps.first) continue;
    const size_t from = inside + tap_row(h, row, taps.first) * in_row;
    const size_t at = out_start + row * out_row;
    const float *divisors = call->divisors;
    call->variant->blocked_gradient_row(
        call->op, w, divisors ? divisors + call->axes[0].output + h->output : NULL,
        divisors ? divisors[0] * divisors[call->axes[0].output + row] : 1,
        call->x ? call->x + from : NULL, call->y ? call->y + at : NULL, call->dy + at,
        call->dx + from, taps.end - taps.first, h->dilation * in_row, channels);
  }
}

void lk_f32_pool_blocked_gradient(lk_pool *pool, lk_pooling op, const lk_window_axis axes[3],
                                  const float *divisors, size_t channels, size_t in_halo,
                                  size_t out_halo, const float *x, const float *y, const float *dy,
                                  float *dx, bool sets, size_t blocks) {
  gradient_call call = {.variant = variant(),
                        .op = op,
                        .axes = axes,
                        .divisors = divisors,
                        .x = x,
                        .y = y,
                        .dy = dy,
                        .dx = dx,
                        .channels = channels,
                        .in_halo = in_halo,
                        .out_halo = out_halo,
                        .sets = sets};
  lk_parallel_for(pool, blocks, blocked_gradient_task, &call);
}

typedef struct spread_call {
  const lk_pooling_variant *variant;
  size_t batch, channels, height, width, block, halo;
  float factor;
  const float *dy;
  float *dx;
  bool sets;
} spread_call;

/// Channels of a block, at most: those of the widest vector.
enum { BLOCK = 16 };

static void spread_task(void *context, size_t item) {
  const spread_call *call = context;
  const size_t image = item % call->batch, first = item / call->batch * call->block;
  const size_t row = (call->width + 2 * call->halo) * call->block;
  const size_t map = (call->height + 2 * call->halo) * row;
  float v[BLOCK] = {0}, *dx = call->dx + item * map;
  for (size_t c = 0; c < call->block && first + c < call->channels; c++)
    v[c] = call->factor * call->dy[image * call->channels + first + c];
  if (call->sets) memset(dx, 0, map * sizeof *dx);
  for (size_t y = 0; y < call->height; y++)
    call->variant->add_to_pixels(v, dx + (y + call->halo) * row + call->halo * call->block,
                                 call->width, call->block);
}

void lk_f32_spread_means(lk_pool *pool, size_t batch, size_t channels, size_t height, size_t width,
                         size_t block, size_t halo, float factor, const float *dy, float *dx,
                         bool sets) {
  spread_call call = {variant(), batch, channels, height, width, block, halo, factor, dy, dx, sets};
  lk_parallel_for(pool, lk_ceil_div(channels, block) * batch, spread_task, &call);
}
