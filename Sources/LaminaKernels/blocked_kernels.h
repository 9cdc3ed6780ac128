#include "blocked.h"
#include "winograd_points.h"

#if defined(LK_TARGET_AVX512)
#define PIXELS 14
#elif defined(LK_TARGET_NEON)
#define PIXELS 12
#else
#define PIXELS 6
#endif
#define STRIDED_PIXELS 4

#define EACH_SUM                                                                                   \
  LK_UNROLL for (size_t v = 0; v < vectors; v++) LK_UNROLL for (size_t p = 0; p < pixels; p++)

LK_INLINE void activate_sums(vf sum[2][LK_MAX_TILE_PIXELS], size_t vectors, size_t pixels,
                             lk_activation activation) {
  if (activation.kind == LK_ACTIVATION_CLAMP) {
    const vf low = vf_set(activation.low), high = vf_set(activation.high);
    EACH_SUM sum[v][p] = vf_min(vf_max(sum[v][p], low), high);
  } else if (activation.kind == LK_ACTIVATION_LEAKY) {
    const vf slope = vf_set(activation.slope);
    EACH_SUM sum[v][p] = vf_select(sum[v][p] < vf_set(0), sum[v][p] * slope, sum[v][p]);
  }
}

LK_INLINE void finish_tile(const lk_pixel_tile *tile, vf sum[2][LK_MAX_TILE_PIXELS], size_t vectors,
                           size_t pixels) {
  if (tile->residual)
    EACH_SUM sum[v][p] += vf_load(tile->residual + v * tile->residual_block + p * LK_LANES);
  activate_sums(sum, vectors, pixels, tile->activation);
  EACH_SUM vf_store(tile->output + v * tile->output_block + p * LK_LANES, sum[v][p]);
}

LK_INLINE void start_tile(const lk_pixel_tile *tile, vf sum[2][LK_MAX_TILE_PIXELS], size_t vectors,
                          size_t pixels) {
  LK_UNROLL for (size_t v = 0; v < vectors; v++) {
    const vf bias = tile->bias ? vf_load(tile->bias + v * LK_LANES) : vf_set(0);
    LK_UNROLL for (size_t p = 0; p < pixels; p++) sum[v][p] = bias;
  }
}

LK_INLINE void tile_step(vf sum[2][LK_MAX_TILE_PIXELS], const float *x, const float *weights,
                         size_t vectors, size_t pixels, size_t stride) {
  vf weight[2];
  LK_UNROLL for (size_t v = 0; v < vectors; v++) weight[v] = vf_load(weights + v * LK_LANES);
  LK_UNROLL for (size_t p = 0; p < pixels; p++) {
    const vf value = vf_set(x[p * stride]);
    LK_UNROLL for (size_t v = 0; v < vectors; v++) sum[v][p] = vf_fma(weight[v], value, sum[v][p]);
  }
}

LK_INLINE void blocked_tile(const lk_pixel_tile *tile, size_t vectors, size_t pixels,
                            size_t stride) {
  vf sum[2][LK_MAX_TILE_PIXELS];
  start_tile(tile, sum, vectors, pixels);
  if (tile->residual)
    EACH_SUM __builtin_prefetch(tile->residual + v * tile->residual_block + p * LK_LANES);
  const float *weights = tile->weights, *block = tile->input;
  for (size_t b = 0; b < tile->blocks; b++, block += tile->block_stride) {
    const size_t channels = b + 1 < tile->blocks ? LK_LANES : tile->last_channels;
    if (tile->input_ahead)
      LK_UNROLL for (size_t p = 0; p < pixels; p++)
          __builtin_prefetch(block + tile->input_ahead + p * stride);
    for (size_t tap = 0; tap < tile->tap_count; tap++) {
      const float *x = block + tile->taps[tap];
      for (size_t c = 0; c < channels; c += LK_STEP_CHANNELS, x += LK_STEP_CHANNELS)
        LK_UNROLL for (size_t i = 0; i < LK_STEP_CHANNELS; i++, weights += vectors * LK_LANES) {
          LK_UNROLL for (size_t v = 0; v < vectors; v++)
              __builtin_prefetch(weights + tile->ahead + v * LK_LANES, 0, 2);
          tile_step(sum, x + i, weights, vectors, pixels, stride);
        }
    }
  }
  finish_tile(tile, sum, vectors, pixels);
}

