#include "normalization.h"
#include "vector_math.h"

/// Lanes used of the vector that starts at `i` of `n`.
LK_INLINE int lanes_at(size_t i, size_t n) { return n - i < LK_LANES ? (int)(n - i) : LK_LANES; }
LK_INLINE vf load_at(const float *p, int lanes) {
  return lanes == LK_LANES ? vf_load(p) : vf_load_first(p, lanes);
}
LK_INLINE void store_at(float *p, vf v, int lanes) {
  if (lanes == LK_LANES)
    vf_store(p, v);
  else
    vf_store_first(p, v, lanes);
}

// ------------------------------------------------------------------------------------------------
// Reductions

LK_INLINE vf reduce_identity(lk_reduction op) {
  return vf_set(op == LK_REDUCE_MAX       ? -__builtin_inff()
                : op == LK_REDUCE_MIN     ? __builtin_inff()
                : op == LK_REDUCE_PRODUCT ? 1
                                          : 0);
}
LK_INLINE vf reduce_add(lk_reduction op, vf sum, vf v) {
  switch (op) {
  case LK_REDUCE_SUM:
    return sum + v;
  case LK_REDUCE_MAX:
    return vf_maximum(sum, v);
  case LK_REDUCE_MIN:
    return vf_minimum(sum, v);
  case LK_REDUCE_PRODUCT:
    return sum * v;
  case LK_REDUCE_ABSOLUTE_SUM:
    return sum + vf_abs(v);
  case LK_REDUCE_SQUARE_SUM:
    return vf_fma(v, v, sum);
  }
}
/// Joins two partial results.
LK_INLINE vf reduce_join(lk_reduction op, vf a, vf b) {
  const bool adds = op == LK_REDUCE_ABSOLUTE_SUM || op == LK_REDUCE_SQUARE_SUM;
  return adds ? a + b : reduce_add(op, a, b);
}

LK_INLINE float reduce_span(lk_reduction op, const float *x, size_t n) {
  vf sums[4];
  LK_UNROLL for (int j = 0; j < 4; j++) sums[j] = reduce_identity(op);
  size_t i = 0;
  for (; i + 4 * LK_LANES <= n; i += 4 * LK_LANES)
    LK_UNROLL for (int j = 0; j < 4; j++) sums[j] =
        reduce_add(op, sums[j], vf_load(x + i + j * LK_LANES));
  for (; i + LK_LANES <= n; i += LK_LANES) sums[0] = reduce_add(op, sums[0], vf_load(x + i));
  const vf sum =
      reduce_join(op, reduce_join(op, sums[0], sums[1]), reduce_join(op, sums[2], sums[3]));
  vf total = reduce_identity(op);
  for (; i < n; i++) total = reduce_add(op, total, vf_set(x[i]));
  for (int lane = 0; lane < LK_LANES; lane++) total = reduce_join(op, total, vf_set(sum[lane]));
  return total[0];
}

static float LK_NAME(reduce_row)(lk_reduction op, const float *x, size_t n) {
  switch (op) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    return reduce_span(name, x, n);
    LK_CASE(LK_REDUCE_SUM)
    LK_CASE(LK_REDUCE_MAX)
    LK_CASE(LK_REDUCE_MIN)
    LK_CASE(LK_REDUCE_PRODUCT) LK_CASE(LK_REDUCE_ABSOLUTE_SUM) LK_CASE(LK_REDUCE_SQUARE_SUM)
#undef LK_CASE
  }
}

LK_INLINE void reduce_strided(lk_reduction op, float scale, const float *x, float *y, size_t length,
                              size_t inner, size_t columns) {
  for (size_t i = 0; i < columns; i += LK_LANES) {
    const int lanes = lanes_at(i, columns);
    vf even = reduce_identity(op), odd = even;
    size_t r = 0;
    for (; r + 2 <= length; r += 2) {
      even = reduce_add(op, even, load_at(x + r * inner + i, lanes));
      odd = reduce_add(op, odd, load_at(x + (r + 1) * inner + i, lanes));
    }
    if (r < length) even = reduce_add(op, even, load_at(x + r * inner + i, lanes));
    store_at(y + i, reduce_join(op, even, odd) * scale, lanes);
  }
}

