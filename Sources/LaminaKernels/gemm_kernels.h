#include "gemm.h"

#if defined(LK_TARGET_AVX512)
#define ROWS 14
#elif defined(LK_TARGET_NEON)
#define ROWS 12
#else
#define ROWS 6
#endif

/// Rows of B from one that is read to one that is fetched.
enum { LOOK_AHEAD = 24 };

LK_INLINE vf activate(vf x, lk_activation activation) {
  if (activation.kind == LK_ACTIVATION_CLAMP)
    return vf_min(vf_max(x, vf_set(activation.low)), vf_set(activation.high));
  if (activation.kind == LK_ACTIVATION_LEAKY)
    return vf_select(x < vf_set(0), x * vf_set(activation.slope), x);
  return x;
}

static void finish_in_runs(const float *sums, size_t rows, size_t vectors, const lk_tile *tile) {
  const lk_column_run whole = {.end = tile->columns, .offset = 0};
  const lk_column_run *runs = tile->runs ? tile->runs : &whole;
  for (size_t v = 0; v * LK_LANES < tile->columns; v++) {
    const size_t start = v * LK_LANES, left = tile->columns - start;
    const size_t end = left < LK_LANES ? tile->columns : start + LK_LANES;
    size_t first = start;
    while (runs->end <= first) runs++;
    for (const lk_column_run *run = runs; first < end; first = run++->end) {
      const int low = (int)(first - start);
      const int high = (int)((run->end < end ? run->end : end) - start);
      const ptrdiff_t offset = run->offset + (ptrdiff_t)start;
      const vf column_bias =
          tile->column_bias ? vf_load_lanes(tile->column_bias + start, low, high) : vf_set(0);
      for (size_t r = 0; r < rows; r++) {
        const ptrdiff_t at = (ptrdiff_t)(r * tile->ldc) + offset;
        vf x = vf_load(sums + (r * vectors + v) * LK_LANES);
        if (tile->c_scale != 0)
          x = vf_fma(vf_set(tile->c_scale), vf_load_lanes(tile->c + at, low, high), x);
        if (tile->row_bias) x += vf_set(tile->row_bias[r]);
        if (tile->column_bias) x += column_bias;
        if (tile->residual) x += vf_load_lanes(tile->residual + at, low, high);
        vf_store_lanes(tile->c + at, activate(x, tile->activation), low, high);
      }
    }
  }
}

#define EACH_SUM                                                                                   \
  LK_UNROLL for (int r = 0; r < rows; r++) LK_UNROLL for (int v = 0; v < vectors; v++)