LK_INLINE void plain_tile(const lk_pixel_tile *tile, size_t vectors, size_t pixels, size_t stride) {
  vf sum[2][LK_MAX_TILE_PIXELS];
  start_tile(tile, sum, vectors, pixels);
  const float *weights = tile->weights;
  for (size_t tap = 0; tap < tile->tap_count; tap++, weights += vectors * LK_LANES)
    tile_step(sum, tile->input + tile->taps[tap], weights, vectors, pixels, stride);
  finish_tile(tile, sum, vectors, pixels);
}

#define TILE(v, p)                                                                                 \
  static void tile1_##v##x##p(const lk_pixel_tile *t) { blocked_tile(t, v, p, LK_LANES); }         \
  static void tile2_##v##x##p(const lk_pixel_tile *t) { blocked_tile(t, v, p, 2 * LK_LANES); }     \
  static void plain1_##v##x##p(const lk_pixel_tile *t) { plain_tile(t, v, p, 1); }                 \
  static void plain2_##v##x##p(const lk_pixel_tile *t) { plain_tile(t, v, p, 2); }                 \
  static void plain4_##v##x##p(const lk_pixel_tile *t) { plain_tile(t, v, p, 4); }
#define STRIDED_TILE(v, p)                                                                         \
  static void tile0_##v##x##p(const lk_pixel_tile *t) { blocked_tile(t, v, p, t->pixel_stride); }
#define TILES(p) TILE(1, p) TILE(2, p)
#if PIXELS == 14
#define LIST(f, v)                                                                                 \
  {                                                                                                \
    f##v##x1, f##v##x2, f##v##x3, f##v##x4, f##v##x5, f##v##x6, f##v##x7, f##v##x8, f##v##x9,      \
        f##v##x10, f##v##x11, f##v##x12, f##v##x13, f##v##x14                                      \
  }
#elif PIXELS == 12
#define LIST(f, v)                                                                                 \
  {                                                                                                \
    f##v##x1, f##v##x2, f##v##x3, f##v##x4, f##v##x5, f##v##x6, f##v##x7, f##v##x8, f##v##x9,      \
        f##v##x10, f##v##x11, f##v##x12                                                            \
  }