static void LK_NAME(reduce_columns)(lk_reduction op, float scale, const float *x, float *y,
                                    size_t length, size_t inner, size_t columns) {
  switch (op) {
#define LK_CASE(name)                                                                              \
  case name:                                                                                       \
    reduce_strided(name, scale, x, y, length, inner, columns);                                     \
    break;
    LK_CASE(LK_REDUCE_SUM)
    LK_CASE(LK_REDUCE_MAX)
    LK_CASE(LK_REDUCE_MIN)
    LK_CASE(LK_REDUCE_PRODUCT) LK_CASE(LK_REDUCE_ABSOLUTE_SUM) LK_CASE(LK_REDUCE_SQUARE_SUM)
#undef LK_CASE
  }
}

// ------------------------------------------------------------------------------------------------
// Scale and shift, normalisation by row statistics

LK_INLINE void affine(const float *x, const float *scale, bool scale_varies, float factor,
                      const float *shift, float *y, size_t n, float mean) {
  const vf scale0 = vf_set(scale ? *scale * factor : factor);
  const vf shift0 = vf_set(shift ? *shift : 0);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf a = scale && scale_varies ? load_at(scale + i, lanes) * factor : scale0;
    const vf b = shift && scale_varies ? load_at(shift + i, lanes) : shift0;
    store_at(y + i, vf_fma(load_at(x + i, lanes) - mean, a, b), lanes);
  }
}

static void LK_NAME(scale_shift)(const float *x, float scale, float shift, float *y, size_t n) {
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    store_at(y + i, vf_fma(load_at(x + i, lanes), vf_set(scale), vf_set(shift)), lanes);
  }
}

static void LK_NAME(scale_shift_vector)(const float *x, const float *scale, const float *shift,
                                        float *y, size_t n) {
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    store_at(y + i,
             vf_fma(load_at(x + i, lanes), load_at(scale + i, lanes), load_at(shift + i, lanes)),
             lanes);
  }
}

/// y = scale·x + shift for `n` pixels of a block.
static void LK_NAME(scale_shift_pixels)(const float *x, const float *scale, const float *shift,
                                        float *y, size_t n) {
  const vf a = vf_load(scale), b = vf_load(shift);
  for (size_t p = 0; p < n; p++)
    vf_store(y + p * LK_LANES, vf_fma(vf_load(x + p * LK_LANES), a, b));
}

