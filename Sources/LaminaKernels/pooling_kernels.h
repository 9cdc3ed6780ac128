#include "pooling.h"
#include "vector_math.h"

/// Columns of the buffer between the vertical and the horizontal pass.
enum { LK_NAME(columns) = 1024 };

LK_INLINE vf load_lanes(const float *p, int lanes) {
  return lanes == LK_LANES ? vf_load(p) : vf_load_first(p, lanes);
}
LK_INLINE void store_lanes(float *p, vf v, int lanes) {
  if (lanes == LK_LANES)
    vf_store(p, v);
  else
    vf_store_first(p, v, lanes);
}

/// 2·LK_LANES neighbouring floats.
typedef struct vf_pair {
  vf low, high;
} vf_pair;

#if LK_LANES == 16
#define LK_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define LK_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LK_ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define LK_ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LK_LANES == 8
#define LK_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define LK_ODD 1, 3, 5, 7, 9, 11, 13, 15
#define LK_ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define LK_ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LK_EVEN 0, 2, 4, 6
#define LK_ODD 1, 3, 5, 7
#define LK_ZIP_LOW 0, 4, 1, 5
#define LK_ZIP_HIGH 2, 6, 3, 7
#endif

LK_INLINE vf vf_even(vf_pair v) { return __builtin_shufflevector(v.low, v.high, LK_EVEN); }
LK_INLINE vf vf_odd(vf_pair v) { return __builtin_shufflevector(v.low, v.high, LK_ODD); }
LK_INLINE vf_pair vf_zip(vf even, vf odd) {
  return (vf_pair){__builtin_shufflevector(even, odd, LK_ZIP_LOW),
                   __builtin_shufflevector(even, odd, LK_ZIP_HIGH)};
}

/// The first 2·`lanes` floats from p on, 0 in the others; touches nothing else.
LK_INLINE vf_pair vf_load_pair(const float *p, int lanes) {
  if (lanes == LK_LANES) return (vf_pair){vf_load(p), vf_load(p + LK_LANES)};
  const int low = lanes * 2 < LK_LANES ? lanes * 2 : LK_LANES;
  return (vf_pair){vf_load_first(p, low), vf_load_first(p + LK_LANES, lanes * 2 - low)};
}
/// Stores the first 2·`lanes` floats; touches nothing else.
LK_INLINE void vf_store_pair(float *p, vf_pair v, int lanes) {
  if (lanes == LK_LANES) {
    vf_store(p, v.low);
    vf_store(p + LK_LANES, v.high);
    return;
  }
  const int low = lanes * 2 < LK_LANES ? lanes * 2 : LK_LANES;
  vf_store_first(p, v.low, low);
  vf_store_first(p + LK_LANES, v.high, lanes * 2 - low);
}

LK_INLINE vf pool_identity(lk_pooling op) {
  return vf_set(op == LK_POOL_MAX ? -__builtin_inff() : op == LK_POOL_MIN ? __builtin_inff() : 0);
}
LK_INLINE vf pool_map(lk_pooling op, vf v, float p) {
  if (op != LK_POOL_LP) return v;
  return p == 1 ? vf_abs(v) : p == 2 ? v * v : vf_exp(vf_log(vf_abs(v)) * p);
}
LK_INLINE vf pool_combine(lk_pooling op, vf sum, vf v) {
  return op == LK_POOL_MAX ? vf_maximum(sum, v) : op == LK_POOL_MIN ? vf_minimum(sum, v) : sum + v;
}
LK_INLINE vf pool_finish(lk_pooling op, vf sum, vf divisor, float p) {
  if (op == LK_POOL_AVERAGE) return sum / vf_max(divisor, vf_set(1));
  if (op == LK_POOL_LP) return p == 1 ? sum : p == 2 ? vf_sqrt(sum) : vf_exp(vf_log(sum) * (1 / p));
  return sum;
}

