#include "depthwise.h"
#include "gemm.h"

#include <string.h>

typedef union packed_header {
  lk_isa isa;
  float padding[16];
} packed_header;

static lk_product make_product(const lk_conv2d *conv, const lk_gemm_kernels *kernels) {
  const size_t plane = conv->out_height * conv->out_width;
  const size_t rows = conv->out_channels / conv->groups;
  const size_t depth = conv->in_channels / conv->groups * conv->kernel_height * conv->kernel_width;
  return (lk_product){
      .kernels = kernels,
      .groups = conv->groups,
      .rows = rows,
      .columns = conv->batch * plane,
      .depth = depth,
      .packed_a_stride = rows * depth,
      .alpha = 1,
      .convolution = conv,
      .ldc = plane,
      .group_stride = rows * plane,
      .image_columns = plane,
      .image_stride = conv->out_channels * plane,
      .activation = conv->activation,
  };
}

const char *lk_f32_conv2d_algorithm(const lk_conv2d *conv) {
  return lk_is_depthwise(conv) ? "depthwise" : "gemm";
}

size_t lk_f32_conv2d_packed_bytes(const lk_conv2d *conv) {
  const lk_product p = make_product(conv, NULL);
  // The tail kernels read up to a vector behind the last panel.
  return sizeof(packed_header) + (p.groups * p.rows * p.depth + LK_MAX_LANES) * sizeof(float);
}

/// Panels of [tap][input channel][row].
static void pack_panels(const lk_conv2d *conv, const lk_product *p, const float *weight,
                        float *to) {
  const size_t taps = conv->kernel_height * conv->kernel_width, channels = p->depth / taps;
  const size_t panel_rows = lk_panel_rows(p->kernels, p->rows);
  for (size_t group = 0; group < p->groups; group++, weight += p->rows * p->depth)
    for (size_t row = 0; row < p->rows; row += panel_rows) {
      const size_t rows = lk_least(panel_rows, p->rows - row);
      const float *from = weight + row * p->depth;
      if (taps == 1) {
        p->kernels->pack_columns(from, p->depth, rows, p->depth, 1, to, rows);
        to += rows * p->depth;
        continue;
      }
      for (size_t tap = 0; tap < taps; tap++)
        for (size_t channel = 0; channel < channels; channel++)
          for (size_t r = 0; r < rows; r++) *to++ = from[r * p->depth + channel * taps + tap];
    }
}

void lk_f32_conv2d_pack(const lk_conv2d *conv, const float *weight, void *packed) {
  packed_header *header = packed;
  header->isa = lk_active_isa();
  const lk_product product = make_product(conv, lk_gemm_kernels_for(header->isa));
  if (lk_is_depthwise(conv)) {
    memcpy(header + 1, weight, product.groups * product.rows * product.depth * sizeof(float));
    return;
  }
  pack_panels(conv, &product, weight, (float *)(header + 1));
}

static void pack_patches(const lk_product *p, size_t group, size_t k_first, size_t k, size_t first,
                         size_t count, float *to, size_t width) {
  const lk_conv2d *conv = p->convolution;
  const size_t plane = conv->in_height * conv->in_width;
  const size_t channels = conv->in_channels / conv->groups;
  const ptrdiff_t stride = (ptrdiff_t)conv->stride_width, in_width = (ptrdiff_t)conv->in_width;
  size_t lane = 0;
  while (lane < count) {
    const size_t image = (first + lane) / p->image_columns;
    const size_t pixel = (first + lane) % p->image_columns;
    const size_t y = pixel / conv->out_width, x = pixel % conv->out_width;
    const size_t length = lk_least(conv->out_width - x, count - lane);
    const float *base = p->b + (image * conv->in_channels + group * channels) * plane;
    size_t tap = k_first / channels, channel = k_first % channels;
    size_t tap_y = tap / conv->kernel_width, tap_x = tap % conv->kernel_width;
    float *line = to + lane;
    for (size_t left = k; left > 0;) {
      const size_t n = lk_least(channels - channel, left);
      const ptrdiff_t in_y = (ptrdiff_t)(y * conv->stride_height + tap_y * conv->dilation_height) -
                             (ptrdiff_t)conv->pad_top;
      const ptrdiff_t in_x = (ptrdiff_t)(x * conv->stride_width + tap_x * conv->dilation_width) -
                             (ptrdiff_t)conv->pad_left;
      lk_patch_run run = {.stride = stride, .count = length, .from = base};
      if (in_y >= 0 && in_y < (ptrdiff_t)conv->in_height && in_x < in_width) {
        run.first = in_x >= 0 ? 0 : (size_t)((stride - 1 - in_x) / stride);
        run.end = lk_least((size_t)((in_width - 1 - in_x) / stride) + 1, length);
        run.from += (ptrdiff_t)(channel * plane) + in_y * in_width + in_x;
      }
      p->kernels->pack_run(&run, plane, n, line, width);
      line += n * width;
      left -= n;
      channel = 0;
      if (++tap_x == conv->kernel_width) tap_x = 0, tap_y++;
    }
    lane += length;
  }
  if (count < width)
    for (size_t i = 0; i < k; i++)
      for (size_t j = count; j < width; j++) to[i * width + j] = 0;
}

/// A convolution that reads pixel j for output pixel j, as one row of pixels.
static bool is_pointwise(const lk_conv2d *conv) {
  return conv->kernel_height == 1 && conv->kernel_width == 1 && conv->stride_height == 1 &&
         conv->stride_width == 1 && conv->pad_top == 0 && conv->pad_left == 0 &&
         conv->in_height == conv->out_height && conv->in_width == conv->out_width;
}

size_t lk_f32_conv2d_scratch_bytes(const lk_conv2d *conv, int threads) {
  if (lk_is_depthwise(conv)) return lk_f32_depthwise_scratch_bytes(conv, threads);
  const lk_product p = make_product(conv, NULL);
  return lk_product_scratch_bytes(p.rows, p.columns, p.depth, threads);
}

void lk_f32_conv2d(lk_pool *pool, const lk_conv2d *conv, const float *input, const void *packed,
                   const float *bias, const float *residual, float *output, void *scratch) {
  const packed_header *header = packed;
  if (lk_is_depthwise(conv)) {
    lk_f32_depthwise(pool, header->isa, conv, input, (const float *)(header + 1), bias, residual,
                     output, scratch);
    return;
  }
  lk_conv2d flat = *conv;
  if (is_pointwise(conv)) {
    flat.in_width = flat.out_width = conv->out_height * conv->out_width;
    flat.in_height = flat.out_height = 1;
  }
  lk_product product = make_product(&flat, lk_gemm_kernels_for(header->isa));
  product.packed_a = (const float *)(header + 1);
  product.pack_b = pack_patches;
  product.b = input;
  product.c = output;
  product.row_bias = bias;
  product.residual = residual;
  lk_run_product(pool, &product, scratch);
}
