#include "normalization.h"
#include "sizes.h"

#include <math.h>

#include "map_halo.h"

static const lk_normalization_variant *variant(void) {
  switch (lk_active_isa()) {
#if defined(__x86_64__)
  case LK_ISA_AVX512:
    return &lk_normalization_avx512;
  case LK_ISA_AVX2:
    return &lk_normalization_avx2;
#elif defined(__aarch64__)
  case LK_ISA_NEON:
    return &lk_normalization_neon;
#endif
  default:
    return &lk_normalization_scalar;
  }
}

/// Elements per task: fixed, so that results do not depend on the number of threads.
enum { CHUNK = 32768 };

/// A loop over units of work of `unit` elements each, several to a task, or over pieces of
/// LK_COLUMNS columns of each unit.
typedef struct call {
  const lk_normalization_variant *variant;
  void (*body)(const struct call *call, size_t unit);
  size_t units, units_per_task;
  const float *x;
  float *y;
  size_t length, inner, pieces;
  const float *scale, *shift;
  const lk_rows *rows;
  float *mean, *inverse_deviation;
  size_t before, after, height;
  float alpha, beta, k;
  bool logarithm;
  lk_reduction op;
  const lk_blocked_maps *maps;
  const float *dy, *dmean, *dinverse_deviation;
  float *dx, *dweight, *dbias;
} call;

static void call_task(void *context, size_t task) {
  const call *c = context;
  const size_t first = task * c->units_per_task;
  const size_t end = lk_least(first + c->units_per_task, c->units);
  for (size_t unit = first; unit < end; unit++) c->body(c, unit);
}

static void run(lk_pool *pool, call *c, size_t units, size_t unit_elements) {
  c->variant = variant();
  c->units = units;
  c->units_per_task = unit_elements < CHUNK ? CHUNK / (unit_elements ? unit_elements : 1) : 1;
  lk_parallel_for(pool, lk_ceil_div(units, c->units_per_task), call_task, c);
}

/// The columns of [outer, length, inner] in pieces.
static void run_columns(lk_pool *pool, call *c, size_t outer) {
  c->pieces = lk_ceil_div(c->inner, LK_COLUMNS);
  run(pool, c, outer * c->pieces, c->length * lk_least(c->inner, LK_COLUMNS));
}

static size_t piece_start(const call *c, size_t unit) { return unit % c->pieces * LK_COLUMNS; }
static size_t piece_columns(const call *c, size_t unit) {
  return lk_least(LK_COLUMNS, c->inner - piece_start(c, unit));
}
static size_t piece_offset(const call *c, size_t unit) {
  return unit / c->pieces * c->length * c->inner + piece_start(c, unit);
}

// ------------------------------------------------------------------------------------------------

static void scale_shift_plane(const call *c, size_t plane) {
  const size_t channel = plane % c->length, start = plane * c->inner;
  c->variant->scale_shift(c->x + start, c->scale[channel], c->shift[channel], c->y + start,
                          c->inner);
}

static void scale_shift_vector(const call *c, size_t row) {
  c->variant->scale_shift_vector(c->x + row * c->length, c->scale, c->shift, c->y + row * c->length,
                                 c->length);
}

void lk_f32_scale_shift(lk_pool *pool, const float *x, const float *scale, const float *shift,
                        float *y, size_t batch, size_t channels, size_t area) {
  call c = {.x = x, .y = y, .scale = scale, .shift = shift, .length = channels, .inner = area};
  c.body = area == 1 ? scale_shift_vector : scale_shift_plane;
  run(pool, &c, area == 1 ? batch : batch * channels, area == 1 ? channels : area);
}

/// A row of pixels of one block of one image.
typedef struct block_row {
  size_t block, row;
  const float *x;
  float *y;
} block_row;

/// Row `unit` of all blocks of all images; clears the halo beside it.
static block_row row_of(const call *c, size_t unit) {
  const lk_blocked_maps *m = c->maps;
  const size_t lanes = c->variant->lanes, map = unit / m->height;
  const size_t in_row = (m->width + 2 * m->in_halo) * lanes;
  const size_t out_row = (m->width + 2 * m->out_halo) * lanes;
  block_row at = {.block = map / m->batch, .row = unit % m->height};
  at.x = c->x + (map * (m->height + 2 * m->in_halo) + at.row + m->in_halo) * in_row +
         m->in_halo * lanes;
  at.y = lk_zero_halo(c->y + map * (m->height + 2 * m->out_halo) * out_row, at.row, m->height,
                      m->width, lanes, m->out_halo);
  return at;
}