/// Combines the taps of depth and height into `n` columns; loads whole vectors only where `n`
/// allows.
LK_INLINE void pool_vertical(lk_pooling op, float p, const float *x, size_t depth_taps,
                             size_t depth_step, size_t height_taps, size_t height_step,
                             float *column, size_t n) {
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int rest = n - i < LK_LANES ? (int)(n - i) : LK_LANES;
    vf sum = pool_identity(op);
    for (size_t d = 0; d < depth_taps; d++) {
      const float *row = x + d * depth_step + i;
      for (size_t h = 0; h < height_taps; h++, row += height_step)
        sum = pool_combine(
            op, sum, pool_map(op, rest == LK_LANES ? vf_load(row) : vf_load_first(row, rest), p));
    }
    if (rest == LK_LANES)
      vf_store(column + i, sum);
    else
      vf_store_first(column + i, sum, rest);
  }
}

LK_INLINE vf pool_horizontal(lk_pooling op, const lk_window_axis *w, const float *column) {
  vf sum = pool_identity(op);
  for (size_t t = 0; t < w->kernel; t++) {
    const float *tap = column + t * w->dilation;
    vf v;
    if (w->stride == 1) {
      v = vf_load(tap);
    } else if (w->stride == 2) {
      v = vf_even(vf_load_pair(tap, LK_LANES));
    } else {
      for (int lane = 0; lane < LK_LANES; lane++) v[lane] = tap[(size_t)lane * w->stride];
    }
    sum = pool_combine(op, sum, v);
  }
  return sum;
}

/// A window wider than the column buffer, one output at a time.
LK_INLINE float pool_wide(lk_pooling op, float p, const lk_window_axis *w, size_t output,
                          const float *x, size_t depth_taps, size_t depth_step, size_t height_taps,
                          size_t height_step) {
  const lk_taps taps = lk_taps_inside(w, output);
  vf sum = pool_identity(op);
  for (size_t d = 0; d < depth_taps; d++)
    for (size_t h = 0; h < height_taps; h++)
      for (size_t t = taps.first; t < taps.end; t++) {
        const size_t column = output * w->stride + t * w->dilation - w->before;
        const float v = x[d * depth_step + h * height_step + column];
        sum = pool_combine(op, sum, pool_map(op, vf_set(v), p));
      }
  return sum[0];
}

LK_INLINE void pool_row(lk_pooling op, const lk_window_axis *w, const float *width_divisors,
                        float divisor, float p, const float *x, size_t depth_taps,
                        size_t depth_step, size_t height_taps, size_t height_step, float *y) {
  const size_t reach = (w->kernel - 1) * w->dilation + 1;
  const size_t lanes_reach = (LK_LANES - 1) * w->stride + reach;
  const bool narrow = lanes_reach <= LK_NAME(columns) && w->stride <= LK_NAME(columns);
  size_t block = narrow ? (LK_NAME(columns) - lanes_reach) / w->stride + 1 : LK_LANES;
  block = block / LK_LANES * LK_LANES;
  if (block == 0) block = LK_LANES;
  float column[LK_NAME(columns) + 2 * LK_LANES];
  for (size_t first = 0; first < w->output; first += block) {
    const size_t n = w->output - first < block ? w->output - first : block;
    if (narrow) {
      const size_t start = first * w->stride, end = (first + n - 1) * w->stride + reach;
      const size_t limit = w->before + w->input;
      const size_t from = start > w->before ? start : w->before < end ? w->before : end;
      const size_t to = end < limit ? end : limit > from ? limit : from;
      const float identity = pool_identity(op)[0];
      for (size_t i = start; i < from; i++) column[i - start] = identity;
      if (to > from)
        pool_vertical(op, p, x + (from - w->before), depth_taps, depth_step, height_taps,
                      height_step, column + (from - start), to - from);
      for (size_t i = to; i < end; i++) column[i - start] = identity;
    }
    for (size_t i = 0; i < n; i += LK_LANES) {
      const int lanes = n - i < LK_LANES ? (int)(n - i) : LK_LANES;
      vf sum = vf_set(0);
      if (narrow) {
        sum = pool_horizontal(op, w, column + i * w->stride);
      } else {
        for (int lane = 0; lane < lanes; lane++)
          sum[lane] = pool_wide(op, p, w, first + i + (size_t)lane, x, depth_taps, depth_step,
                                height_taps, height_step);
      }
      const vf divisors = op == LK_POOL_AVERAGE
                              ? vf_load_first(width_divisors + first + i, lanes) * divisor
                              : vf_set(1);
      vf_store_first(y + first + i, pool_finish(op, sum, divisors, p), lanes);
    }
  }
}

