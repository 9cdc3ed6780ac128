#ifndef LK_PROBE_H
#define LK_PROBE_H
#include <stddef.h>

/// The rate in GFLOP/s, of one core, at which the instruction set multiplies and adds in registers:
/// the best of several short measurements. 0 when the instruction set is not available.
double lk_probe_fma_peak(lk_isa isa);

/// The rate in GFLOP/s of a convolution, counting two operations per multiplication: the best of
/// `repeats` runs. 0 when memory runs out.
double lk_probe_conv_gflops(lk_pool *pool, const lk_conv2d *conv, int repeats);
#endif
