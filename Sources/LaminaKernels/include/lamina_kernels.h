/// SIMD kernels on raw pointers and the thread pool. Knows no layer, never fails, never allocates
/// in a kernel.
#ifndef LAMINA_KERNELS_H
#define LAMINA_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "lk_cpu.h"
#include "lk_denormals.h"
#include "lk_elementwise.h"
#include "lk_normalization.h"
#include "lk_optimizers.h"
#include "lk_pooling.h"
#include "lk_threads.h"

#include "lk_gemm.h"

#include "lk_blocked.h"
#include "lk_conv.h"
#include "lk_dense.h"
#include "lk_planar.h"
#include "lk_probe.h"

#ifdef __cplusplus
}
#endif
#endif