/// All rows of all blocks.
static void run_blocked(lk_pool *pool, call *c) {
  const lk_blocked_maps *m = c->maps;
  const size_t lanes = variant()->lanes, blocks = lk_ceil_div(m->channels, lanes);
  run(pool, c, blocks * m->batch * m->height, m->width * lanes);
}

static void scale_shift_blocked(const call *c, size_t unit) {
  const block_row at = row_of(c, unit);
  const size_t first = at.block * c->variant->lanes;
  c->variant->scale_shift_pixels(at.x, c->scale + first, c->shift + first, at.y, c->maps->width);
}

void lk_f32_scale_shift_blocked(lk_pool *pool, const lk_blocked_maps *maps, const float *x,
                                const float *scale, const float *shift, float *y) {
  call c = {
      .body = scale_shift_blocked, .maps = maps, .x = x, .y = y, .scale = scale, .shift = shift};
  run_blocked(pool, &c);
}

static void normalize_row(const call *c, size_t row) {
  const size_t start = row * c->rows->channels * c->rows->area;
  const size_t first = row % c->rows->groups * c->rows->channels;
  c->variant->normalize_row(c->rows, c->alpha, c->x + start, c->scale ? c->scale + first : NULL,
                            c->shift ? c->shift + first : NULL, c->y + start,
                            c->mean ? c->mean + row : NULL,
                            c->inverse_deviation ? c->inverse_deviation + row : NULL);
}

void lk_f32_normalize(lk_pool *pool, const lk_rows *rows, float epsilon, const float *x,
                      const float *weight, const float *bias, float *y, float *mean,
                      float *inverse_deviation) {
  call c = {.body = normalize_row,
            .rows = rows,
            .alpha = epsilon,
            .x = x,
            .scale = weight,
            .shift = bias,
            .y = y,
            .mean = mean,
            .inverse_deviation = inverse_deviation};
  run(pool, &c, rows->count, rows->channels * rows->area);
}

static void normalize_gradient_row(const call *c, size_t row) {
  const size_t start = row * c->rows->channels * c->rows->area;
  const size_t first = row % c->rows->groups * c->rows->channels;
  c->variant->normalize_gradient_row(
      c->rows, c->x + start, c->scale ? c->scale + first : NULL, c->mean[row],
      c->inverse_deviation[row], c->dy ? c->dy + start : NULL, c->dmean ? c->dmean[row] : 0,
      c->dinverse_deviation ? c->dinverse_deviation[row] : 0, c->dx + start);
}

void lk_f32_normalize_gradient(lk_pool *pool, const lk_rows *rows, const float *x,
                               const float *weight, const float *mean,
                               const float *inverse_deviation, const float *dy, const float *dmean,
                               const float *dinverse_deviation, float *dx) {
  call c = {.body = normalize_gradient_row,
            .rows = rows,
            .x = x,
            .scale = weight,
            .mean = (float *)mean,
            .inverse_deviation = (float *)inverse_deviation,
            .dy = dy,
            .dmean = dmean,
            .dinverse_deviation = dinverse_deviation,
            .dx = dx};
  run(pool, &c, rows->count, rows->channels * rows->area);
}

/// A piece of the columns of one group, over all its rows.
static void normalize_parameter_columns(const call *c, size_t unit) {
  const size_t group = unit / c->pieces, start = piece_start(c, unit);
  const size_t first = group * c->rows->channels + start;
  c->variant->normalize_parameter_columns(
      c->x + start, c->dy + start, c->mean, c->inverse_deviation, group, c->rows->groups,
      c->rows->count, c->inner, piece_columns(c, unit), c->dweight ? c->dweight + first : NULL,
      c->dbias ? c->dbias + first : NULL);
}

/// One channel with its area, over all rows of its group.
static void normalize_parameter_channel(const call *c, size_t channel) {
  const lk_rows *r = c->rows;
  double sum = 0, product = 0;
  for (size_t row = channel / r->channels; row < r->count; row += r->groups) {
    const size_t start = (row * r->channels + channel % r->channels) * r->area;
    const lk_norm_rows span = {.x = c->x + start,
                               .dy = c->dy + start,
                               .rows = 1,
                               .width = r->area,
                               .mean = &c->mean[row],
                               .low = -INFINITY,
                               .high = INFINITY};
    float sums, products;
    c->variant->products(&span, false, &sums, &products);
    sum += (double)sums;
    product += (double)products * (double)c->inverse_deviation[row];
  }
  if (c->dweight) c->dweight[channel] += (float)product;
  if (c->dbias) c->dbias[channel] += (float)sum;
}