static void LK_NAME(row)(lk_pooling op, const lk_window_axis *w, const float *width_divisors,
                         float divisor, float p, const float *x, size_t depth_taps,
                         size_t depth_step, size_t height_taps, size_t height_step, float *y) {
  switch (op) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    pool_row(name, w, width_divisors, divisor, p, x, depth_taps, depth_step, height_taps,          \
             height_step, y);                                                                      \
    break;
    LK_CASE(LK_POOL_MAX) LK_CASE(LK_POOL_MIN) LK_CASE(LK_POOL_AVERAGE) LK_CASE(LK_POOL_LP)
#undef LK_CASE
  }
}

// ------------------------------------------------------------------------------------------------
// Windows of 2×2 with stride 2 that lie in the plane

/// A run of `lanes` neighbouring windows from `first` on, of which `done` were in an earlier run.
typedef struct square_run {
  size_t first;
  int lanes, done;
} square_run;

/// What whole vectors leave of a row of n windows. Parts of narrow vectors are slow to load: there
/// the run overlaps the one before it.
LK_INLINE square_run square_rest(size_t n) {
  const int rest = (int)(n % LK_LANES);
  if (LK_LANES < 16 && rest > 0 && n > LK_LANES)
    return (square_run){n - LK_LANES, LK_LANES, LK_LANES - rest};
  return (square_run){n - (size_t)rest, rest, 0};
}

LK_INLINE void pool_square(lk_pooling op, const float *x, size_t width, float *y, square_run run) {
  x += 2 * run.first;
  const vf_pair above = vf_load_pair(x, run.lanes), below = vf_load_pair(x + width, run.lanes);
  const vf_pair column = {pool_combine(op, above.low, below.low),
                          pool_combine(op, above.high, below.high)};
  const vf even = vf_even(column), odd = vf_odd(column);
  // 0 is added because no average is −0.
  store_lanes(y + run.first,
              op == LK_POOL_AVERAGE ? (even + 0 + odd) * 0.25f : pool_combine(op, even, odd),
              run.lanes);
}

LK_INLINE void pool_squares(lk_pooling op, const float *x, size_t width, float *y, size_t n,
                            size_t rows) {
  const square_run rest = square_rest(n);
  for (size_t row = 0; row < rows; row++, x += 2 * width, y += n) {
    for (size_t o = 0; o + LK_LANES <= n; o += LK_LANES)
      pool_square(op, x, width, y, (square_run){o, LK_LANES, 0});
    if (rest.lanes > 0) pool_square(op, x, width, y, rest);
  }
}

static void LK_NAME(squares)(lk_pooling op, const float *x, size_t width, float *y, size_t n,
                             size_t rows) {
  if (op == LK_POOL_MAX)
    pool_squares(LK_POOL_MAX, x, width, y, n, rows);
  else
    pool_squares(LK_POOL_AVERAGE, x, width, y, n, rows);
}

/// What the taps of the lanes that are open get of g; the lanes that `v` ends are open no longer.
LK_INLINE vf square_share(vf v, vf best, vf g, vi *open) {
  const vi hit = ((v == best) | (v != v)) & *open;
  *open &= ~hit;
  return vf_select(hit, g, vf_set(0));
}

LK_INLINE void square_put(float *dx, vf even, vf odd, square_run run, bool sets) {
  vf_pair v = vf_zip(even, odd);
  if (!sets) {
    const vf_pair old = vf_load_pair(dx, run.lanes);
    v = (vf_pair){old.low + v.low, old.high + v.high};
    if (run.done > 0) {
      vi lane;
      for (int i = 0; i < LK_LANES; i++) lane[i] = i;
      v.low = vf_select(lane < 2 * run.done, old.low, v.low);
      v.high = vf_select(lane + LK_LANES < 2 * run.done, old.high, v.high);
    }
  }
  vf_store_pair(dx, v, run.lanes);
}