LK_INLINE void multiply_tile(const int rows, const int vectors, const bool by_rows, size_t k,
                             const float *a, size_t lda, const float *b, size_t ldb,
                             const lk_tile *tile) {
  vf sum[ROWS][2];
  EACH_SUM sum[r][v] = vf_set(0);
  const size_t row_step = by_rows ? lda : 1, step = by_rows ? 1 : lda;
  float *c = tile->c;
  const size_t ldc = tile->ldc;
  LK_UNROLL for (int r = 0; r < rows; r++) __builtin_prefetch(c + r * ldc, 1);
  for (; k > 0; k--, a += step, b += ldb) {
    vf right[2];
    LK_UNROLL for (int v = 0; v < vectors; v++) {
      right[v] = vf_load(b + v * LK_LANES);
      __builtin_prefetch(b + LOOK_AHEAD * ldb + v * LK_LANES);
    }
    LK_UNROLL for (int r = 0; r < rows; r++) {
      const vf left = vf_set(a[(size_t)r * row_step]);
      LK_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = vf_fma(left, right[v], sum[r][v]);
    }
  }
  if (tile->runs || tile->columns < (size_t)vectors * LK_LANES) {
    float sums[ROWS * 2 * LK_LANES];
    EACH_SUM vf_store(sums + (r * vectors + v) * LK_LANES, sum[r][v]);
    finish_in_runs(sums, (size_t)rows, (size_t)vectors, tile);
    return;
  }
  if (tile->c_scale != 0) {
    const vf scale = vf_set(tile->c_scale);
    EACH_SUM sum[r][v] = vf_fma(scale, vf_load(c + r * ldc + v * LK_LANES), sum[r][v]);
  }
  if (tile->row_bias) EACH_SUM sum[r][v] += vf_set(tile->row_bias[r]);
  if (tile->column_bias) EACH_SUM sum[r][v] += vf_load(tile->column_bias + v * LK_LANES);
  if (tile->residual) EACH_SUM sum[r][v] += vf_load(tile->residual + r * ldc + v * LK_LANES);
  if (tile->activation.kind == LK_ACTIVATION_CLAMP) {
    const vf low = vf_set(tile->activation.low), high = vf_set(tile->activation.high);
    EACH_SUM sum[r][v] = vf_min(vf_max(sum[r][v], low), high);
  } else if (tile->activation.kind == LK_ACTIVATION_LEAKY) {
    const vf slope = vf_set(tile->activation.slope);
    EACH_SUM sum[r][v] = vf_select(sum[r][v] < vf_set(0), sum[r][v] * slope, sum[r][v]);
  }
  EACH_SUM vf_store(c + r * ldc + v * LK_LANES, sum[r][v]);
}

#define TILE(rows, vectors)                                                                        \
  static void tile_##rows##x##vectors(size_t k, const float *a, size_t lda, const float *b,        \
                                      size_t ldb, const lk_tile *tile) {                           \
    multiply_tile(rows, vectors, false, k, a, lda, b, ldb, tile);                                  \
  }                                                                                                \
  static void row_tile_##rows##x##vectors(size_t k, const float *a, size_t lda, const float *b,    \
                                          size_t ldb, const lk_tile *tile) {                       \
    multiply_tile(rows, vectors, true, k, a, lda, b, ldb, tile);                                   \
  }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
#if ROWS > 6
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
#endif
#if ROWS > 12
TILES(13)
TILES(14)
#endif

#if defined(LK_TARGET_AVX512)
#define TAIL_COLUMNS 8
#elif defined(LK_TARGET_AVX2)
#define TAIL_COLUMNS 2
#else
#define TAIL_COLUMNS 0
#endif

#if TAIL_COLUMNS > 0
LK_INLINE void multiply_tail(const int panels, const int columns, size_t k,
                             const lk_tail_panel *panel, size_t count, const float *b, size_t ldb) {
  vf sum[LK_TAIL_PANELS][TAIL_COLUMNS];
  const float *a[LK_TAIL_PANELS];
  size_t rows[LK_TAIL_PANELS];
  LK_UNROLL for (int p = 0; p < panels; p++) {
    const lk_tail_panel *from = panel + ((size_t)p < count ? p : 0);
    a[p] = from->a;
    rows[p] = from->rows;
    LK_UNROLL for (int j = 0; j < columns; j++) sum[p][j] = vf_set(0);
  }
  for (; k > 0; k--, b += ldb) {
    LK_UNROLL for (int p = 0; p < panels; p++) {
      const vf left = vf_load(a[p]);
      a[p] += rows[p];
      LK_UNROLL for (int j = 0; j < columns; j++) sum[p][j] = vf_fma(left, vf_set(b[j]), sum[p][j]);
    }
  }
  LK_UNROLL for (int p = 0; p < panels; p++) {
    if ((size_t)p < count) {
      float lanes[TAIL_COLUMNS][LK_LANES], sums[ROWS][LK_LANES];
      LK_UNROLL for (int j = 0; j < columns; j++) vf_store(lanes[j], sum[p][j]);
      for (size_t r = 0; r < rows[p]; r++)
        LK_UNROLL for (int j = 0; j < columns; j++) sums[r][j] = lanes[j][r];
      finish_in_runs(sums[0], rows[p], 1, &panel[p].tile);
    }
  }
}

