// The zeros around a map in blocks of channels.
#ifndef MAP_HALO_H
#define MAP_HALO_H
#include <stddef.h>
#include <string.h>

/// Zeros beside row `y` of a map [height, width, channels] whose memory with the halo starts at
/// `map`, and above the first and below the last row. Returns the row's first pixel.
static inline float *lk_zero_halo(float *map, size_t y, size_t height, size_t width,
                                  size_t channels, size_t halo) {
  const size_t row = (width + 2 * halo) * channels;
  float *start = map + (y + halo) * row;
  if (halo == 0) return start;
  if (y == 0) memset(map, 0, halo * row * sizeof *map);
  if (y + 1 == height) memset(start + row, 0, halo * row * sizeof *map);
  memset(start, 0, halo * channels * sizeof *map);
  memset(start + (halo + width) * channels, 0, halo * channels * sizeof *map);
  return start + halo * channels;
}
#endif