void lk_f32_normalize_parameter_gradients(lk_pool *pool, const lk_rows *rows, const float *x,
                                          const float *mean, const float *inverse_deviation,
                                          const float *dy, float *dweight, float *dbias) {
  call c = {.rows = rows,
            .x = x,
            .mean = (float *)mean,
            .inverse_deviation = (float *)inverse_deviation,
            .dy = dy,
            .dweight = dweight,
            .dbias = dbias,
            .length = rows->count,
            .inner = rows->channels};
  if (rows->channels == 0) return;
  if (rows->area == 1) {
    c.body = normalize_parameter_columns;
    run_columns(pool, &c, rows->groups);
  } else {
    c.body = normalize_parameter_channel;
    run(pool, &c, rows->groups * rows->channels, rows->count / rows->groups * rows->area);
  }
}

static void lrn_columns(const call *c, size_t unit) {
  const size_t start = piece_offset(c, unit);
  c->variant->lrn_columns(c->x + start, c->y + start, c->length, c->inner, piece_columns(c, unit),
                          c->before, c->after, c->alpha, c->beta, c->k);
}

void lk_f32_lrn(lk_pool *pool, const float *x, float *y, size_t batch, size_t channels, size_t area,
                size_t before, size_t after, float alpha, float beta, float k) {
  call c = {.body = lrn_columns,
            .x = x,
            .y = y,
            .length = channels,
            .inner = area,
            .before = before,
            .after = after,
            .alpha = alpha,
            .beta = beta,
            .k = k};
  if (channels && area) run_columns(pool, &c, batch);
}

static void lrn_gradient_columns(const call *c, size_t unit) {
  const size_t start = piece_offset(c, unit);
  c->variant->lrn_gradient_columns(c->x + start, c->dy + start, c->dx + start, c->y + start,
                                   c->length, c->inner, piece_columns(c, unit), c->before, c->after,
                                   c->alpha, c->beta, c->k);
}

void lk_f32_lrn_gradient(lk_pool *pool, const float *x, const float *dy, float *dx, size_t batch,
                         size_t channels, size_t area, size_t before, size_t after, float alpha,
                         float beta, float k, float *scratch) {
  call c = {.body = lrn_gradient_columns,
            .x = x,
            .dy = dy,
            .dx = dx,
            .y = scratch,
            .length = channels,
            .inner = area,
            .before = before,
            .after = after,
            .alpha = alpha,
            .beta = beta,
            .k = k};
  if (channels && area) run_columns(pool, &c, batch);
}

static void lrn_blocked(const call *c, size_t unit) {
  const lk_blocked_maps *m = c->maps;
  const block_row at = row_of(c, unit);
  const size_t lanes = c->variant->lanes, first = at.block * lanes;
  const size_t block =
      m->batch * (m->height + 2 * m->in_halo) * (m->width + 2 * m->in_halo) * lanes;
  const lk_lrn_row row = {.x = at.x,
                          .below = at.block > 0 ? at.x - block : NULL,
                          .above = first + lanes < m->channels ? at.x + block : NULL,
                          .y = at.y,
                          .channels = lk_least(lanes, m->channels - first),
                          .width = m->width};
  c->variant->lrn_pixels(&row, c->before, c->after, c->alpha, c->beta, c->k);
}

void lk_f32_lrn_blocked(lk_pool *pool, const lk_blocked_maps *maps, const float *x, float *y,
                        size_t before, size_t after, float alpha, float beta, float k) {
  call c = {.body = lrn_blocked,
            .maps = maps,
            .x = x,
            .y = y,
            .before = before,
            .after = after,
            .alpha = alpha,
            .beta = beta,
            .k = k};
  run_blocked(pool, &c);
}

static void lrn_plane(const call *c, size_t plane) {
  const size_t start = plane * c->length;
  c->variant->lrn_plane(c->x + start, c->y + start, c->height, c->length / c->height, c->before,
                        c->after, c->alpha, c->beta, c->k);
}

