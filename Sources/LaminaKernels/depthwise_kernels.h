#include "depthwise.h"

enum { BLOCK = 4 };

#define EACH_SUM                                                                                   \
  LK_UNROLL for (int r = 0; r < rows; r++) LK_UNROLL for (int v = 0; v < vectors; v++)

LK_INLINE void finish(const lk_depthwise_rows *d, vf x, size_t at, int n) {
  const float *residual = d->residual ? d->residual + at : NULL;
  if (residual) x += n == LK_LANES ? vf_load(residual) : vf_load_first(residual, n);
  if (d->activation.kind == LK_ACTIVATION_CLAMP)
    x = vf_min(vf_max(x, vf_set(d->activation.low)), vf_set(d->activation.high));
  else if (d->activation.kind == LK_ACTIVATION_LEAKY)
    x = vf_select(x < vf_set(0), x * vf_set(d->activation.slope), x);
  if (n == LK_LANES)
    vf_store(d->output + at, x);
  else
    vf_store_first(d->output + at, x, n);
}

LK_INLINE void finish_block(const int rows, const int vectors, vf (*sum)[2],
                            const lk_depthwise_rows *d, size_t y, size_t x) {
  EACH_SUM {
    const size_t left = d->width - x - v * LK_LANES;
    finish(d, sum[r][v], (y + r) * d->width + x + v * LK_LANES,
           left < LK_LANES ? (int)left : LK_LANES);
  }
}

/// `rows` rows of `vectors` vectors, of which the last may be partial. A row of the strip is loaded
/// once for all outputs that read it. Every output is summed by columns of taps, whatever the
/// block.
LK_INLINE void convolve_block(const int rows, const int vectors, const int kernel, const int stride,
                              const lk_depthwise_rows *d, size_t y, size_t x) {
  vf sum[BLOCK][2];
  EACH_SUM sum[r][v] = vf_set(d->bias);
  const float *from = d->strip + y * (size_t)stride * d->line + x;
  for (int u = 0; u < kernel; u++) {
    const float *line = from + d->column_offsets[u];
    LK_UNROLL for (int i = 0; i < (rows - 1) * stride + kernel; i++, line += d->line) {
      vf in[2];
      LK_UNROLL for (int v = 0; v < vectors; v++) in[v] = vf_load(line + v * LK_LANES);
      EACH_SUM {
        const int tap = i - r * stride;
        if (tap >= 0 && tap < kernel)
          sum[r][v] = vf_fma(vf_set(d->weight[tap * kernel + u]), in[v], sum[r][v]);
      }
    }
  }
  finish_block(rows, vectors, sum, d, y, x);
}

LK_INLINE void convolve_any(const int rows, const int vectors, const lk_depthwise_rows *d, size_t y,
                            size_t x) {
  vf sum[BLOCK][2];
  EACH_SUM sum[r][v] = vf_set(d->bias);
  const float *from = d->strip + y * d->stride * d->line + x;
  for (size_t u = 0; u < d->kernel_width; u++)
    for (size_t t = 0; t < d->kernel_height; t++) {
      const vf weight = vf_set(d->weight[t * d->kernel_width + u]);
      const float *tap = from + d->column_offsets[u] + t * d->dilation * d->line;
      EACH_SUM sum[r][v] =
          vf_fma(weight, vf_load(tap + r * d->stride * d->line + v * LK_LANES), sum[r][v]);
    }
  finish_block(rows, vectors, sum, d, y, x);
}

LK_INLINE void convolve_columns(const int vectors, const int kernel, const int stride,
                                const lk_depthwise_rows *d, size_t x) {
  size_t y = 0;
  for (; y + BLOCK <= d->rows; y += BLOCK)
    if (kernel)
      convolve_block(BLOCK, vectors, kernel, stride, d, y, x);
    else
      convolve_any(BLOCK, vectors, d, y, x);
  for (; y < d->rows; y++)
    if (kernel)
      convolve_block(1, vectors, kernel, stride, d, y, x);
    else
      convolve_any(1, vectors, d, y, x);
}

LK_INLINE void convolve_rows(const int kernel, const int stride, const lk_depthwise_rows *d) {
  size_t x = 0;
  for (; x + LK_LANES < d->width; x += 2 * LK_LANES) convolve_columns(2, kernel, stride, d, x);
  if (x < d->width) convolve_columns(1, kernel, stride, d, x);
}

static void rows(const lk_depthwise_rows *d) {
  const bool square = d->kernel_height == d->kernel_width && d->dilation == 1;
  const size_t kernel = square ? d->kernel_height : 0;
  if (kernel == 3 && d->stride == 1)
    convolve_rows(3, 1, d);
  else if (kernel == 3 && d->stride == 2)
    convolve_rows(3, 2, d);
  else if (kernel == 5 && d->stride == 1)
    convolve_rows(5, 1, d);
  else if (kernel == 5 && d->stride == 2)
    convolve_rows(5, 2, d);
  else
    convolve_rows(0, 0, d);
}

#if LK_LANES == 16
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif LK_LANES == 8
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15
#else
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#endif

/// padded[at ..< at + lanes] of `fill`.
LK_INLINE vf load_padded(const float *from, ptrdiff_t width, ptrdiff_t at) {
  if (at >= 0 && at + LK_LANES <= width) return vf_load(from + at);
  const ptrdiff_t first = at < 0 ? -at : 0, end = width - at < LK_LANES ? width - at : LK_LANES;
  return first < end ? vf_load_lanes(from + at, (int)first, (int)end) : vf_set(0);
}

static void fill(const float *from, size_t width, size_t pad, size_t stride, float *to,
                 size_t count, size_t phase_width) {
  const ptrdiff_t w = (ptrdiff_t)width;
  ptrdiff_t at = -(ptrdiff_t)pad;
  if (stride == 1) {
    for (size_t x = 0; x < count; x += LK_LANES, at += LK_LANES)
      vf_store(to + x, load_padded(from, w, at));
  } else if (stride == 2) {
    for (size_t x = 0; x < count; x += LK_LANES, at += 2 * LK_LANES) {
      const vf a = load_padded(from, w, at), b = load_padded(from, w, at + LK_LANES);
      vf_store(to + x, __builtin_shufflevector(a, b, EVEN_LANES));
      vf_store(to + phase_width + x, __builtin_shufflevector(a, b, ODD_LANES));
    }
  } else {
    for (size_t x = 0; x < count; x++)
      for (size_t p = 0; p < stride; p++, at++)
        to[p * phase_width + x] = at >= 0 && at < w ? from[at] : 0;
  }
}

const lk_depthwise_kernels LK_NAME(lk_f32_depthwise_kernels) = {.rows = rows, .fill = fill};
