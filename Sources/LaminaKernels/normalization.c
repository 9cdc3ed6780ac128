#include "normalization.h"

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

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

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
} call;

static void call_task(void *context, size_t task) {
  const call *c = context;
  const size_t first = task * c->units_per_task;
  const size_t end = smaller(first + c->units_per_task, c->units);
  for (size_t unit = first; unit < end; unit++) c->body(c, unit);
}

static void run(lk_pool *pool, call *c, size_t units, size_t unit_elements) {
  c->variant = variant();
  c->units = units;
  c->units_per_task = unit_elements < CHUNK ? CHUNK / (unit_elements ? unit_elements : 1) : 1;
  lk_parallel_for(pool, (units + c->units_per_task - 1) / c->units_per_task, call_task, c);
}

/// The columns of [outer, length, inner] in pieces.
static void run_columns(lk_pool *pool, call *c, size_t outer) {
  c->pieces = (c->inner + LK_COLUMNS - 1) / LK_COLUMNS;
  run(pool, c, outer * c->pieces, c->length * smaller(c->inner, LK_COLUMNS));
}

static size_t piece_start(const call *c, size_t unit) { return unit % c->pieces * LK_COLUMNS; }
static size_t piece_columns(const call *c, size_t unit) {
  return smaller(LK_COLUMNS, c->inner - piece_start(c, unit));
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
  const size_t lanes = variant()->lanes, blocks = (m->channels + lanes - 1) / lanes;
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
                          .channels = smaller(lanes, m->channels - first),
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