static float LK_NAME(deviation_square_sum)(const float *x, float mean, size_t n) {
  vf sums[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
  size_t i = 0;
  for (; i + 4 * LK_LANES <= n; i += 4 * LK_LANES) LK_UNROLL for (int j = 0; j < 4; j++) {
      const vf d = vf_load(x + i + j * LK_LANES) - mean;
      sums[j] = vf_fma(d, d, sums[j]);
    }
  float sum = vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
  return sum;
}

static void LK_NAME(normalize_row)(const lk_rows *rows, float epsilon, const float *x,
                                   const float *weight, const float *bias, float *y, float *mean,
                                   float *inverse_deviation) {
  const size_t n = rows->channels * rows->area;
  const float m = LK_NAME(reduce_row)(LK_REDUCE_SUM, x, n) / (float)n;
  const float variance = LK_NAME(deviation_square_sum)(x, m, n) / (float)n;
  const float inverse = 1 / __builtin_sqrtf(variance + epsilon);
  if (mean) *mean = m;
  if (inverse_deviation) *inverse_deviation = inverse;
  if (rows->area == 1) {
    affine(x, weight, true, inverse, bias, y, n, m);
    return;
  }
  for (size_t c = 0; c < rows->channels; c++)
    affine(x + c * rows->area, weight ? weight + c : NULL, false, inverse, bias ? bias + c : NULL,
           y + c * rows->area, rows->area, m);
}

// ------------------------------------------------------------------------------------------------
// Local response normalisation

/// x / t^beta.
LK_INLINE vf lrn_divide(vf x, vf t, float beta) {
  if (beta == 0.75f) {
    const vf root = vf_rsqrt(vf_min(t, vf_set(__FLT_MAX__)));
    return x * root * (root * vf_rsqrt(root));
  }
  if (beta == 0.5f) return x / vf_sqrt(t);
  if (beta == 1) return x / t;
  return x * vf_exp(vf_log(t) * -beta);
}

static void LK_NAME(lrn_columns)(const float *x, float *y, size_t channels, size_t area,
                                 size_t columns, size_t before, size_t after, float alpha,
                                 float beta, float k) {
  for (size_t c = 0; c < channels; c++) {
    const size_t first = c > before ? c - before : 0;
    const size_t last = after < channels - 1 - c ? c + after : channels - 1;
    for (size_t i = 0; i < columns; i += LK_LANES) {
      const int lanes = lanes_at(i, columns);
      vf sum = vf_set(0);
      for (size_t r = first; r <= last; r++) {
        const vf v = load_at(x + r * area + i, lanes);
        sum = vf_fma(v, v, sum);
      }
      const vf v = load_at(x + c * area + i, lanes);
      store_at(y + c * area + i, lrn_divide(v, vf_fma(sum, vf_set(alpha), vf_set(k)), beta), lanes);
    }
  }
}

/// Pixels whose squares lie side by side before they are summed up.
enum { LK_NAME(lrn_group) = 16 };

static void LK_NAME(lrn_pixels)(const lk_lrn_row *row, size_t before, size_t after, float alpha,
                                float beta, float k) {
  float squares[LK_NAME(lrn_group)][3 * LK_LANES];
  const float ones[LK_LANES + 1] = {[0 ... LK_LANES] = 1};
  const vi present = vf_load_first(ones, (int)row->channels) != 0;
  for (size_t first = 0; first < row->width; first += LK_NAME(lrn_group)) {
    const size_t rest = row->width - first;
    const size_t pixels = rest < LK_NAME(lrn_group) ? rest : LK_NAME(lrn_group);
    const size_t offset = first * LK_LANES;
    for (size_t p = 0; p < pixels; p++) {
      const size_t at = offset + p * LK_LANES;
      const vf own = vf_load(row->x + at);
      const vf low = row->below ? vf_load(row->below + at) : vf_set(0);
      const vf high = row->above ? vf_load(row->above + at) : vf_set(0);
      vf_store(squares[p], low * low);
      vf_store(squares[p] + LK_LANES, own * own);
      vf_store(squares[p] + 2 * LK_LANES, high * high);
    }
    for (size_t p = 0; p < pixels; p++) {
      const float *from = squares[p] + LK_LANES - before;
      vf sum = vf_load(from);
      for (size_t i = 1; i <= before + after; i++) sum += vf_load(from + i);
      const vf t = vf_fma(sum, vf_set(alpha), vf_set(k));
      const vf y = lrn_divide(vf_load(row->x + offset + p * LK_LANES), t, beta);
      vf_store(row->y + offset + p * LK_LANES, vf_select(present, y, vf_set(0)));
    }
  }
}

static void LK_NAME(lrn_plane)(const float *x, float *y, size_t height, size_t width, size_t before,
                               size_t after, float alpha, float beta, float k) {
  for (size_t row = 0; row < height; row++) {
    const size_t first = row > before ? row - before : 0;
    const size_t last = after < height - 1 - row ? row + after : height - 1;
    float *sums = y + row * width;
    memset(sums, 0, width * sizeof *sums);
    for (size_t r = first; r <= last; r++)
      for (size_t column = 0; column < width; column++) {
        const size_t left = column > before ? column - before : 0;
        const size_t right = after < width - 1 - column ? column + after : width - 1;
        float sum = 0;
        for (size_t i = left; i <= right; i++) sum += x[r * width + i] * x[r * width + i];
        sums[column] += sum;
      }
    for (size_t i = 0; i < width; i += LK_LANES) {
      const int lanes = lanes_at(i, width);
      const vf t = vf_fma(load_at(sums + i, lanes), vf_set(alpha), vf_set(k));
      store_at(sums + i, lrn_divide(load_at(x + row * width + i, lanes), t, beta), lanes);
    }
  }
}

// ------------------------------------------------------------------------------------------------
// Softmax

static void LK_NAME(softmax_row)(bool logarithm, const float *x, float *y, size_t n) {
  const float max = LK_NAME(reduce_row)(LK_REDUCE_MAX, x, n);
  vf sums = vf_set(0);
  float sum = 0;
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf e = vf_exp(load_at(x + i, lanes) - max);
    if (!logarithm) store_at(y + i, e, lanes);
    if (lanes == LK_LANES)
      sums += e;
    else
      for (int lane = 0; lane < lanes; lane++) sum += e[lane];
  }
  sum += vf_sum(sums);
  const float shift = logarithm ? max : 0, offset = logarithm ? vf_log(vf_set(sum))[0] : 0;
  const float scale = logarithm ? 1 : 1 / sum;
  const float *source = logarithm ? x : y;
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    store_at(y + i, (load_at(source + i, lanes) - shift) * scale - offset, lanes);
  }
}