void lk_f32_lrn_within(lk_pool *pool, const float *x, float *y, size_t planes, size_t height,
                       size_t width, size_t before, size_t after, float alpha, float beta,
                       float k) {
  call c = {.body = lrn_plane,
            .x = x,
            .y = y,
            .length = height * width,
            .height = height,
            .before = before,
            .after = after,
            .alpha = alpha,
            .beta = beta,
            .k = k};
  if (height && width) run(pool, &c, planes, height * width);
}

static void lrn_gradient_plane(const call *c, size_t plane) {
  const size_t start = plane * c->length;
  c->variant->lrn_gradient_plane(c->x + start, c->dy + start, c->dx + start, c->y + start,
                                 c->height, c->length / c->height, c->before, c->after, c->alpha,
                                 c->beta, c->k);
}

void lk_f32_lrn_within_gradient(lk_pool *pool, const float *x, const float *dy, float *dx,
                                size_t planes, size_t height, size_t width, size_t before,
                                size_t after, float alpha, float beta, float k, float *scratch) {
  call c = {.body = lrn_gradient_plane,
            .x = x,
            .dy = dy,
            .dx = dx,
            .y = scratch,
            .length = height * width,
            .height = height,
            .before = before,
            .after = after,
            .alpha = alpha,
            .beta = beta,
            .k = k};
  if (height && width) run(pool, &c, planes, height * width);
}

static void softmax_row(const call *c, size_t row) {
  const size_t start = row * c->length;
  c->variant->softmax_row(c->logarithm, c->x + start, c->y + start, c->length);
}

static void softmax_columns(const call *c, size_t unit) {
  const size_t start = piece_offset(c, unit);
  c->variant->softmax_columns(c->logarithm, c->x + start, c->y + start, c->length, c->inner,
                              piece_columns(c, unit));
}

void lk_f32_softmax(lk_pool *pool, bool logarithm, const float *x, float *y, size_t outer,
                    size_t length, size_t inner) {
  call c = {.x = x, .y = y, .length = length, .inner = inner, .logarithm = logarithm};
  if (length == 0 || inner == 0) return;
  c.body = inner == 1 ? softmax_row : softmax_columns;
  if (inner == 1)
    run(pool, &c, outer, length);
  else
    run_columns(pool, &c, outer);
}

static void softmax_gradient_row(const call *c, size_t row) {
  const size_t start = row * c->length;
  c->variant->softmax_gradient_row(c->logarithm, c->x + start, c->dy + start, c->dx + start,
                                   c->length);
}

static void softmax_gradient_columns(const call *c, size_t unit) {
  const size_t start = piece_offset(c, unit);
  c->variant->softmax_gradient_columns(c->logarithm, c->x + start, c->dy + start, c->dx + start,
                                       c->length, c->inner, piece_columns(c, unit));
}

void lk_f32_softmax_gradient(lk_pool *pool, bool logarithm, const float *y, const float *dy,
                             float *dx, size_t outer, size_t length, size_t inner) {
  call c = {.x = y, .dy = dy, .dx = dx, .length = length, .inner = inner, .logarithm = logarithm};
  if (length == 0 || inner == 0) return;
  c.body = inner == 1 ? softmax_gradient_row : softmax_gradient_columns;
  if (inner == 1)
    run(pool, &c, outer, length);
  else
    run_columns(pool, &c, outer);
}

static void reduce_row(const call *c, size_t row) {
  c->y[row] = c->k * c->variant->reduce_row(c->op, c->x + row * c->length, c->length);
}

static void reduce_columns(const call *c, size_t unit) {
  c->variant->reduce_columns(c->op, c->k, c->x + piece_offset(c, unit),
                             c->y + unit / c->pieces * c->inner + piece_start(c, unit), c->length,
                             c->inner, piece_columns(c, unit));
}

void lk_f32_reduce(lk_pool *pool, lk_reduction op, float scale, const float *x, float *y,
                   size_t outer, size_t length, size_t inner) {
  call c = {.op = op, .k = scale, .x = x, .y = y, .length = length, .inner = inner};
  if (inner == 0) return;
  c.body = inner == 1 ? reduce_row : reduce_columns;
  if (inner == 1)
    run(pool, &c, outer, length);
  else
    run_columns(pool, &c, outer);
}

// ------------------------------------------------------------------------------------------------
// Batch normalisation while training

