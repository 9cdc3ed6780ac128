// What the driver of planar convolutions (planar_conv.c) and the kernels of each instruction set
// (planar_conv_kernels.h) share. A run is one vector of neighbouring pixels of a row.
#ifndef PLANAR_CONV_H
#define PLANAR_CONV_H
#include "lamina_kernels.h"

enum { LK_PLANAR_CHANNELS = 6, LK_PLANAR_RUNS = 4, LK_PLANAR_TAPS = 4 };

/// Some runs of some output channels.
typedef struct lk_planar_tile {
  /// Where each tap lies from a run's first pixel, in padded planes.
  const float *input;
  const ptrdiff_t *taps;
  size_t tap_count;
  /// Where the runs begin in a padded plane and in one of the output, and how many pixels count.
  size_t from[LK_PLANAR_RUNS], to[LK_PLANAR_RUNS];
  int counts[LK_PLANAR_RUNS];
  /// [tap][channel] and [channel].
  const float *weights, *bias;
  float *output;
  size_t output_plane;
  lk_activation activation;
} lk_planar_tile;

/// Products of some taps and output gradients, summed over an image lane by lane and added to
/// sums[channel · sums_channel + tap · lanes].
typedef struct lk_planar_sums {
  const float *input, *gradient;
  const ptrdiff_t *taps;
  size_t input_row, gradient_row, gradient_plane, rows, vectors;
  float *sums;
  size_t sums_channel;
} lk_planar_sums;

typedef struct lk_planar_kernels {
  size_t lanes;
  /// Runs of a tile, and taps of sums.
  size_t runs, taps;
  /// By channels − 1.
  void (*tile[LK_PLANAR_CHANNELS])(const lk_planar_tile *tile);
  /// By channels − 1 and taps − 1.
  void (*sums[LK_PLANAR_CHANNELS][LK_PLANAR_TAPS])(const lk_planar_sums *sums);
  /// Copies `rows` rows of `width` numbers.
  void (*copy_rows)(const float *from, size_t width, size_t rows, float *to, size_t to_row);
  /// to += x, of `count` numbers that fill whole vectors.
  void (*add)(const float *x, size_t count, float *to);
  /// The sum of the lanes of one vector.
  float (*total)(const float *x);
  /// to += Σ x[i], of `count` vectors.
  void (*add_vectors)(const float *x, size_t count, float *to);
} lk_planar_kernels;

extern const lk_planar_kernels lk_planar_kernels_scalar, lk_planar_kernels_neon,
    lk_planar_kernels_avx2, lk_planar_kernels_avx512;
#endif