static void LK_NAME(softmax_columns)(bool logarithm, const float *x, float *y, size_t length,
                                     size_t inner, size_t columns) {
  for (size_t i = 0; i < columns; i += LK_LANES) {
    const int lanes = lanes_at(i, columns);
    vf max = vf_set(-__builtin_inff()), sum = vf_set(0);
    for (size_t r = 0; r < length; r++) max = vf_maximum(max, load_at(x + r * inner + i, lanes));
    for (size_t r = 0; r < length; r++) {
      const vf e = vf_exp(load_at(x + r * inner + i, lanes) - max);
      if (!logarithm) store_at(y + r * inner + i, e, lanes);
      sum += e;
    }
    const vf shift = logarithm ? max : vf_set(0), offset = logarithm ? vf_log(sum) : vf_set(0);
    const vf scale = logarithm ? vf_set(1) : 1 / sum;
    const float *source = logarithm ? x : y;
    for (size_t r = 0; r < length; r++)
      store_at(y + r * inner + i, (load_at(source + r * inner + i, lanes) - shift) * scale - offset,
               lanes);
  }
}

// ------------------------------------------------------------------------------------------------
// Batch normalisation while training

/// The vector that belongs to position `i`: of a block its channels, else one number in all lanes.
LK_INLINE vf channel_vector(const float *p, bool is_blocked) {
  return is_blocked ? vf_load(p) : vf_set(*p);
}

/// dy, or 0 where batch normalisation gives a bound.
LK_INLINE vf inner_gradient(vf x, vf dy, vf scale, vf shift, vf low, vf high) {
  const vf y = vf_fma(x, scale, shift);
  return vf_select((y <= low) | (y >= high), vf_set(0), dy);
}

/// Sums over rows of two functions of position: `body` adds to first[j] and second[j]. Each row's
/// sums are short, so that they lose little.
#define LK_SUM_ROWS(rows, is_blocked, first_out, second_out, term)                                 \
  do {                                                                                             \
    vf first_total = vf_set(0), second_total = vf_set(0);                                          \
    const size_t n = (rows)->width * ((is_blocked) ? LK_LANES : 1);                                \
    for (size_t row = 0; row < (rows)->rows; row++) {                                              \
      const float *x = (rows)->x + row * (rows)->x_row;                                            \
      const float *dy = (rows)->dy ? (rows)->dy + row * (rows)->dy_row : x;                        \
      vf first[4], second[4];                                                                      \
      LK_UNROLL for (int j = 0; j < 4; j++) first[j] = second[j] = vf_set(0);                      \
      size_t i = 0;                                                                                \
      for (; i + 4 * LK_LANES <= n; i += 4 * LK_LANES) LK_UNROLL for (int j = 0; j < 4; j++) {     \
          const vf vx = vf_load(x + i + j * LK_LANES), vdy = vf_load(dy + i + j * LK_LANES);       \
          term(vx, vdy, first[j], second[j]);                                                      \
        }                                                                                          \
      for (; i + LK_LANES <= n; i += LK_LANES) {                                                   \
        const vf vx = vf_load(x + i), vdy = vf_load(dy + i);                                       \
        term(vx, vdy, first[0], second[0]);                                                        \
      }                                                                                            \
      if (i < n) {                                                                                 \
        const int lanes = (int)(n - i);                                                            \
        vf one_first = vf_set(0), one_second = vf_set(0);                                          \
        const vf vx = vf_load_first(x + i, lanes), vdy = vf_load_first(dy + i, lanes);             \
        term(vx, vdy, one_first, one_second);                                                      \
        for (int lane = 0; lane < lanes; lane++) {                                                 \
          first[1][lane] += one_first[lane];                                                       \
          second[1][lane] += one_second[lane];                                                     \
        }                                                                                          \
      }                                                                                            \
      first_total += (first[0] + first[1]) + (first[2] + first[3]);                                \
      second_total += (second[0] + second[1]) + (second[2] + second[3]);                           \
    }                                                                                              \
    if (is_blocked) {                                                                              \
      vf_store(first_out, first_total);                                                            \
      vf_store(second_out, second_total);                                                          \
    } else {                                                                                       \
      *(first_out) = vf_sum(first_total);                                                          \
      *(second_out) = vf_sum(second_total);                                                        \
    }                                                                                              \
  } while (0)