#else
#define LIST(f, v)                                                                                 \
  { f##v##x1, f##v##x2, f##v##x3, f##v##x4, f##v##x5, f##v##x6 }
#endif
#define LISTS(f)                                                                                   \
  { LIST(f, 1), LIST(f, 2) }

TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
#if PIXELS > 6
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
#endif
#if PIXELS > 12
TILES(13)
TILES(14)
#endif
STRIDED_TILE(1, 1)
STRIDED_TILE(1, 2)
STRIDED_TILE(1, 3)
STRIDED_TILE(1, 4)
STRIDED_TILE(2, 1)
STRIDED_TILE(2, 2)
STRIDED_TILE(2, 3)
STRIDED_TILE(2, 4)

// ------------------------------------------------------------------------------------------------
// Winograd's transforms; one of n = 1 leaves its axis as it is

/// c₀·x₀ + c₁·x₁ + … over every second of x, `count` of them.
LK_INLINE vf combine(const double *c, const vf *x, size_t count) {
  vf sum = vf_set((float)c[0]) * x[0];
  LK_UNROLL for (size_t i = 1; i < count; i++) sum = vf_fma(vf_set((float)c[i]), x[2 * i], sum);
  return sum;
}

/// Bᵀ d along one axis.
LK_INLINE void transform_in(size_t n, const vf *d, vf *t) {
  if (n == 1) {
    t[0] = d[0];
    return;
  }
  const lk_points *points = lk_points_for(n);
  const size_t pairs = n / 2 - 1;
  t[0] = combine(points->ends, d, pairs + 1);
  t[n - 1] = combine(points->ends, d + 1, pairs + 1);
  LK_UNROLL for (size_t j = 0; j < pairs; j++) {
    const vf even = combine(points->even[j], d + 2, pairs);
    const vf odd = combine(points->odd[j], d + 1, pairs);
    t[2 * j + 1] = even + odd;
    t[2 * j + 2] = even - odd;
  }
}

/// Aᵀ m along one axis, to `count` outputs.
LK_INLINE void transform_out(size_t n, size_t count, const vf *m, vf *y) {
  y[0] = m[0];
  if (n == 1) return;
  const lk_points *points = lk_points_for(n);
  const size_t pairs = n / 2 - 1;
  vf sum[4], difference[4];
  LK_UNROLL for (size_t j = 0; j < pairs; j++) {
    sum[j] = m[2 * j + 1] + m[2 * j + 2];
    difference[j] = m[2 * j + 1] - m[2 * j + 2];
    y[0] += sum[j];
  }
  LK_UNROLL for (size_t i = 1; i < count; i++) {
    const vf *part = i % 2 == 0 ? sum : difference;
    y[i] = vf_set((float)points->powers[0][i]) * part[0];
    LK_UNROLL for (size_t j = 1; j < pairs; j++) y[i] =
        vf_fma(vf_set((float)points->powers[j][i]), part[j], y[i]);
  }
  y[count - 1] += m[n - 1];
}

/// G g along one axis.
LK_INLINE void transform_weight(size_t n, size_t taps, const vf *g, vf *u) {
  u[0] = g[0];
  if (n == 1) return;
  const lk_points *points = lk_points_for(n);
  u[0] *= (float)points->first;
  u[n - 1] = g[taps - 1];
  LK_UNROLL for (size_t j = 0; j < n / 2 - 1; j++) {
    vf part[2];
    LK_UNROLL for (size_t i = 0; i < taps; i++) {
      const vf product = vf_set((float)points->weights[j][i]) * g[i];
      part[i % 2] = i < 2 ? product : part[i % 2] + product;
    }
    u[2 * j + 1] = part[0] + part[1];
    u[2 * j + 2] = part[0] - part[1];
  }
}

/// A y along one axis, from `count` outputs.
LK_INLINE void transform_gradient(size_t n, size_t count, const vf *y, vf *m) {
  m[0] = y[0];
  if (n == 1) return;
  const lk_points *points = lk_points_for(n);
  m[n - 1] = y[count - 1];
  LK_UNROLL for (size_t j = 0; j < n / 2 - 1; j++) {
    vf part[2] = {y[0], vf_set((float)points->powers[j][1]) * y[1]};
    LK_UNROLL for (size_t i = 2; i < count; i++) part[i % 2] =
        vf_fma(vf_set((float)points->powers[j][i]), y[i], part[i % 2]);
    m[2 * j + 1] = part[0] + part[1];
    m[2 * j + 2] = part[0] - part[1];
  }
}

/// Gᵀ u along one axis, to `taps` taps.
LK_INLINE void transform_sums(size_t n, size_t taps, const vf *u, vf *g) {
  g[0] = u[0];
  if (n == 1) return;
  const lk_points *points = lk_points_for(n);
  const size_t pairs = n / 2 - 1;
  vf sum[4], difference[4];
  LK_UNROLL for (size_t j = 0; j < pairs; j++) {
    sum[j] = u[2 * j + 1] + u[2 * j + 2];
    difference[j] = u[2 * j + 1] - u[2 * j + 2];
  }
  g[0] *= (float)points->first;
  LK_UNROLL for (size_t i = 0; i < taps; i++) {
    const vf *part = i % 2 == 0 ? sum : difference;
    const vf first = vf_set((float)points->weights[0][i]) * part[0];
    g[i] = i == 0 ? g[0] + first : first;
    LK_UNROLL for (size_t j = 1; j < pairs; j++) g[i] =
        vf_fma(vf_set((float)points->weights[j][i]), part[j], g[i]);
  }
  g[taps - 1] += u[n - 1];
}

#define N LK_MAX_TILE_INPUTS
#define M LK_MAX_TILE_OUTPUTS
#define TAPS LK_MAX_TILE_TAPS

LK_INLINE void winograd_input(size_t rows, size_t columns, const float *from, size_t row, float *to,
                              size_t position_stride) {
  vf half[N][N];
  LK_UNROLL for (size_t j = 0; j < columns; j++) {
    vf d[N], t[N];
    LK_UNROLL for (size_t i = 0; i < rows; i++) d[i] = vf_load(from + i * row + j * LK_LANES);
    transform_in(rows, d, t);
    LK_UNROLL for (size_t i = 0; i < rows; i++) half[i][j] = t[i];
  }
  LK_UNROLL for (size_t i = 0; i < rows; i++) {
    vf t[N];
    transform_in(columns, half[i], t);
    LK_UNROLL for (size_t j = 0; j < columns; j++)
        vf_store(to + (i * columns + j) * position_stride, t[j]);
  }
}

LK_INLINE void winograd_output(size_t rows, size_t tile_rows, size_t columns, size_t tile_columns,
                               const float *products, size_t position_stride,
                               const lk_winograd_target *target) {
  vf half[M][N], y[M][LK_MAX_TILE_PIXELS];
  LK_UNROLL for (size_t j = 0; j < columns; j++) {
    vf d[N], t[M];
    LK_UNROLL for (size_t i = 0; i < rows; i++) d[i] =
        vf_load(products + (i * columns + j) * position_stride);
    transform_out(rows, tile_rows, d, t);
    LK_UNROLL for (size_t i = 0; i < tile_rows; i++) half[i][j] = t[i];
  }
  const vf bias = target->bias ? vf_load(target->bias) : vf_set(0);
  LK_UNROLL for (size_t i = 0; i < tile_rows; i++) {
    transform_out(columns, tile_columns, half[i], y[i]);
    LK_UNROLL for (size_t j = 0; j < tile_columns; j++) y[i][j] += bias;
  }
  if (target->height == tile_rows && target->width == tile_columns) {
    LK_UNROLL for (size_t i = 0; i < tile_rows; i++) {
      if (target->residual)
        LK_UNROLL for (size_t j = 0; j < tile_columns; j++) y[i][j] +=
            vf_load(target->residual + i * target->residual_row + j * LK_LANES);
      activate_sums(y + i, 1, tile_columns, target->activation);
      LK_UNROLL for (size_t j = 0; j < tile_columns; j++)
          vf_store(target->to + i * target->row + j * LK_LANES, y[i][j]);
    }
    return;
  }
  float lines[M * M * LK_LANES];
  LK_UNROLL for (size_t i = 0; i < tile_rows; i++)
      LK_UNROLL for (size_t j = 0; j < tile_columns; j++)
          vf_store(lines + (i * M + j) * LK_LANES, y[i][j]);
  for (size_t i = 0; i < target->height; i++)
    for (size_t j = 0; j < target->width; j++) {
      vf sum[2][LK_MAX_TILE_PIXELS];
      sum[0][0] = vf_load(lines + (i * M + j) * LK_LANES);
      if (target->residual)
        sum[0][0] += vf_load(target->residual + i * target->residual_row + j * LK_LANES);
      activate_sums(sum, 1, 1, target->activation);
      vf_store(target->to + i * target->row + j * LK_LANES, sum[0][0]);
    }
}

LK_INLINE void winograd_weight(size_t rows, size_t height, size_t columns, size_t width,
                               const float *windows, float *to, size_t position_stride) {
  vf half[N][TAPS];
  LK_UNROLL for (size_t j = 0; j < width; j++) {
    vf g[TAPS], t[N];
    LK_UNROLL for (size_t i = 0; i < height; i++) g[i] =
        vf_load(windows + (i * width + j) * LK_LANES);
    transform_weight(rows, height, g, t);
    LK_UNROLL for (size_t i = 0; i < rows; i++) half[i][j] = t[i];
  }
  LK_UNROLL for (size_t i = 0; i < rows; i++) {
    vf t[N];
    transform_weight(columns, width, half[i], t);
    LK_UNROLL for (size_t j = 0; j < columns; j++)
        vf_store(to + (i * columns + j) * position_stride, t[j]);
  }
}

LK_INLINE void winograd_output_gradient(size_t rows, size_t tile_rows, size_t columns,
                                        size_t tile_columns, const float *from, size_t row,
                                        float *to, size_t position_stride) {
  vf half[N][M];
  LK_UNROLL for (size_t j = 0; j < tile_columns; j++) {
    vf y[M], t[N];
    LK_UNROLL for (size_t i = 0; i < tile_rows; i++) y[i] = vf_load(from + i * row + j * LK_LANES);
    transform_gradient(rows, tile_rows, y, t);
    LK_UNROLL for (size_t i = 0; i < rows; i++) half[i][j] = t[i];
  }
  LK_UNROLL for (size_t i = 0; i < rows; i++) {
    vf t[N];
    transform_gradient(columns, tile_columns, half[i], t);
    LK_UNROLL for (size_t j = 0; j < columns; j++)
        vf_store(to + (i * columns + j) * position_stride, t[j]);
  }
}

LK_INLINE void winograd_weight_gradient(size_t rows, size_t height, size_t columns, size_t width,
                                        const float *sums, size_t position_stride, float *windows) {
  vf half[TAPS][N];
  LK_UNROLL for (size_t j = 0; j < columns; j++) {
    vf u[N], t[TAPS];
    LK_UNROLL for (size_t i = 0; i < rows; i++) u[i] =
        vf_load(sums + (i * columns + j) * position_stride);
    transform_sums(rows, height, u, t);
    LK_UNROLL for (size_t i = 0; i < height; i++) half[i][j] = t[i];
  }
  LK_UNROLL for (size_t i = 0; i < height; i++) {
    vf t[TAPS];
    transform_sums(columns, width, half[i], t);
    LK_UNROLL for (size_t j = 0; j < width; j++)
        vf_store(windows + (i * width + j) * LK_LANES, t[j]);
  }
}

#define WINOGRAD(name, rows, height, columns, width)                                               \
  static void name##_input(const float *from, size_t row, float *to, size_t position_stride) {     \
    winograd_input(rows, columns, from, row, to, position_stride);                                 \
  }                                                                                                \
  static void name##_output(const float *products, size_t position_stride,                         \
                            const lk_winograd_target *target) {                                    \
    winograd_output(rows, rows - height + 1, columns, columns - width + 1, products,               \
                    position_stride, target);                                                      \
  }                                                                                                \
  static void name##_weight(const float *windows, float *to, size_t position_stride) {             \
    winograd_weight(rows, height, columns, width, windows, to, position_stride);                   \
  }                                                                                                \
  static void name##_output_gradient(const float *from, size_t row, float *to,                     \
                                     size_t position_stride) {                                     \
    winograd_output_gradient(rows, rows - height + 1, columns, columns - width + 1, from, row, to, \
                             position_stride);                                                     \
  }                                                                                                \
  static void name##_weight_gradient(const float *sums, size_t position_stride, float *windows) {  \
    winograd_weight_gradient(rows, height, columns, width, sums, position_stride, windows);        \
  }
