#ifndef LK_PROBE_KERNELS_H
#define LK_PROBE_KERNELS_H
#include "lamina_kernels.h"

typedef struct lk_probe_variant {
  /// Multiplies and adds `count` times; returns the floating-point operations done.
  double (*fma)(size_t count);
  /// The same with additions beside.
  double (*fma_add)(size_t count);
  /// The sum of `count` floats, a multiple of 256.
  float (*read)(const float *from, size_t count);
} lk_probe_variant;

extern const lk_probe_variant lk_probe_scalar, lk_probe_neon, lk_probe_avx2, lk_probe_avx512;
#endif