LK_INLINE void pool_square_gradient(lk_pooling op, const float *x, const float *y, const float *dy,
                                    float *dx, bool sets, size_t width, square_run run) {
  vf g = load_lanes(dy + run.first, run.lanes);
  if (op == LK_POOL_AVERAGE) g *= 0.25f;
  if (sets) g += 0; // as if added to 0
  dx += 2 * run.first;
  if (op == LK_POOL_AVERAGE) {
    square_put(dx, g, g, run, sets);
    square_put(dx + width, g, g, run, sets);
    return;
  }
  x += 2 * run.first;
  const vf_pair above = vf_load_pair(x, run.lanes), below = vf_load_pair(x + width, run.lanes);
  const vf best = load_lanes(y + run.first, run.lanes);
  vi open = ~(vi){0};
  const vf first = square_share(vf_even(above), best, g, &open);
  const vf second = square_share(vf_odd(above), best, g, &open);
  const vf third = square_share(vf_even(below), best, g, &open);
  const vf fourth = square_share(vf_odd(below), best, g, &open);
  square_put(dx, first, second, run, sets);
  square_put(dx + width, third, fourth, run, sets);
}

LK_INLINE void pool_squares_gradient(lk_pooling op, const float *x, const float *y, const float *dy,
                                     float *dx, bool sets, size_t width, size_t n, size_t rows) {
  const square_run rest = square_rest(n);
  for (size_t row = 0; row < rows; row++, x += 2 * width, dx += 2 * width, y += n, dy += n) {
    for (size_t o = 0; o + LK_LANES <= n; o += LK_LANES)
      pool_square_gradient(op, x, y, dy, dx, sets, width, (square_run){o, LK_LANES, 0});
    if (rest.lanes > 0) pool_square_gradient(op, x, y, dy, dx, sets, width, rest);
    if (sets)
      for (size_t i = 2 * n; i < width; i++) dx[i] = dx[i + width] = 0;
  }
}

static void LK_NAME(squares_gradient)(lk_pooling op, const float *x, const float *y,
                                      const float *dy, float *dx, bool sets, size_t width, size_t n,
                                      size_t rows) {
#define LK_GRADIENT(op, sets) pool_squares_gradient(op, x, y, dy, dx, sets, width, n, rows)
  if (op == LK_POOL_MAX && sets)
    LK_GRADIENT(LK_POOL_MAX, true);
  else if (op == LK_POOL_MAX)
    LK_GRADIENT(LK_POOL_MAX, false);
  else if (sets)
    LK_GRADIENT(LK_POOL_AVERAGE, true);
  else
    LK_GRADIENT(LK_POOL_AVERAGE, false);
#undef LK_GRADIENT
}

// ------------------------------------------------------------------------------------------------
// Blocks of channels

/// The taps first ..< end of `pixels` neighbouring windows, `pixel_step` floats apart; lanes beyond
/// `lanes` are left alone.
LK_INLINE void pool_taps(lk_pooling op, const float *x, size_t height_taps, size_t height_step,
                         size_t width_taps, size_t width_step, size_t pixels, size_t pixel_step,
                         float scale, float *y, size_t y_step, int lanes) {
  vf sum[4];
  LK_UNROLL for (size_t p = 0; p < pixels; p++) sum[p] = pool_identity(op);
  for (size_t h = 0; h < height_taps; h++)
    for (size_t t = 0; t < width_taps; t++) {
      const float *tap = x + h * height_step + t * width_step;
      LK_UNROLL for (size_t p = 0; p < pixels; p++) {
        const float *from = tap + p * pixel_step;
        sum[p] = pool_combine(op, sum[p],
                              lanes == LK_LANES ? vf_load(from) : vf_load_first(from, lanes));
      }
    }
  LK_UNROLL for (size_t p = 0; p < pixels; p++) {
    const vf result = op == LK_POOL_AVERAGE ? sum[p] * scale : sum[p];
    if (lanes == LK_LANES)
      vf_store(y + p * y_step, result);
    else
      vf_store_first(y + p * y_step, result, lanes);
  }
}

/// Pixels in a row that one call works out: their columns stay in registers.
enum { LK_NAME(run) = 4 };