/// A loop over the maps of channels, or of blocks of channels: map m belongs to table entry m /
/// batch of a block, m mod channels of a plain tensor.
typedef struct channel_call {
  const lk_normalization_variant *variant;
  const lk_channel_maps *maps;
  const lk_batch_norm *norm;
  size_t lanes, count, per_task;
  const float *x, *dy, *mean, *a, *b, *c;
  float *y, *dx, *first, *second;
  bool adds;
  void (*body)(const struct channel_call *call, size_t map);
} channel_call;

static size_t blocks_of(const lk_channel_maps *m, size_t lanes) {
  return m->is_blocked ? lk_ceil_div(m->maps.channels, lanes) : m->maps.channels;
}

size_t lk_padded_channels(const lk_channel_maps *maps) {
  const size_t lanes = variant()->lanes;
  return lk_ceil_div(maps->maps.channels, lanes) * lanes;
}

size_t lk_channel_sums_scratch_floats(const lk_channel_maps *maps) {
  return 2 * lk_padded_channels(maps) * maps->maps.batch;
}

static void channel_task(void *context, size_t task) {
  const channel_call *call = context;
  const size_t end = lk_least((task + 1) * call->per_task, call->count);
  for (size_t map = task * call->per_task; map < end; map++) call->body(call, map);
}

static void run_maps(lk_pool *pool, channel_call *call) {
  const lk_blocked_maps *m = &call->maps->maps;
  call->variant = variant();
  call->lanes = call->maps->is_blocked ? call->variant->lanes : 1;
  call->count = blocks_of(call->maps, call->lanes) * m->batch;
  const size_t elements = m->height * m->width * call->lanes;
  call->per_task = elements < CHUNK ? CHUNK / (elements ? elements : 1) : 1;
  lk_parallel_for(pool, lk_ceil_div(call->count, call->per_task), channel_task, call);
}

/// The first channel of a map.
static size_t channel_of(const channel_call *call, size_t map) {
  return call->maps->is_blocked ? map / call->maps->maps.batch * call->lanes
                                : map % call->maps->maps.channels;
}

/// Where a map's memory starts, halo included, and how long its rows are.
static size_t map_start(const channel_call *call, size_t map, size_t halo, size_t *row) {
  const lk_blocked_maps *m = &call->maps->maps;
  *row = (m->width + 2 * halo) * call->lanes;
  return map * (m->height + 2 * halo) * *row;
}

/// The rows of a map; those of x have one halo, those of dy the other.
static lk_norm_rows rows_of(const channel_call *call, size_t map) {
  const lk_blocked_maps *m = &call->maps->maps;
  const size_t channel = channel_of(call, map);
  lk_norm_rows rows = {
      .rows = m->height, .width = m->width, .low = -INFINITY, .high = INFINITY, .mean = NULL};
  const size_t x = map_start(call, map, m->in_halo, &rows.x_row);
  rows.x = call->x + x + m->in_halo * (rows.x_row + call->lanes);
  if (call->dy) {
    const size_t dy = map_start(call, map, m->out_halo, &rows.dy_row);
    rows.dy = call->dy + dy + m->out_halo * (rows.dy_row + call->lanes);
  }
  if (call->mean) rows.mean = call->mean + channel;
  if (call->norm) {
    rows.scale = call->norm->scale + channel;
    rows.shift = call->norm->shift + channel;
    rows.low = call->norm->low;
    rows.high = call->norm->high;
  }
  return rows;
}

static void moments_of_map(const channel_call *call, size_t map) {
  const lk_norm_rows rows = rows_of(call, map);
  call->variant->moments(&rows, call->maps->is_blocked, call->first + map * call->lanes,
                         call->second + map * call->lanes);
}

static void products_of_map(const channel_call *call, size_t map) {
  const lk_norm_rows rows = rows_of(call, map);
  call->variant->products(&rows, call->maps->is_blocked, call->first + map * call->lanes,
                          call->second + map * call->lanes);
}

/// The sums of a channel over all its maps.
static void merge(const channel_call *call, size_t channel, double *first, double *second) {
  const lk_blocked_maps *m = &call->maps->maps;
  *first = *second = 0;
  for (size_t image = 0; image < m->batch; image++) {
    const size_t at =
        call->maps->is_blocked
            ? (channel / call->lanes * m->batch + image) * call->lanes + channel % call->lanes
            : image * m->channels + channel;
    *first += (double)call->first[at];
    *second += (double)call->second[at];
  }
}

