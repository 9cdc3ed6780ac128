#include "planar_conv.h"

// What the registers hold beside one input vector and the gradients of all channels.
#if defined(LK_TARGET_AVX512) || defined(LK_TARGET_NEON)
#define RUNS 4
#define TAPS 4
#else
#define RUNS 2
#define TAPS 2
#endif

#define EACH_SUM                                                                                   \
  LK_UNROLL for (size_t o = 0; o < channels; o++) LK_UNROLL for (size_t r = 0; r < RUNS; r++)

LK_INLINE void planar_tile(const lk_planar_tile *t, size_t channels) {
  vf sum[LK_PLANAR_CHANNELS][RUNS];
  EACH_SUM sum[o][r] = vf_set(t->bias[o]);
  const float *weights = t->weights;
  for (size_t tap = 0; tap < t->tap_count; tap++, weights += channels) {
    const float *input = t->input + t->taps[tap];
    vf x[RUNS];
    LK_UNROLL for (size_t r = 0; r < RUNS; r++) x[r] = vf_load(input + t->from[r]);
    LK_UNROLL for (size_t o = 0; o < channels; o++) {
      const vf weight = vf_set(weights[o]);
      LK_UNROLL for (size_t r = 0; r < RUNS; r++) sum[o][r] = vf_fma(x[r], weight, sum[o][r]);
    }
  }
  if (t->activation.kind == LK_ACTIVATION_CLAMP) {
    const vf low = vf_set(t->activation.low), high = vf_set(t->activation.high);
    EACH_SUM sum[o][r] = vf_min(vf_max(sum[o][r], low), high);
  }
  LK_UNROLL for (size_t r = 0; r < RUNS; r++) {
    float *run = t->output + t->to[r];
    const int count = t->counts[r];
    LK_UNROLL for (size_t o = 0; o < channels; o++) {
      float *to = run + o * t->output_plane;
      if (count == LK_LANES)
        vf_store(to, sum[o][r]);
      else
        vf_store_first(to, sum[o][r], count);
    }
  }
}

LK_INLINE void planar_sums(const lk_planar_sums *s, size_t channels, size_t taps) {
  vf sum[LK_PLANAR_CHANNELS][TAPS];
  LK_UNROLL for (size_t o = 0; o < channels; o++) LK_UNROLL for (size_t j = 0; j < taps; j++)
      sum[o][j] = vf_load(s->sums + o * s->sums_channel + j * LK_LANES);
  for (size_t y = 0; y < s->rows; y++) {
    const float *input = s->input + y * s->input_row, *gradient = s->gradient + y * s->gradient_row;
    for (size_t v = 0; v < s->vectors; v++, input += LK_LANES, gradient += LK_LANES) {
      vf g[LK_PLANAR_CHANNELS];
      LK_UNROLL for (size_t o = 0; o < channels; o++) g[o] =
          vf_load(gradient + o * s->gradient_plane);
      LK_UNROLL for (size_t j = 0; j < taps; j++) {
        const vf x = vf_load(input + s->taps[j]);
        LK_UNROLL for (size_t o = 0; o < channels; o++) sum[o][j] = vf_fma(g[o], x, sum[o][j]);
      }
    }
  }
  LK_UNROLL for (size_t o = 0; o < channels; o++) LK_UNROLL for (size_t j = 0; j < taps; j++)
      vf_store(s->sums + o * s->sums_channel + j * LK_LANES, sum[o][j]);
}

static void planar_copy_rows(const float *from, size_t width, size_t rows, float *to,
                             size_t to_row) {
  for (size_t y = 0; y < rows; y++, from += width, to += to_row) {
    size_t x = 0;
    for (; x + LK_LANES <= width; x += LK_LANES) vf_store(to + x, vf_load(from + x));
    vf_store_first(to + x, vf_load_first(from + x, (int)(width - x)), (int)(width - x));
  }
}

static void planar_add(const float *x, size_t count, float *to) {
  for (size_t i = 0; i < count; i += LK_LANES) vf_store(to + i, vf_load(to + i) + vf_load(x + i));
}

static float planar_total(const float *x) { return vf_sum(vf_load(x)); }

static void planar_add_vectors(const float *x, size_t count, float *to) {
  vf sum[4] = {vf_load(to), vf_set(0), vf_set(0), vf_set(0)};
  size_t i = 0;
  for (; i + 4 <= count; i += 4)
    LK_UNROLL for (size_t k = 0; k < 4; k++) sum[k] += vf_load(x + (i + k) * LK_LANES);
  for (; i < count; i++) sum[0] += vf_load(x + i * LK_LANES);
  vf_store(to, (sum[0] + sum[1]) + (sum[2] + sum[3]));
}

#define PLANAR(n)                                                                                  \
  static void tile_##n(const lk_planar_tile *t) { planar_tile(t, n); }                             \
  static void sums_##n##x1(const lk_planar_sums *s) { planar_sums(s, n, 1); }                      \
  static void sums_##n##x2(const lk_planar_sums *s) { planar_sums(s, n, 2); }
#define PLANAR_WIDE(n)                                                                             \
  static void sums_##n##x3(const lk_planar_sums *s) { planar_sums(s, n, 3); }                      \
  static void sums_##n##x4(const lk_planar_sums *s) { planar_sums(s, n, 4); }
#define EACH_COUNT(f) f(1) f(2) f(3) f(4) f(5) f(6)
EACH_COUNT(PLANAR)
#if TAPS == 4
EACH_COUNT(PLANAR_WIDE)
#define SUMS(n) {sums_##n##x1, sums_##n##x2, sums_##n##x3, sums_##n##x4},
#else
#define SUMS(n) {sums_##n##x1, sums_##n##x2},
#endif

const lk_planar_kernels LK_NAME(lk_planar_kernels) = {
    .lanes = LK_LANES,
    .runs = RUNS,
    .taps = TAPS,
    .tile = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6},
    .sums = {EACH_COUNT(SUMS)},
    .copy_rows = planar_copy_rows,
    .add = planar_add,
    .total = planar_total,
    .add_vectors = planar_add_vectors,
};
