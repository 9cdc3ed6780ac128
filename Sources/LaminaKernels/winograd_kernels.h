#include "winograd.h"

#if LK_LANES == 16
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LK_LANES == 8
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#endif
#define EVEN(a, b) __builtin_shufflevector(a, b, EVEN_LANES)
#define ODD(a, b) __builtin_shufflevector(a, b, ODD_LANES)
#define LOW(a, b) __builtin_shufflevector(a, b, LOW_HALVES)
#define HIGH(a, b) __builtin_shufflevector(a, b, HIGH_HALVES)

LK_INLINE vf load_padded(const float *from, ptrdiff_t width, ptrdiff_t at) {
  if (at >= 0 && at + LK_LANES <= width) return vf_load(from + at);
  const ptrdiff_t first = at < 0 ? -at : 0, end = width - at < LK_LANES ? width - at : LK_LANES;
  return first < end ? vf_load_lanes(from + at, (int)first, (int)end) : vf_set(0);
}

static void sort(const float *from, size_t width, size_t pad, size_t skip, float *to, size_t count,
                 size_t plane) {
  const ptrdiff_t w = (ptrdiff_t)width;
  ptrdiff_t at = (ptrdiff_t)skip - (ptrdiff_t)pad;
  for (size_t x = 0; x < count; x += LK_LANES, at += 4 * LK_LANES) {
    const vf a = load_padded(from, w, at), b = load_padded(from, w, at + LK_LANES);
    const vf c = load_padded(from, w, at + 2 * LK_LANES);
    const vf d = load_padded(from, w, at + 3 * LK_LANES);
    const vf even_ab = EVEN(a, b), even_cd = EVEN(c, d), odd_ab = ODD(a, b), odd_cd = ODD(c, d);
    vf_store(to + x, EVEN(even_ab, even_cd));
    vf_store(to + plane + x, EVEN(odd_ab, odd_cd));
    vf_store(to + 2 * plane + x, ODD(even_ab, even_cd));
    vf_store(to + 3 * plane + x, ODD(odd_ab, odd_cd));
  }
}

/// base[place[lane]], where places are below 2 · LK_LANES.
LK_INLINE vf pick(const float *base, const int32_t *place) {
#if defined(LK_TARGET_AVX512)
  return (vf)_mm512_permutex2var_ps((__m512)vf_load(base), _mm512_loadu_si512(place),
                                    (__m512)vf_load(base + LK_LANES));
#elif defined(LK_TARGET_AVX2)
  return (vf)_mm256_i32gather_ps(base, _mm256_loadu_si256((const __m256i_u *)place), 4);
#else
  vf v;
  for (int i = 0; i < LK_LANES; i++) v[i] = base[place[i]];
  return v;
#endif
}

/// Bᵀ d.
LK_INLINE void transform_in(const vf d[6], vf t[6]) {
  const float s = 0.70710678f;
  const vf even1 = d[4] - 2 * d[2], odd1 = s * (d[3] - 2 * d[1]);
  const vf even3 = d[4] - 0.5f * d[2], odd3 = s * (2 * d[3] - d[1]);
  t[0] = d[0] - 2.5f * d[2] + d[4];
  t[1] = even1 + odd1;
  t[2] = even1 - odd1;
  t[3] = even3 + odd3;
  t[4] = even3 - odd3;
  t[5] = d[1] - 2.5f * d[3] + d[5];
}

/// Aᵀ m.
LK_INLINE void transform_out(const vf m[6], vf y[4]) {
  const float s = 0.70710678f;
  const vf u = m[1] + m[2], v = s * (m[1] - m[2]), w = m[3] + m[4], z = s * (m[3] - m[4]);
  y[0] = m[0] + u + w;
  y[1] = v + 2 * z;
  y[2] = 0.5f * u + 2 * w;
  y[3] = 0.5f * v + 4 * z + m[5];
}