/// Neighbouring windows of whole vectors, with all taps of the width: each column is combined once.
LK_INLINE void pool_run(lk_pooling op, const float *x, size_t height_taps, size_t height_step,
                        size_t kernel, size_t stride, float scale, float *y) {
  enum { RUN = LK_NAME(run), MOST = (RUN - 1) * 2 + 3 };
  const size_t columns = (RUN - 1) * stride + kernel;
  vf column[MOST];
  LK_UNROLL for (size_t i = 0; i < columns; i++) column[i] = vf_load(x + i * LK_LANES);
  for (size_t h = 1; h < height_taps; h++) {
    const float *row = x + h * height_step;
    LK_UNROLL for (size_t i = 0; i < columns; i++) column[i] =
        pool_combine(op, column[i], vf_load(row + i * LK_LANES));
  }
  LK_UNROLL for (size_t p = 0; p < RUN; p++) {
    vf sum = column[p * stride];
    LK_UNROLL for (size_t t = 1; t < kernel; t++) sum =
        pool_combine(op, sum, column[p * stride + t]);
    vf_store(y + p * LK_LANES, op == LK_POOL_AVERAGE ? sum * scale : sum);
  }
}

LK_INLINE void pool_runs(lk_pooling op, const float *x, size_t height_taps, size_t height_step,
                         size_t kernel, size_t stride, float scale, float *y, size_t count) {
  for (size_t o = 0; o < count; o += LK_NAME(run)) {
    // The last run may overlap the one before it.
    const size_t first = o + LK_NAME(run) <= count ? o : count - LK_NAME(run);
    pool_run(op, x + first * stride * LK_LANES, height_taps, height_step, kernel, stride, scale,
             y + first * LK_LANES);
  }
}

/// Windows with all taps of the width.
LK_INLINE void pool_interior(lk_pooling op, const lk_window_axis *w, const float *x,
                             size_t height_taps, size_t height_step, float scale, size_t channels,
                             float *y, size_t count) {
  if (channels == LK_LANES && count >= LK_NAME(run) && height_taps > 0 && w->dilation == 1 &&
      (w->kernel == 2 || w->kernel == 3) && w->stride <= 2) {
#define LK_RUNS(kernel, stride)                                                                    \
  pool_runs(op, x, height_taps, height_step, kernel, stride, scale, y, count)
    if (w->kernel == 2 && w->stride == 1)
      LK_RUNS(2, 1);
    else if (w->kernel == 2)
      LK_RUNS(2, 2);
    else if (w->stride == 1)
      LK_RUNS(3, 1);
    else
      LK_RUNS(3, 2);
#undef LK_RUNS
    return;
  }
  const size_t step = w->stride * channels, tap_step = w->dilation * channels;
  for (size_t c = 0; c < channels; c += LK_LANES) {
    const int lanes = channels - c < LK_LANES ? (int)(channels - c) : LK_LANES;
    size_t o = 0;
    if (lanes == LK_LANES)
      for (; o + 4 <= count; o += 4)
        pool_taps(op, x + o * step + c, height_taps, height_step, w->kernel, tap_step, 4, step,
                  scale, y + o * channels + c, channels, LK_LANES);
    for (; o < count; o++)
      pool_taps(op, x + o * step + c, height_taps, height_step, w->kernel, tap_step, 1, step, scale,
                y + o * channels + c, channels, lanes);
  }
}

LK_INLINE void pool_blocked_row(lk_pooling op, const lk_window_axis *w, const float *width_divisors,
                                float divisor, const float *x, size_t height_taps,
                                size_t height_step, size_t channels, float *y) {
  const size_t reach = (w->kernel - 1) * w->dilation + 1, limit = w->before + w->input;
  const size_t whole = limit < reach ? 0 : (limit - reach) / w->stride + 1;
  const size_t end = whole < w->output ? whole : w->output;
  const size_t first = (w->before + w->stride - 1) / w->stride;
  for (size_t o = 0; o < w->output; o++) {
    const float scale =
        op == LK_POOL_AVERAGE ? 1 / vf_max(vf_set(divisor * width_divisors[o]), vf_set(1))[0] : 1;
    if (o == first && first < end) {
      pool_interior(op, w, x + (o * w->stride - w->before) * channels, height_taps, height_step,
                    scale, channels, y + o * channels, end - first);
      o = end - 1;
      continue;
    }
    const lk_taps taps = lk_taps_inside(w, o);
    const float *start = x + (o * w->stride + taps.first * w->dilation - w->before) * channels;
    for (size_t c = 0; c < channels; c += LK_LANES) {
      const int lanes = channels - c < LK_LANES ? (int)(channels - c) : LK_LANES;
      pool_taps(op, start + c, height_taps, height_step, taps.end - taps.first,
                w->dilation * channels, 1, 0, scale, y + o * channels + c, channels, lanes);
    }
  }
}