#define TAIL(columns, panels)                                                                      \
  static void tail_##columns(size_t k, const lk_tail_panel *panel, size_t count, const float *b,   \
                             size_t ldb) {                                                         \
    multiply_tail(panels, columns, k, panel, count, b, ldb);                                       \
  }
TAIL(1, 4)
TAIL(2, 4)
#if TAIL_COLUMNS > 2
TAIL(3, 4)
TAIL(4, 4)
TAIL(5, 2)
TAIL(6, 2)
TAIL(7, 2)
TAIL(8, 2)
#endif
#endif

static void pack_rows(const float *from, size_t ld, size_t count, size_t rows, float scale,
                      float *to, size_t width) {
  const vf factor = vf_set(scale);
  for (size_t i = 0; i < rows; i++, from += ld, to += width) {
    size_t j = 0;
    for (; j + LK_LANES <= count; j += LK_LANES) vf_store(to + j, vf_load(from + j) * factor);
    for (; j < count; j++) to[j] = from[j] * scale;
    for (; j < width; j++) to[j] = 0;
  }
}

#if LK_LANES == 16
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#elif LK_LANES == 8
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#else
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#define EVEN_LANES 0, 2, 4, 6
#endif

/// Interleaving the two halves of the rows log2(lanes) times transposes them.
LK_INLINE void transpose(vf *m) {
  LK_UNROLL for (int round = 1; round < LK_LANES; round *= 2) {
    vf t[LK_LANES];
    LK_UNROLL for (int i = 0; i < LK_LANES / 2; i++) {
      t[2 * i] = __builtin_shufflevector(m[i], m[i + LK_LANES / 2], LOW_HALVES);
      t[2 * i + 1] = __builtin_shufflevector(m[i], m[i + LK_LANES / 2], HIGH_HALVES);
    }
    LK_UNROLL for (int i = 0; i < LK_LANES; i++) m[i] = t[i];
  }
}

/// A square of lanes × lanes of pack_columns, whole vectors stored.
LK_INLINE void pack_square(const float *from, size_t ld, size_t valid, float scale, float *to,
                           size_t width) {
  const vf factor = vf_set(scale);
  vf m[LK_LANES];
  if (valid == LK_LANES) {
    LK_UNROLL for (size_t l = 0; l < LK_LANES; l++) m[l] = vf_load(from + l * ld) * factor;
  } else {
    LK_UNROLL for (size_t l = 0; l < LK_LANES; l++) m[l] =
        l < valid ? vf_load(from + l * ld) * factor : vf_set(0);
  }
  transpose(m);
  LK_UNROLL for (size_t l = 0; l < LK_LANES; l++) vf_store(to + l * width, m[l]);
}

static void pack_columns(const float *from, size_t ld, size_t count, size_t rows, float scale,
                         float *to, size_t width) {
  const vf factor = vf_set(scale);
  for (size_t j = 0; j < width; j += LK_LANES) {
    const size_t valid = count > j ? (count - j < LK_LANES ? count - j : LK_LANES) : 0;
    const size_t stored = width - j < LK_LANES ? width - j : LK_LANES;
    size_t i = 0;
    // What the vectors of a narrow panel write beyond a row, the next row overwrites.
    const size_t behind = stored == LK_LANES ? 0 : j == 0 ? 1 : rows;
    for (; i + LK_LANES + behind <= rows; i += LK_LANES)
      pack_square(from + j * ld + i, ld, valid, scale, to + i * width + j, width);
    for (; i < rows; i += LK_LANES) {
      const int n = rows - i < LK_LANES ? (int)(rows - i) : LK_LANES;
      vf m[LK_LANES];
      LK_UNROLL for (size_t l = 0; l < LK_LANES; l++) {
        m[l] = vf_set(0);
        if (l < valid) {
          const float *line = from + (j + l) * ld + i;
          m[l] = (n == LK_LANES ? vf_load(line) : vf_load_first(line, n)) * factor;
        }
      }
      transpose(m);
      for (int l = 0; l < n; l++) {
        float *line = to + (i + (size_t)l) * width + j;
        if (stored == LK_LANES)
          vf_store(line, m[l]);
        else
          vf_store_first(line, m[l], (int)stored);
      }
    }
  }
}

