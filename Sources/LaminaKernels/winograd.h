// What the driver (winograd.c) and the kernels of each instruction set (winograd_kernels.h) share.
//
// 3×3 convolution with stride 1 by F(4×4, 3×3) of Winograd 1980 and Lavin and Gray 2016, at the
// points 0, ±1/√2, ±√2, ∞, which keep the error near that of direct summation: y = Aᵀ[(G g Gᵀ) ⊙
// (Bᵀ d B)]A for tiles d of 6×6 inputs that overlap by 2 and tiles y of 4×4 outputs. The sum over
// input channels makes 36 matrix products.
//
// The rows of a channel are sorted by y mod 4 and x mod 4 first, so that an element of the tile
// lies side by side for the tiles of a row: vectors hold one element of as many tiles as they have
// lanes.
#ifndef WINOGRAD_H
#define WINOGRAD_H
#include "gemm.h"

enum {
  LK_TILE_OUT = 4,
  LK_TILE_IN = 6,
  LK_POSITIONS = 36,
  LK_BLOCK_TILES = 32,
  LK_SORTED_SLACK = 48
};

/// Some tiles of an image: where each lies among the sorted rows, and in the output.
typedef struct lk_tile_block {
  size_t count;
  /// Place of tile t in a sorted plane, from that of the first tile of its vector on.
  int32_t place[LK_BLOCK_TILES];
  size_t vector_place[LK_BLOCK_TILES];
  /// First row and column of the tile's output.
  size_t y[LK_BLOCK_TILES], x[LK_BLOCK_TILES];
  /// Distances in a sorted plane of one tile down, and between the sorted planes.
  size_t pitch, plane;
} lk_tile_block;

typedef struct lk_winograd_kernels {
  /// As lk_depthwise_kernels.fill with stride 4 and phase_width `plane`.
  void (*sort)(const float *from, size_t width, size_t pad, size_t skip, float *to, size_t count,
               size_t plane);
  /// Bᵀ d B for the block's tiles of one channel; element p goes to to[p·position_stride + tile].
  void (*transform_input)(const lk_tile_block *block, const float *sorted, float *to,
                          size_t position_stride);
  /// Aᵀ m A for the block's tiles of one output channel, from products[p·position_stride + tile],
  /// then bias, residual and activation. `output` and `residual` (or NULL) are whole planes of
  /// height × width.
  void (*transform_output)(const lk_tile_block *block, const float *products,
                           size_t position_stride, float bias, lk_activation activation,
                           const float *residual, float *output, size_t height, size_t width);
} lk_winograd_kernels;

extern const lk_winograd_kernels lk_f32_winograd43_kernels_scalar, lk_f32_winograd43_kernels_neon,
    lk_f32_winograd43_kernels_avx2, lk_f32_winograd43_kernels_avx512;

/// Whether the convolution may and should run this way.
bool lk_uses_winograd(const lk_conv2d *conv);
size_t lk_f32_winograd_packed_bytes(const lk_conv2d *conv);
void lk_f32_winograd_pack(const lk_conv2d *conv, lk_isa isa, const float *weight, float *packed);
size_t lk_f32_winograd_scratch_bytes(const lk_conv2d *conv, int threads);
void lk_f32_winograd(lk_pool *pool, lk_isa isa, const lk_conv2d *conv, const float *input,
                     const float *packed, const float *bias, const float *residual, float *output,
                     void *scratch);
#endif