static void LK_NAME(moments)(const lk_norm_rows *rows, bool is_blocked, float *sums,
                             float *squares) {
  const vf mean = channel_vector(rows->mean, is_blocked);
#define LK_TERM(vx, vdy, first, second)                                                            \
  do {                                                                                             \
    (void)vdy;                                                                                     \
    const vf d = vx - mean;                                                                        \
    first += d;                                                                                    \
    second = vf_fma(d, d, second);                                                                 \
  } while (0)
  LK_SUM_ROWS(rows, is_blocked, sums, squares, LK_TERM);
#undef LK_TERM
}

static void LK_NAME(products)(const lk_norm_rows *rows, bool is_blocked, float *sums,
                              float *products) {
  const vf mean = channel_vector(rows->mean, is_blocked);
  const vf low = vf_set(rows->low), high = vf_set(rows->high);
  const vf scale = rows->scale ? channel_vector(rows->scale, is_blocked) : vf_set(0);
  const vf shift = rows->scale ? channel_vector(rows->shift, is_blocked) : vf_set(0);
#define LK_TERM(vx, vdy, first, second)                                                            \
  do {                                                                                             \
    const vf g = inner_gradient(vx, vdy, scale, shift, low, high);                                 \
    first += g;                                                                                    \
    second = vf_fma(g, vx - mean, second);                                                         \
  } while (0)
  LK_SUM_ROWS(rows, is_blocked, sums, products, LK_TERM);
#undef LK_TERM
}

/// One row.
static void LK_NAME(batch_norm)(const lk_norm_rows *rows, bool is_blocked, float *y) {
  const vf scale = channel_vector(rows->scale, is_blocked);
  const vf shift = channel_vector(rows->shift, is_blocked);
  const vf low = vf_set(rows->low), high = vf_set(rows->high);
  const size_t n = rows->width * (is_blocked ? LK_LANES : 1);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf v = vf_fma(load_at(rows->x + i, lanes), scale, shift);
    store_at(y + i, vf_min(vf_max(v, low), high), lanes);
  }
}

/// One row.
static void LK_NAME(batch_norm_gradient)(const lk_norm_rows *rows, bool is_blocked, const float *a,
                                         const float *b, const float *c, float *dx, bool adds) {
  const vf scale = channel_vector(rows->scale, is_blocked);
  const vf shift = channel_vector(rows->shift, is_blocked);
  const vf mean = channel_vector(rows->mean, is_blocked);
  const vf va = channel_vector(a, is_blocked), vb = channel_vector(b, is_blocked);
  const vf vc = channel_vector(c, is_blocked);
  const vf low = vf_set(rows->low), high = vf_set(rows->high);
  const size_t n = rows->width * (is_blocked ? LK_LANES : 1);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf x = load_at(rows->x + i, lanes);
    const vf g = inner_gradient(x, load_at(rows->dy + i, lanes), scale, shift, low, high);
    const vf d = vf_fma(va, g, vf_fma(vb, x - mean, vc));
    store_at(dx + i, adds ? load_at(dx + i, lanes) + d : d, lanes);
  }
}

// ------------------------------------------------------------------------------------------------
// Gradients of the other normalisations

/// Of `n` numbers with one weight, or a weight each.
LK_INLINE vf weighted(const float *dy, const float *weight, bool varies, size_t i, int lanes) {
  const vf g = dy ? load_at(dy + i, lanes) : vf_set(0);
  if (!weight) return g;
  return g * (varies ? load_at(weight + i, lanes) : vf_set(*weight));
}

static void LK_NAME(normalize_gradient_row)(const lk_rows *rows, const float *x,
                                            const float *weight, float mean,
                                            float inverse_deviation, const float *dy, float dmean,
                                            float dinverse, float *dx) {
  const bool varies = rows->area == 1;
  const size_t spans = varies ? 1 : rows->channels, n = varies ? rows->channels : rows->area;
  float sum = 0, product = 0;
  for (size_t s = 0; dy && s < spans; s++) {
    const float *w = weight ? weight + s : NULL;
    vf sums = vf_set(0), products = vf_set(0);
    for (size_t i = 0; i < n; i += LK_LANES) {
      const int lanes = lanes_at(i, n);
      const vf g = weighted(dy + s * n, w, varies, i, lanes);
      sums += g;
      products = vf_fma(g, load_at(x + s * n + i, lanes) - mean, products);
    }
    sum += vf_sum(sums);
    product += vf_sum(products);
  }
  const float count = (float)(rows->channels * rows->area), inverse = inverse_deviation;
  const float b = -inverse * inverse * inverse * (product + dinverse) / count;
  const float c = (dmean - inverse * sum) / count;
  for (size_t s = 0; s < spans; s++) {
    const float *w = weight ? weight + s : NULL;
    for (size_t i = 0; i < n; i += LK_LANES) {
      const int lanes = lanes_at(i, n);
      const size_t at = s * n + i;
      const vf g = weighted(dy ? dy + s * n : NULL, w, varies, i, lanes);
      const vf d =
          vf_fma(g, vf_set(inverse), vf_fma(load_at(x + at, lanes) - mean, vf_set(b), vf_set(c)));
      store_at(dx + at, load_at(dx + at, lanes) + d, lanes);
    }
  }
}