LK_INLINE int within_lanes(ptrdiff_t x, ptrdiff_t limit) {
  return x < 0 ? 0 : x > limit ? (int)limit : (int)x;
}

static void pack_run(const lk_patch_run *run, size_t plane, size_t channels, float *to,
                     size_t width) {
  const ptrdiff_t stride = run->stride;
  const ptrdiff_t count = (ptrdiff_t)run->count, first = (ptrdiff_t)run->first,
                  end = (ptrdiff_t)run->end;
  for (ptrdiff_t j = 0; j < count; j += LK_LANES) {
    const float *from = run->from + j * stride;
    float *line = to + j;
    const int n = within_lanes(count - j, LK_LANES);
    const int low = within_lanes(first - j, n), high = within_lanes(end - j, n);
    if (low >= high) {
      for (size_t c = 0; c < channels; c++, line += width) vf_store_first(line, vf_set(0), n);
    } else if (stride == 1 && low == 0 && high == LK_LANES) {
      for (size_t c = 0; c < channels; c++, line += width, from += plane)
        vf_store(line, vf_load(from));
    } else if (stride == 1) {
      for (size_t c = 0; c < channels; c++, line += width, from += plane)
        vf_store_first(line, vf_load_lanes(from, low, high), n);
    } else if (stride == 2) {
      // The last lane read is 2·(high − 1): no float behind it is touched.
      const int last = 2 * high - 1, low2 = 2 * low;
      const int low_a = within_lanes(low2, LK_LANES), end_a = within_lanes(last, LK_LANES);
      const int low_b = within_lanes(low2 - LK_LANES, LK_LANES);
      const int end_b = within_lanes(last - LK_LANES, LK_LANES);
      for (size_t c = 0; c < channels; c++, line += width, from += plane) {
        const vf a = vf_load_lanes(from, low_a, end_a);
        const vf b = vf_load_lanes(from + LK_LANES, low_b, end_b);
        vf_store_first(line, __builtin_shufflevector(a, b, EVEN_LANES), n);
      }
    } else {
      for (size_t c = 0; c < channels; c++, line += width, from += plane)
        for (int i = 0; i < n; i++) line[i] = i >= low && i < high ? from[i * stride] : 0;
    }
  }
}

/// How far ahead a row is fetched, in floats.
#define AHEAD 256

LK_INLINE void dot_some(const int rows, const float *a, size_t lda, size_t k, const float *x,
                        float *sums) {
  vf sum[4][2];
  LK_UNROLL for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = vf_set(0);
  size_t i = 0;
  for (; i + 2 * LK_LANES <= k; i += 2 * LK_LANES) {
    const vf x0 = vf_load(x + i), x1 = vf_load(x + i + LK_LANES);
    LK_UNROLL for (int r = 0; r < rows; r++) {
      __builtin_prefetch(a + r * lda + i + AHEAD, 0, 2);
      __builtin_prefetch(a + r * lda + i + AHEAD + LK_LANES, 0, 2);
      sum[r][0] = vf_fma(vf_load(a + r * lda + i), x0, sum[r][0]);
      sum[r][1] = vf_fma(vf_load(a + r * lda + i + LK_LANES), x1, sum[r][1]);
    }
  }
  for (; i < k; i += LK_LANES) {
    const int n = k - i < LK_LANES ? (int)(k - i) : LK_LANES;
    const vf x0 = vf_load_first(x + i, n);
    LK_UNROLL for (int r = 0; r < rows; r++) sum[r][0] =
        vf_fma(vf_load_first(a + r * lda + i, n), x0, sum[r][0]);
  }
  LK_UNROLL for (int r = 0; r < rows; r++) sums[r] = vf_sum(sum[r][0] + sum[r][1]);
}

