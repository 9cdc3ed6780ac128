// What the drivers (gemm.c, conv.c) and the kernels of each instruction set (gemm_kernels.h) share.
//
// A product is computed in tiles of `rows` × 2 vectors. Packed A is a row of panels, each [k][r]
// with r rows of A; packed B is a row of panels, each [k][w] with w = 2 vectors, or 1 at the right
// edge where that is enough.
#ifndef GEMM_H
#define GEMM_H
#include "lamina_kernels.h"
#include "sizes.h"

enum { LK_MAX_ROWS = 14, LK_MAX_LANES = 16 };

/// Columns of a tile, up to `end`, of which column j lies at c[j + offset].
typedef struct lk_column_run {
  size_t end;
  ptrdiff_t offset;
} lk_column_run;

/// Where a tile of the result goes, and what happens to it on the way.
typedef struct lk_tile {
  float *c;
  size_t ldc;
  /// Valid columns: those behind are computed but not stored.
  size_t columns;
  /// Where the columns do not lie side by side: runs, the last of which ends at `columns`. Else
  /// NULL.
  const lk_column_run *runs;
  /// The tile is added to c_scale·C; 0 does not read C.
  float c_scale;
  /// One number per row, one per column, one per element with the stride of C; each may be NULL.
  const float *row_bias, *column_bias, *residual;
  lk_activation activation;
} lk_tile;

/// tile = Σ over k of a[k·lda + row]·b[k·ldb + column].
typedef void (*lk_tile_kernel)(size_t k, const float *a, size_t lda, const float *b, size_t ldb,
                               const lk_tile *tile);

enum { LK_TAIL_PANELS = 4 };

/// A row panel of A and where its part of the result goes.
typedef struct lk_tail_panel {
  const float *a;
  size_t rows;
  lk_tile tile;
} lk_tail_panel;

/// The few columns at the right edge that fill no vector, for several row panels: the rows of a
/// panel, which lie side by side in A, take the vector's lanes. Reads up to one vector from each
/// a[k·rows] on.
typedef void (*lk_tail_kernel)(size_t k, const lk_tail_panel *panels, size_t count, const float *b,
                               size_t ldb);

/// to[i·width + j] = scale·from[i·ld + j] for i < rows, j < count; 0 for count <= j < width.
typedef void (*lk_pack_rows_kernel)(const float *from, size_t ld, size_t count, size_t rows,
                                    float scale, float *to, size_t width);

/// One piece of an output row as columns of an im2col panel: `count` outputs that read from `from`
/// on with a distance of `stride`, of which first ..< end lie inside the picture.
typedef struct lk_patch_run {
  const float *from;
  ptrdiff_t stride;
  size_t count, first, end;
} lk_patch_run;

/// to[c·width + j] = from[c·plane + j·stride] for c < channels and j in the run; 0 outside the
/// picture.
typedef void (*lk_pack_run_kernel)(const lk_patch_run *run, size_t plane, size_t channels,
                                   float *to, size_t width);

typedef struct lk_gemm_kernels {
  size_t rows, lanes;
  /// By vectors - 1 and rows - 1.
  lk_tile_kernel tile[2][LK_MAX_ROWS];
  /// The same with a[row·lda + k].
  lk_tile_kernel row_tile[2][LK_MAX_ROWS];
  /// By columns - 1, and how many row panels each takes; there are tail_columns of them.
  lk_tail_kernel tail[8];
  size_t tail_columns, tail_panels[8];
  lk_pack_rows_kernel pack_rows;
  /// The same with from[j·ld + i].
  lk_pack_rows_kernel pack_columns;
  lk_pack_run_kernel pack_run;
  /// to[i·ld_to] = activation(scale·(row i of A)·x + beta·to[i·ld_to] + bias[i]) for i < rows.
  void (*dot_rows)(const float *a, size_t lda, size_t rows, size_t k, const float *x, float scale,
                   float beta, const float *bias, lk_activation activation, float *to,
                   size_t ld_to);
  /// to[j] = Σ over i < rows of from[i·ld + j] for j < columns, added to to[j] if `adds`.
  void (*sum_rows)(const float *from, size_t ld, size_t rows, size_t columns, bool adds, float *to);
} lk_gemm_kernels;

/// The kernels of an instruction set that is available.
const lk_gemm_kernels *lk_gemm_kernels_for(lk_isa isa);

extern const lk_gemm_kernels lk_f32_gemm_kernels_scalar, lk_f32_gemm_kernels_neon,
    lk_f32_gemm_kernels_avx2, lk_f32_gemm_kernels_avx512;

/// A product of which the drivers know how to make every part.
typedef struct lk_product lk_product;

/// Packs columns first ..< first + count of B, rows k_first ..< k_first + k, as [k][width].
typedef void (*lk_pack_b)(const lk_product *product, size_t group, size_t k_first, size_t k,
                          size_t first, size_t count, float *to, size_t width);

struct lk_product {
  const lk_gemm_kernels *kernels;
  /// Extents of each of `groups` products of the same size.
  size_t groups, rows, columns, depth;

  /// A: packed when `packed_a` is not NULL, with the distance between groups in floats.
  const float *packed_a;
  size_t packed_a_stride;
  const float *a;
  size_t lda;
  bool transpose_a;
  float alpha;

  /// B: packed when `packed_b` is not NULL, else made by `pack_b` from `b` or `convolution`.
  const float *packed_b;
  lk_pack_b pack_b;
  const float *b;
  size_t ldb;
  bool transpose_b;
  const lk_conv2d *convolution;

  /// C: column j of row i of group g lies at
  /// c[g·group_stride + (j / image_columns)·image_stride + i·ldc + j mod image_columns].
  float *c;
  size_t ldc, group_stride, image_columns, image_stride;
  float beta;
  const float *row_bias, *column_bias, *residual;
  lk_activation activation;
};

/// Bytes of scratch lk_run_product needs.
size_t lk_product_scratch_bytes(size_t rows, size_t columns, size_t depth, int threads);
void lk_run_product(lk_pool *pool, const lk_product *product, void *scratch);

/// Matrices of such sizes: C [rows, columns] without gaps, set; A and B are left to be filled in.
lk_product lk_matrix_product(size_t rows, size_t columns, size_t depth);
/// A product of matrices, by what suits it; lk_f32_gemm_scratch_bytes tells its scratch.
void lk_run_matrices(lk_pool *pool, const lk_product *product, void *scratch);

/// A small product, whose operands are read in place where the tiles can read them so. Its columns
/// are cut at multiples of `unit` vectors.
typedef struct lk_direct {
  lk_product product;
  size_t panel_rows, row_panels, vectors, unit, column_items, row_items, items;
} lk_direct;

/// Whether a product is small, by its sizes alone.
bool lk_is_direct(const lk_product *product);
/// Floats of scratch that each thread needs.
size_t lk_direct_worker_floats(size_t depth);
/// Whether so many multiplications are not worth a second thread.
bool lk_is_tiny(size_t multiplications);
lk_direct lk_make_direct(const lk_product *product, int threads);
void lk_run_direct_item(const lk_direct *direct, size_t item, float *scratch);
void lk_run_direct(lk_pool *pool, const lk_product *product, void *scratch);

/// Rows of the panels of a packed A with so many rows: all equal but the last.
size_t lk_panel_rows(const lk_gemm_kernels *kernels, size_t rows);
#endif