void lk_f32_channel_moments(lk_pool *pool, const lk_channel_maps *maps, const float *x, float *mean,
                            float *variance, float *scratch) {
  const size_t padded = lk_padded_channels(maps), batch = maps->maps.batch;
  const double count = (double)batch * (double)maps->maps.height * (double)maps->maps.width;
  channel_call call = {.maps = maps,
                       .x = x,
                       .mean = mean,
                       .first = scratch,
                       .second = scratch + padded * batch,
                       .body = moments_of_map};
  memset(mean, 0, padded * sizeof *mean);
  memset(variance, 0, padded * sizeof *variance);
  if (count == 0) return;
  // The first number of each channel.
  call.lanes = maps->is_blocked ? variant()->lanes : 1;
  for (size_t channel = 0; channel < maps->maps.channels; channel++) {
    const size_t map = maps->is_blocked ? channel / call.lanes * batch : channel;
    mean[channel] = rows_of(&call, map).x[channel % call.lanes];
  }
  run_maps(pool, &call);
  for (size_t channel = 0; channel < maps->maps.channels; channel++) {
    double sum, squares;
    merge(&call, channel, &sum, &squares);
    const double offset = sum / count, spread = squares / count - offset * offset;
    mean[channel] = (float)((double)mean[channel] + offset);
    variance[channel] = spread < 0 ? 0 : (float)spread;
  }
}

void lk_f32_channel_products(lk_pool *pool, const lk_channel_maps *maps, const lk_batch_norm *norm,
                             const float *x, const float *mean, const float *dy, float *sums,
                             float *products, float *scratch) {
  const size_t padded = lk_padded_channels(maps);
  channel_call call = {.maps = maps,
                       .norm = norm,
                       .x = x,
                       .mean = mean,
                       .dy = dy,
                       .first = scratch,
                       .second = scratch + padded * maps->maps.batch,
                       .body = products_of_map};
  memset(sums, 0, padded * sizeof *sums);
  memset(products, 0, padded * sizeof *products);
  run_maps(pool, &call);
  for (size_t channel = 0; channel < maps->maps.channels; channel++) {
    double sum, product;
    merge(&call, channel, &sum, &product);
    sums[channel] = (float)sum;
    products[channel] = (float)product;
  }
}

static void batch_norm_map(const channel_call *call, size_t map) {
  const lk_blocked_maps *m = &call->maps->maps;
  lk_norm_rows rows = rows_of(call, map);
  size_t row;
  float *y = call->y + map_start(call, map, m->out_halo, &row);
  for (size_t r = 0; r < m->height; r++, rows.x += rows.x_row)
    call->variant->batch_norm(&rows, call->maps->is_blocked,
                              lk_zero_halo(y, r, m->height, m->width, call->lanes, m->out_halo));
}

void lk_f32_batch_norm(lk_pool *pool, const lk_channel_maps *maps, const lk_batch_norm *norm,
                       const float *x, float *y) {
  channel_call call = {.maps = maps, .norm = norm, .x = x, .y = y, .body = batch_norm_map};
  run_maps(pool, &call);
}

static void batch_norm_gradient_map(const channel_call *call, size_t map) {
  const lk_blocked_maps *m = &call->maps->maps;
  const size_t channel = channel_of(call, map);
  lk_norm_rows rows = rows_of(call, map);
  size_t row;
  float *dx = call->dx + map_start(call, map, m->in_halo, &row);
  for (size_t r = 0; r < m->height; r++, rows.x += rows.x_row, rows.dy += rows.dy_row) {
    float *d = call->adds ? dx + (r + m->in_halo) * row + m->in_halo * call->lanes
                          : lk_zero_halo(dx, r, m->height, m->width, call->lanes, m->in_halo);
    call->variant->batch_norm_gradient(&rows, call->maps->is_blocked, call->a + channel,
                                       call->b + channel, call->c + channel, d, call->adds);
  }
}

void lk_f32_batch_norm_gradient(lk_pool *pool, const lk_channel_maps *maps,
                                const lk_batch_norm *norm, const float *x, const float *mean,
                                const float *a, const float *b, const float *c, const float *dy,
                                float *dx, bool adds) {
  channel_call call = {.maps = maps,
                       .norm = norm,
                       .x = x,
                       .mean = mean,
                       .a = a,
                       .b = b,
                       .c = c,
                       .dy = dy,
                       .dx = dx,
                       .adds = adds,
                       .body = batch_norm_gradient_map};
  run_maps(pool, &call);
}