static void dot_rows(const float *a, size_t lda, size_t rows, size_t k, const float *x, float scale,
                     float beta, const float *bias, lk_activation activation, float *to,
                     size_t ld_to) {
  for (size_t i = 0; i < rows; i += 4, a += 4 * lda) {
    float sums[4];
    const size_t n = rows - i < 4 ? rows - i : 4;
    if (n == 4)
      dot_some(4, a, lda, k, x, sums);
    else
      for (size_t r = 0; r < n; r++) dot_some(1, a + r * lda, lda, k, x, sums + r);
    for (size_t r = 0; r < n; r++) {
      float *out = to + (i + r) * ld_to;
      float y = scale * sums[r];
      if (beta != 0) y += beta * *out;
      if (bias) y += bias[i + r];
      *out = activate(vf_set(y), activation)[0];
    }
  }
}

LK_INLINE void sum_some(const int vectors, const float *from, size_t ld, size_t rows, int columns,
                        bool adds, float *to) {
  vf sum[4];
  LK_UNROLL for (int v = 0; v < vectors; v++) sum[v] =
      adds ? vf_load_first(to + v * LK_LANES, columns) : vf_set(0);
  for (size_t i = 0; i < rows; i++, from += ld)
    LK_UNROLL for (int v = 0; v < vectors; v++) sum[v] +=
        vf_load_first(from + v * LK_LANES, columns);
  LK_UNROLL for (int v = 0; v < vectors; v++) vf_store_first(to + v * LK_LANES, sum[v], columns);
}

static void sum_rows(const float *from, size_t ld, size_t rows, size_t columns, bool adds,
                     float *to) {
  size_t j = 0;
  for (; j + 4 * LK_LANES <= columns; j += 4 * LK_LANES)
    sum_some(4, from + j, ld, rows, LK_LANES, adds, to + j);
  for (; j < columns; j += LK_LANES) {
    const int n = columns - j < LK_LANES ? (int)(columns - j) : LK_LANES;
    sum_some(1, from + j, ld, rows, n, adds, to + j);
  }
}

#define TO_6(f, v) f##_1x##v, f##_2x##v, f##_3x##v, f##_4x##v, f##_5x##v, f##_6x##v
#if ROWS > 6
#define TO_12(f, v) TO_6(f, v), f##_7x##v, f##_8x##v, f##_9x##v, f##_10x##v, f##_11x##v, f##_12x##v
#else
#define TO_12 TO_6
#endif
#if ROWS > 12
#define TO_14(f, v) TO_12(f, v), f##_13x##v, f##_14x##v
#else
#define TO_14 TO_12
#endif
#define TABLE(f)                                                                                   \
  {                                                                                                \
    {TO_14(f, 1)}, { TO_14(f, 2) }                                                                 \
  }

const lk_gemm_kernels LK_NAME(lk_f32_gemm_kernels) = {
    .rows = ROWS,
    .lanes = LK_LANES,
    .tile = TABLE(tile),
    .row_tile = TABLE(row_tile),
    .tail_columns = TAIL_COLUMNS,
#if TAIL_COLUMNS > 2
    .tail = {tail_1, tail_2, tail_3, tail_4, tail_5, tail_6, tail_7, tail_8},
    .tail_panels = {4, 4, 4, 4, 2, 2, 2, 2},
#elif TAIL_COLUMNS > 0
    .tail = {tail_1, tail_2},
    .tail_panels = {4, 4},
#endif
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .pack_run = pack_run,
    .dot_rows = dot_rows,
    .sum_rows = sum_rows,
};
