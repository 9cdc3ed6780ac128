#include "blocked.h"

#include <string.h>

typedef struct copy {
  size_t batch, channels, height, width;
  const lk_map *from_map, *to_map;
  const float *from;
  float *to;
} copy;

static size_t place(const lk_map *map, size_t image, size_t channel) {
  const size_t start = image * map->image + map->halo * (map->row + map->channels);
  if (map->channels == 1) return start + channel * map->block;
  return start + channel / map->channels * map->block + channel % map->channels;
}

/// Channels that one task copies: whole blocks of the map that has them.
static size_t copied_channels(const lk_map *from, const lk_map *to) {
  return to->channels == 1 ? from->channels : to->channels;
}

static void copy_task(void *context, size_t item) {
  const copy *c = context;
  const lk_map *from_map = c->from_map, *to_map = c->to_map;
  const size_t group = copied_channels(from_map, to_map), image = item % c->batch;
  const size_t first = item / c->batch * group, end = lk_least(c->channels, first + group);
  if (to_map->halo > 0 || (to_map->channels > 1 && end < first + to_map->channels)) {
    float *map = c->to + first / to_map->channels * to_map->block + image * to_map->image;
    memset(map, 0, (c->height + 2 * to_map->halo) * to_map->row * sizeof *map);
  }
  if (from_map->channels == to_map->channels) {
    for (size_t y = 0; y < c->height; y++)
      memcpy(c->to + place(to_map, image, first) + y * to_map->row,
             c->from + place(from_map, image, first) + y * from_map->row,
             c->width * to_map->channels * sizeof(float));
    return;
  }
  for (size_t channel = first; channel < end; channel++) {
    const float *from = c->from + place(from_map, image, channel);
    float *to = c->to + place(to_map, image, channel);
    for (size_t y = 0; y < c->height; y++, from += from_map->row, to += to_map->row)
      for (size_t x = 0; x < c->width; x++) to[x * to_map->channels] = from[x * from_map->channels];
  }
}

/// Floats that one thread copies faster than two.
enum { FEW = 8192 };

void lk_f32_copy_map(lk_pool *pool, size_t batch, size_t channels, size_t height, size_t width,
                     const lk_map *from_map, const float *from, const lk_map *to_map, float *to) {
  copy c = {batch, channels, height, width, from_map, to_map, from, to};
  const size_t tasks = lk_ceil_div(channels, copied_channels(from_map, to_map)) * batch;
  const bool is_small = batch * channels * height * width < FEW;
  lk_parallel_for(is_small ? NULL : pool, tasks, copy_task, &c);
}

typedef struct scaling {
  const lk_blocked_kernels *kernels;
  size_t batch, channels;
  const lk_map *map;
  const float *x, *factors, *residual;
  lk_activation activation;
  float *y;
} scaling;

static void scale_task(void *context, size_t item) {
  const scaling *s = context;
  const size_t lanes = s->kernels->lanes, image = item % s->batch, first = item / s->batch * lanes;
  const size_t at = first / lanes * s->map->block + image * s->map->image;
  float factors[LK_MAX_BLOCK] = {0};
  memcpy(factors, s->factors + image * s->channels + first,
         lk_least(lanes, s->channels - first) * sizeof *factors);
  s->kernels->scale(s->x + at, factors, s->residual ? s->residual + at : NULL, s->activation,
                    s->y + at, s->map->image / lanes);
}

void lk_f32_scale_map(lk_pool *pool, size_t batch, size_t channels, const lk_map *map,
                      const float *x, const float *factors, const float *residual,
                      lk_activation activation, float *y) {
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(lk_active_isa());
  scaling s = {kernels, batch, channels, map, x, factors, residual, activation, y};
  lk_parallel_for(pool, lk_ceil_div(channels, kernels->lanes) * batch, scale_task, &s);
}

typedef struct averaging {
  const lk_blocked_kernels *kernels;
  size_t batch, channels, height, width;
  const lk_map *map;
  const float *x;
  float *y;
} averaging;

static void average_task(void *context, size_t item) {
  const averaging *a = context;
  const size_t lanes = a->kernels->lanes, image = item % a->batch, first = item / a->batch * lanes;
  const size_t count = lk_least(lanes, a->channels - first);
  const float *x = a->x + place(a->map, image, first);
  float sums[LK_MAX_BLOCK], *y = a->y + image * a->channels + first;
  a->kernels->sum(x, a->map->row, a->height, a->width, sums);
  for (size_t c = 0; c < count; c++) y[c] = sums[c] / (float)(a->height * a->width);
}

void lk_f32_map_means(lk_pool *pool, size_t batch, size_t channels, size_t height, size_t width,
                      const lk_map *map, const float *x, float *y) {
  const lk_blocked_kernels *kernels = lk_blocked_kernels_for(lk_active_isa());
  averaging a = {kernels, batch, channels, height, width, map, x, y};
  lk_parallel_for(pool, lk_ceil_div(channels, kernels->lanes) * batch, average_task, &a);
}