#define WINOGRAD_ENTRY(name, rows, height, columns, width)                                         \
  {rows,                                                                                           \
   columns,                                                                                        \
   height,                                                                                         \
   width,                                                                                          \
   name##_input,                                                                                   \
   name##_output,                                                                                  \
   name##_weight,                                                                                  \
   name##_output_gradient,                                                                         \
   name##_weight_gradient},
#define EACH_WINOGRAD(f)                                                                           \
  f(winograd_3x3_2, 4, 3, 4, 3) f(winograd_3x3_4, 6, 3, 6, 3) f(winograd_5x5_2, 6, 5, 6, 5)        \
      f(winograd_5x5_4, 8, 5, 8, 5) f(winograd_1x3_4, 1, 1, 6, 3) f(winograd_3x1_4, 6, 3, 1, 1)    \
          f(winograd_1x7_2, 1, 1, 8, 7) f(winograd_7x1_2, 8, 7, 1, 1)                              \
              f(winograd_1x7_4, 1, 1, 10, 7) f(winograd_7x1_4, 10, 7, 1, 1)
EACH_WINOGRAD(WINOGRAD)

// ------------------------------------------------------------------------------------------------
// Depthwise

LK_INLINE void depthwise_pixels(const lk_depthwise_row *row, size_t first, size_t pixels,
                                size_t stride) {
  const size_t vectors = 1;
  vf sum[2][LK_MAX_TILE_PIXELS];
  const vf bias = vf_load(row->bias);
  EACH_SUM sum[v][p] = bias;
  const float *input = row->input + first * stride, *weights = row->weights;
  for (size_t tap = 0; tap < row->tap_count; tap++, weights += LK_LANES) {
    const float *x = input + row->taps[tap];
    const vf weight = vf_load(weights);
    EACH_SUM sum[v][p] = vf_fma(weight, vf_load(x + p * stride), sum[v][p]);
  }
  if (row->residual) EACH_SUM sum[v][p] += vf_load(row->residual + (first + p) * LK_LANES);
  activate_sums(sum, 1, pixels, row->activation);
  EACH_SUM vf_store(row->output + (first + p) * LK_LANES, sum[v][p]);
}

LK_INLINE void depthwise_in_runs(const lk_depthwise_row *row, size_t stride) {
  size_t x = 0;
  for (; x + 8 <= row->width; x += 8) depthwise_pixels(row, x, 8, stride);
  for (; x + 4 <= row->width; x += 4) depthwise_pixels(row, x, 4, stride);
  for (; x < row->width; x++) depthwise_pixels(row, x, 1, stride);
}

static void depthwise_row(const lk_depthwise_row *row) {
  if (row->pixel_stride == LK_LANES)
    depthwise_in_runs(row, LK_LANES);
  else if (row->pixel_stride == 2 * LK_LANES)
    depthwise_in_runs(row, 2 * LK_LANES);
  else
    depthwise_in_runs(row, row->pixel_stride);
}

// ------------------------------------------------------------------------------------------------
// Whole maps

static void scale(const float *x, const float *factors, const float *residual,
                  lk_activation activation, float *y, size_t count) {
  const vf factor = vf_load(factors);
  for (size_t p = 0; p < count; p++) {
    vf sum[2][LK_MAX_TILE_PIXELS];
    sum[0][0] = factor * vf_load(x + p * LK_LANES);
    if (residual) sum[0][0] += vf_load(residual + p * LK_LANES);
    activate_sums(sum, 1, 1, activation);
    vf_store(y + p * LK_LANES, sum[0][0]);
  }
}

static void sum(const float *x, size_t row, size_t rows, size_t width, float *sums) {
  vf part[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
  for (size_t y = 0; y < rows; y++, x += row) {
    size_t p = 0;
    for (; p + 4 <= width; p += 4)
      LK_UNROLL for (size_t i = 0; i < 4; i++) part[i] += vf_load(x + (p + i) * LK_LANES);
    for (; p < width; p++) part[0] += vf_load(x + p * LK_LANES);
  }
  vf_store(sums, (part[0] + part[1]) + (part[2] + part[3]));
}

// ------------------------------------------------------------------------------------------------
// Gradients

#if defined(LK_TARGET_AVX512)
#define WEIGHT_CHANNELS 8
#else
#define WEIGHT_CHANNELS 4
#endif

LK_INLINE void weight_tile(const lk_weight_tile *t, size_t vectors, size_t count) {
  // One vector of outputs leaves registers for two chains of sums: even and odd pixels.
  const size_t together = 2 / vectors;
  vf sum[2][WEIGHT_CHANNELS];
  LK_UNROLL for (size_t v = 0; v < 2; v++) LK_UNROLL for (size_t j = 0; j < count; j++) sum[v][j] =
      vf_set(0);
  const size_t block = vectors == 2 ? t->gradient_block : LK_LANES;
  const size_t pixel = vectors == 2 ? 0 : t->input_pixel, step = together * t->input_pixel;
  for (size_t image = 0; image < t->images; image++)
    for (size_t y = 0; y < t->rows; y++) {
      const float *x = t->input + image * t->input_image + y * t->input_row;
      const float *gradient = t->gradient + image * t->gradient_image + y * t->gradient_row;
      size_t p = 0;
      for (; p + together <= t->width; p += together) {
        vf g[2];
        LK_UNROLL for (size_t v = 0; v < 2; v++) g[v] = vf_load(gradient + v * block);
        LK_UNROLL for (size_t j = 0; j < count; j++) LK_UNROLL for (size_t v = 0; v < 2; v++)
            sum[v][j] = vf_fma(g[v], vf_set(x[v * pixel + j]), sum[v][j]);
        // A pixel of narrower vectors is less than a line, and takes longer than its memory.
#if LK_VECTOR_BYTES == 64
        __builtin_prefetch(x + t->input_ahead);
        LK_UNROLL for (size_t v = 0; v < 2; v++)
            __builtin_prefetch(gradient + v * block + t->gradient_ahead);
#endif
        x += step, gradient += together * LK_LANES;
      }
      if (p == t->width) continue;
      const vf g = vf_load(gradient);
      LK_UNROLL for (size_t j = 0; j < count; j++) sum[0][j] = vf_fma(g, vf_set(x[j]), sum[0][j]);
    }
  LK_UNROLL for (size_t j = 0; j < count; j++) {
    float *to = t->to + j * t->to_stride;
    if (vectors == 1) sum[0][j] += sum[1][j];
    LK_UNROLL for (size_t v = 0; v < vectors; v++)
        vf_store(to + v * LK_LANES, vf_load(to + v * LK_LANES) + sum[v][j]);
  }
}

#define WEIGHT_TILE(n)                                                                             \
  static void weight1x##n(const lk_weight_tile *t) { weight_tile(t, 1, n); }                       \
  static void weight2x##n(const lk_weight_tile *t) { weight_tile(t, 2, n); }
WEIGHT_TILE(1)
WEIGHT_TILE(2)
WEIGHT_TILE(3)
WEIGHT_TILE(4)
#if WEIGHT_CHANNELS > 4
WEIGHT_TILE(5)
WEIGHT_TILE(6)
WEIGHT_TILE(7)
WEIGHT_TILE(8)
#define WEIGHT_TILES(v)                                                                            \
  {                                                                                                \
    weight##v##x1, weight##v##x2, weight##v##x3, weight##v##x4, weight##v##x5, weight##v##x6,      \
        weight##v##x7, weight##v##x8                                                               \
  }
#else
#define WEIGHT_TILES(v)                                                                            \
  { weight##v##x1, weight##v##x2, weight##v##x3, weight##v##x4 }
#endif

static void depthwise_weights(const lk_depthwise_weights *w, float *sums) {
  vf sum[3][4];
  LK_UNROLL for (size_t t = 0; t < 3; t++) LK_UNROLL for (size_t i = 0; i < 4; i++) sum[t][i] =
      vf_set(0);
  for (size_t y = 0; y < w->rows; y++) {
    const float *x = w->input + y * w->input_row, *gradient = w->gradient + y * w->gradient_row;
    size_t p = 0;
    for (; p + 4 <= w->width; p += 4) LK_UNROLL for (size_t i = 0; i < 4; i++) {
        const vf g = vf_load(gradient + (p + i) * LK_LANES);
        LK_UNROLL for (size_t t = 0; t < 3; t++) sum[t][i] =
            vf_fma(g, vf_load(x + (p + i) * w->input_pixel + w->taps[t]), sum[t][i]);
      }
    for (; p < w->width; p++) {
      const vf g = vf_load(gradient + p * LK_LANES);
      LK_UNROLL for (size_t t = 0; t < 3; t++) sum[t][0] =
          vf_fma(g, vf_load(x + p * w->input_pixel + w->taps[t]), sum[t][0]);
    }
  }
  LK_UNROLL for (size_t t = 0; t < 3; t++)
      vf_store(sums + t * LK_LANES, (sum[t][0] + sum[t][1]) + (sum[t][2] + sum[t][3]));
}

static void put_pixels(const float *from, float *to, size_t stride, size_t count, bool adds) {
  if (!from && adds) return;
  for (size_t p = 0; p < count; p++, to += stride) {
    const vf value = from ? vf_load(from + p * LK_LANES) : vf_set(0);
    vf_store(to, adds ? vf_load(to) + value : value);
  }
}

/// A bit for each lane that is not zero.
LK_INLINE uint32_t nonzero_lanes(const float *x) {
#if defined(LK_TARGET_AVX512)
  return _mm512_cmp_ps_mask((__m512)vf_load(x), _mm512_setzero_ps(), _CMP_NEQ_UQ);
#elif defined(LK_TARGET_AVX2)
  const __m256 isOther = _mm256_cmp_ps((__m256)vf_load(x), _mm256_setzero_ps(), _CMP_NEQ_UQ);
  return (uint32_t)_mm256_movemask_ps(isOther);
#else
  uint32_t lanes = 0;
  for (int i = 0; i < LK_LANES; i++) lanes |= (uint32_t)(x[i] != 0) << i;
  return lanes;
#endif
}

LK_INLINE void add_window(const lk_window_sum *s, size_t vectors) {
  vf sum[LK_MAX_WINDOW];
  LK_UNROLL for (size_t k = 0; k < vectors; k++) sum[k] = vf_set(0);
  for (size_t b = 0; b < s->blocks; b++) {
    const float *gradient = s->gradient + b * s->block_stride;
    const float *weights = s->weights + b * LK_LANES * vectors * LK_LANES;
    for (uint32_t left = nonzero_lanes(gradient); left != 0; left &= left - 1) {
      const size_t channel = (size_t)__builtin_ctz(left);
      const vf g = vf_set(gradient[channel]);
      const float *window = weights + channel * vectors * LK_LANES;
      LK_UNROLL for (size_t k = 0; k < vectors; k++) sum[k] =
          vf_fma(g, vf_load(window + k * LK_LANES), sum[k]);
    }
  }
  LK_UNROLL for (size_t k = 0; k < vectors; k++) {
    float *to = s->to + s->places[k];
    vf_store(to, vf_load(to) + sum[k]);
  }
}

#define WINDOW(n)                                                                                  \
  static void add_window##n(const lk_window_sum *s) { add_window(s, n); }
WINDOW(1)
WINDOW(2)
WINDOW(3)
WINDOW(4)
WINDOW(5)
WINDOW(6)
WINDOW(7)
WINDOW(8)
WINDOW(9)
WINDOW(10)
WINDOW(11)
WINDOW(12)

const lk_blocked_kernels LK_NAME(lk_blocked_kernels) = {
    .lanes = LK_LANES,
    .pixels = PIXELS,
    .strided_pixels = STRIDED_PIXELS,
    .tile = {LISTS(tile1_),
             LISTS(tile2_),
             {{tile0_1x1, tile0_1x2, tile0_1x3, tile0_1x4},
              {tile0_2x1, tile0_2x2, tile0_2x3, tile0_2x4}}},
    .plain_tile = {LISTS(plain1_), LISTS(plain2_), LISTS(plain4_)},
    .winograd = {EACH_WINOGRAD(WINOGRAD_ENTRY)},
    .depthwise_row = depthwise_row,
    .scale = scale,
    .sum = sum,
    .weight_tile = {WEIGHT_TILES(1), WEIGHT_TILES(2)},
    .weight_channels = WEIGHT_CHANNELS,
    .depthwise_weights = depthwise_weights,
    .put_pixels = put_pixels,
    .add_window = {add_window1, add_window2, add_window3, add_window4, add_window5, add_window6,
                   add_window7, add_window8, add_window9, add_window10, add_window11, add_window12},
};