static void LK_NAME(normalize_parameter_columns)(const float *x, const float *dy, const float *mean,
                                                 const float *inverse_deviation, size_t first,
                                                 size_t step, size_t count, size_t length,
                                                 size_t columns, float *dweight, float *dbias) {
  for (size_t i = 0; i < columns; i += LK_LANES) {
    const int lanes = lanes_at(i, columns);
    vf sum = vf_set(0), product = vf_set(0);
    for (size_t row = first; row < count; row += step) {
      const vf g = load_at(dy + row * length + i, lanes);
      sum += g;
      product = vf_fma(g * inverse_deviation[row], load_at(x + row * length + i, lanes) - mean[row],
                       product);
    }
    if (dweight) store_at(dweight + i, load_at(dweight + i, lanes) + product, lanes);
    if (dbias) store_at(dbias + i, load_at(dbias + i, lanes) + sum, lanes);
  }
}

/// dx += dy·t^−beta; returns dy·x·t^(−beta − 1).
LK_INLINE vf lrn_ratio(vf x, vf dy, vf t, float beta, vf *d) {
  const vf scaled = lrn_divide(dy, t, beta);
  *d += scaled;
  return scaled * x / t;
}

static void LK_NAME(lrn_gradient_columns)(const float *x, const float *dy, float *dx, float *ratios,
                                          size_t channels, size_t area, size_t columns,
                                          size_t before, size_t after, float alpha, float beta,
                                          float k) {
  for (size_t c = 0; c < channels; c++) {
    const size_t first = c > before ? c - before : 0;
    const size_t last = after < channels - 1 - c ? c + after : channels - 1;
    for (size_t i = 0; i < columns; i += LK_LANES) {
      const int lanes = lanes_at(i, columns);
      const size_t at = c * area + i;
      vf sum = vf_set(0);
      for (size_t r = first; r <= last; r++) {
        const vf v = load_at(x + r * area + i, lanes);
        sum = vf_fma(v, v, sum);
      }
      vf d = load_at(dx + at, lanes);
      const vf t = vf_fma(sum, vf_set(alpha), vf_set(k));
      const vf ratio = lrn_ratio(load_at(x + at, lanes), load_at(dy + at, lanes), t, beta, &d);
      store_at(dx + at, d, lanes);
      store_at(ratios + at, ratio, lanes);
    }
  }
  for (size_t c = 0; c < channels; c++) {
    const size_t first = c > after ? c - after : 0;
    const size_t last = before < channels - 1 - c ? c + before : channels - 1;
    for (size_t i = 0; i < columns; i += LK_LANES) {
      const int lanes = lanes_at(i, columns);
      const size_t at = c * area + i;
      vf sum = vf_set(0);
      for (size_t r = first; r <= last; r++) sum += load_at(ratios + r * area + i, lanes);
      const vf factor = load_at(x + at, lanes) * (-2 * alpha * beta);
      store_at(dx + at, vf_fma(factor, sum, load_at(dx + at, lanes)), lanes);
    }
  }
}

/// The sum over the window of one position, of squares or of numbers as they are.
LK_INLINE float lrn_window_sum(const float *x, bool squares, size_t row, size_t column,
                               size_t height, size_t width, size_t before, size_t after) {
  const size_t first = row > before ? row - before : 0;
  const size_t last = after < height - 1 - row ? row + after : height - 1;
  const size_t left = column > before ? column - before : 0;
  const size_t right = after < width - 1 - column ? column + after : width - 1;
  float sum = 0;
  for (size_t r = first; r <= last; r++)
    for (size_t i = left; i <= right; i++) {
      const float v = x[r * width + i];
      sum += squares ? v * v : v;
    }
  return sum;
}