static void LK_NAME(blocked_row)(lk_pooling op, const lk_window_axis *w,
                                 const float *width_divisors, float divisor, const float *x,
                                 size_t height_taps, size_t height_step, size_t channels,
                                 float *y) {
  if (op == LK_POOL_MAX)
    pool_blocked_row(LK_POOL_MAX, w, width_divisors, divisor, x, height_taps, height_step, channels,
                     y);
  else
    pool_blocked_row(LK_POOL_AVERAGE, w, width_divisors, divisor, x, height_taps, height_step,
                     channels, y);
}

// ------------------------------------------------------------------------------------------------
// Gradients of blocks of channels

LK_INLINE void add_lanes(float *p, vf v, int lanes) {
  if (lanes == LK_LANES)
    vf_store(p, vf_load(p) + v);
  else
    vf_store_first(p, vf_load_first(p, lanes) + v, lanes);
}

LK_INLINE void pool_blocked_gradient_row(lk_pooling op, const lk_window_axis *w,
                                         const float *width_divisors, float divisor, const float *x,
                                         const float *y, const float *dy, float *dx,
                                         size_t height_taps, size_t height_step, size_t channels) {
  const size_t reach = (w->kernel - 1) * w->dilation + 1, limit = w->before + w->input;
  for (size_t o = 0; o < w->output; o++) {
    const size_t start = o * w->stride;
    const bool whole = start >= w->before && start + reach <= limit;
    const lk_taps taps = whole ? (lk_taps){0, w->kernel} : lk_taps_inside(w, o);
    const size_t first = (start + taps.first * w->dilation - w->before) * channels;
    const float scale =
        op == LK_POOL_AVERAGE ? 1 / vf_max(vf_set(divisor * width_divisors[o]), vf_set(1))[0] : 1;
    for (size_t c = 0; c < channels; c += LK_LANES) {
      const int lanes = channels - c < LK_LANES ? (int)(channels - c) : LK_LANES;
      const size_t at = o * channels + c;
      const vf g = load_lanes(dy + at, lanes) * scale;
      const vf best = op == LK_POOL_MAX ? load_lanes(y + at, lanes) : g;
      vi open = ~(vi){0};
      for (size_t h = 0; h < height_taps; h++)
        for (size_t t = 0; t < taps.end - taps.first; t++) {
          const size_t tap = first + h * height_step + t * w->dilation * channels + c;
          if (op == LK_POOL_MAX) {
            const vf v = load_lanes(x + tap, lanes);
            const vi hit = ((v == best) | (v != v)) & open;
            open &= ~hit;
            add_lanes(dx + tap, vf_select(hit, g, vf_set(0)), lanes);
          } else {
            add_lanes(dx + tap, g, lanes);
          }
        }
    }
  }
}

static void LK_NAME(blocked_gradient_row)(lk_pooling op, const lk_window_axis *w,
                                          const float *width_divisors, float divisor,
                                          const float *x, const float *y, const float *dy,
                                          float *dx, size_t height_taps, size_t height_step,
                                          size_t channels) {
  if (op == LK_POOL_MAX)
    pool_blocked_gradient_row(LK_POOL_MAX, w, width_divisors, divisor, x, y, dy, dx, height_taps,
                              height_step, channels);
  else
    pool_blocked_gradient_row(LK_POOL_AVERAGE, w, width_divisors, divisor, x, y, dy, dx,
                              height_taps, height_step, channels);
}

static void LK_NAME(add_to_pixels)(const float *v, float *dx, size_t n, size_t channels) {
  for (size_t c = 0; c < channels; c += LK_LANES) {
    const int lanes = channels - c < LK_LANES ? (int)(channels - c) : LK_LANES;
    const vf number = load_lanes(v + c, lanes);
    for (size_t p = 0; p < n; p++) add_lanes(dx + p * channels + c, number, lanes);
  }
}

const lk_pooling_variant LK_NAME(lk_pooling) = {
    .row = LK_NAME(row),
    .squares = LK_NAME(squares),
    .squares_gradient = LK_NAME(squares_gradient),
    .blocked_row = LK_NAME(blocked_row),
    .blocked_gradient_row = LK_NAME(blocked_gradient_row),
    .add_to_pixels = LK_NAME(add_to_pixels),
};