static void transform_input(const lk_tile_block *block, const float *sorted, float *to,
                            size_t position_stride) {
  for (size_t tile = 0; tile < block->count; tile += LK_LANES) {
    const float *base = sorted + block->vector_place[tile];
    vf columns[6][6];
    LK_UNROLL for (size_t j = 0; j < 6; j++) {
      vf d[6];
      LK_UNROLL for (size_t i = 0; i < 6; i++) d[i] =
          pick(base + (i % 4 * 4 + j % 4) * block->plane + i / 4 * block->pitch + j / 4,
               block->place + tile);
      transform_in(d, columns[j]);
    }
    LK_UNROLL for (size_t i = 0; i < 6; i++) {
      vf d[6], t[6];
      LK_UNROLL for (size_t j = 0; j < 6; j++) d[j] = columns[j][i];
      transform_in(d, t);
      LK_UNROLL for (size_t j = 0; j < 6; j++)
          vf_store(to + (i * 6 + j) * position_stride + tile, t[j]);
    }
  }
}

LK_INLINE vf finish(vf x, float bias, lk_activation activation) {
  x += vf_set(bias);
  if (activation.kind == LK_ACTIVATION_CLAMP)
    x = vf_min(vf_max(x, vf_set(activation.low)), vf_set(activation.high));
  else if (activation.kind == LK_ACTIVATION_LEAKY)
    x = vf_select(x < vf_set(0), x * vf_set(activation.slope), x);
  return x;
}

static void transform_output(const lk_tile_block *block, const float *products,
                             size_t position_stride, float bias, lk_activation activation,
                             const float *residual, float *output, size_t height, size_t width) {
  for (size_t tile = 0; tile < block->count; tile += LK_LANES) {
    vf columns[6][4];
    LK_UNROLL for (size_t j = 0; j < 6; j++) {
      vf m[6];
      LK_UNROLL for (size_t i = 0; i < 6; i++) m[i] =
          vf_load(products + (i * 6 + j) * position_stride + tile);
      transform_out(m, columns[j]);
    }
    float lines[4][4 * LK_LANES];
    LK_UNROLL for (size_t i = 0; i < 4; i++) {
      vf m[6], y[4];
      LK_UNROLL for (size_t j = 0; j < 6; j++) m[j] = columns[j][i];
      transform_out(m, y);
      const vf low02 = LOW(y[0], y[2]), high02 = HIGH(y[0], y[2]);
      const vf low13 = LOW(y[1], y[3]), high13 = HIGH(y[1], y[3]);
      vf_store(lines[i], LOW(low02, low13));
      vf_store(lines[i] + LK_LANES, HIGH(low02, low13));
      vf_store(lines[i] + 2 * LK_LANES, LOW(high02, high13));
      vf_store(lines[i] + 3 * LK_LANES, HIGH(high02, high13));
    }
    const size_t end = block->count - tile < LK_LANES ? block->count : tile + LK_LANES;
    for (size_t first = tile, next; first < end; first = next) {
      const size_t y = block->y[first], x = block->x[first];
      for (next = first + 1; next < end && block->y[next] == y;) next++;
      const size_t wanted = 4 * (next - first), room = width - x;
      const size_t count = wanted < room ? wanted : room;
      for (size_t i = 0; i < 4 && y + i < height; i++) {
        const float *line = lines[i] + 4 * (first - tile);
        const size_t at = (y + i) * width + x;
        size_t l = 0;
        for (; l + LK_LANES <= count; l += LK_LANES) {
          vf v = vf_load(line + l);
          if (residual) v += vf_load(residual + at + l);
          vf_store(output + at + l, finish(v, bias, activation));
        }
        if (l < count) {
          const int n = (int)(count - l);
          vf v = vf_load_first(line + l, n);
          if (residual) v += vf_load_first(residual + at + l, n);
          vf_store_first(output + at + l, finish(v, bias, activation), n);
        }
      }
    }
  }
}

const lk_winograd_kernels LK_NAME(lk_f32_winograd43_kernels) = {
    .sort = sort, .transform_input = transform_input, .transform_output = transform_output};
