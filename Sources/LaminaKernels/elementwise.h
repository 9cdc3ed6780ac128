// The variants of the elementwise kernels, one per instruction set.
#include "lamina_kernels.h"

typedef struct lk_elementwise_variant {
  void (*unary)(lk_unary f, float a, float b, const float *x, float *y, size_t n);
  /// Strides are 0 or 1.
  void (*binary)(lk_binary f, const float *a, size_t a_stride, const float *b, size_t b_stride,
                 float *y, size_t n);
  void (*unary_gradient)(lk_unary f, float a, float b, const float *v, const float *dy, float *dx,
                         bool adds, size_t n);
  /// Strides are 0 or 1.
  void (*binary_gradient)(lk_binary f, int operand, const float *a, size_t a_stride, const float *b,
                          size_t b_stride, const float *dy, float *d, bool adds, size_t n);
  /// `vectors` whole vectors and `rest` numbers behind; lane l of vector v has the index `first` +
  /// v·vector_step + l·lane_step.
  void (*dropout)(const lk_dropout *dropout, uint64_t first, uint64_t vector_step,
                  uint64_t lane_step, const float *x, float *y, bool adds, size_t vectors,
                  int rest);
  size_t lanes;
} lk_elementwise_variant;

extern const lk_elementwise_variant lk_elementwise_scalar, lk_elementwise_neon, lk_elementwise_avx2,
    lk_elementwise_avx512;