static void LK_NAME(lrn_gradient_plane)(const float *x, const float *dy, float *dx, float *ratios,
                                        size_t height, size_t width, size_t before, size_t after,
                                        float alpha, float beta, float k) {
  for (size_t row = 0; row < height; row++) {
    const size_t start = row * width;
    for (size_t column = 0; column < width; column++)
      ratios[start + column] = lrn_window_sum(x, true, row, column, height, width, before, after);
    for (size_t i = start; i < start + width; i += LK_LANES) {
      const int lanes = lanes_at(i, start + width);
      vf d = load_at(dx + i, lanes);
      const vf t = vf_fma(load_at(ratios + i, lanes), vf_set(alpha), vf_set(k));
      const vf ratio = lrn_ratio(load_at(x + i, lanes), load_at(dy + i, lanes), t, beta, &d);
      store_at(dx + i, d, lanes);
      store_at(ratios + i, ratio, lanes);
    }
  }
  for (size_t row = 0; row < height; row++)
    for (size_t column = 0; column < width; column++) {
      const size_t at = row * width + column;
      dx[at] -= 2 * alpha * beta * x[at] *
                lrn_window_sum(ratios, false, row, column, height, width, after, before);
    }
}

static void LK_NAME(softmax_gradient_row)(bool logarithm, const float *y, const float *dy,
                                          float *dx, size_t n) {
  vf sums = vf_set(0);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf g = load_at(dy + i, lanes);
    sums += logarithm ? g : g * load_at(y + i, lanes);
  }
  const float sum = vf_sum(sums);
  for (size_t i = 0; i < n; i += LK_LANES) {
    const int lanes = lanes_at(i, n);
    const vf g = load_at(dy + i, lanes), v = load_at(y + i, lanes);
    const vf d = logarithm ? g - vf_exp(v) * sum : v * (g - sum);
    store_at(dx + i, load_at(dx + i, lanes) + d, lanes);
  }
}

static void LK_NAME(softmax_gradient_columns)(bool logarithm, const float *y, const float *dy,
                                              float *dx, size_t length, size_t inner,
                                              size_t columns) {
  for (size_t i = 0; i < columns; i += LK_LANES) {
    const int lanes = lanes_at(i, columns);
    vf sum = vf_set(0);
    for (size_t r = 0; r < length; r++) {
      const vf g = load_at(dy + r * inner + i, lanes);
      sum += logarithm ? g : g * load_at(y + r * inner + i, lanes);
    }
    for (size_t r = 0; r < length; r++) {
      const size_t at = r * inner + i;
      const vf g = load_at(dy + at, lanes), v = load_at(y + at, lanes);
      const vf d = logarithm ? g - vf_exp(v) * sum : v * (g - sum);
      store_at(dx + at, load_at(dx + at, lanes) + d, lanes);
    }
  }
}

const lk_normalization_variant LK_NAME(lk_normalization) = {
    .lanes = LK_LANES,
    .scale_shift = LK_NAME(scale_shift),
    .scale_shift_vector = LK_NAME(scale_shift_vector),
    .scale_shift_pixels = LK_NAME(scale_shift_pixels),
    .moments = LK_NAME(moments),
    .products = LK_NAME(products),
    .batch_norm = LK_NAME(batch_norm),
    .batch_norm_gradient = LK_NAME(batch_norm_gradient),
    .normalize_gradient_row = LK_NAME(normalize_gradient_row),
    .normalize_parameter_columns = LK_NAME(normalize_parameter_columns),
    .lrn_gradient_columns = LK_NAME(lrn_gradient_columns),
    .lrn_gradient_plane = LK_NAME(lrn_gradient_plane),
    .softmax_gradient_row = LK_NAME(softmax_gradient_row),
    .softmax_gradient_columns = LK_NAME(softmax_gradient_columns),
    .normalize_row = LK_NAME(normalize_row),
    .lrn_columns = LK_NAME(lrn_columns),
    .lrn_pixels = LK_NAME(lrn_pixels),
    .lrn_plane = LK_NAME(lrn_plane),
    .softmax_row = LK_NAME(softmax_row),
    .softmax_columns = LK_NAME(softmax_columns),
    .reduce_row = LK_NAME(reduce_row),
    .reduce_columns = LK_NAME(reduce_columns),
};
