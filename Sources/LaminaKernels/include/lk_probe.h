#ifndef LK_PROBE_H
#define LK_PROBE_H
#include <stdbool.h>
#include <stddef.h>

// What a processor can do, measured on all threads of a pool, or on the caller's when it is NULL:
// the best of several measurements of about a millisecond. 0 when the instruction set is not
// available.

/// 10^9 floating-point operations a second, of multiply-adds in registers.
double lk_probe_fma_gflops(lk_pool *pool, lk_isa isa);

/// The same with additions beside the multiply-adds: more where a processor adds on other units
/// than it multiplies on.
double lk_probe_fma_add_gflops(lk_pool *pool, lk_isa isa);

/// 10^9 bytes a second, read by threads each of which goes through `bytes` of its own again and
/// again. 0 also when memory runs out.
double lk_probe_read_gbps(lk_pool *pool, lk_isa isa, size_t bytes);

/// Seconds that a parallel loop of one index a thread takes with nothing to do; with `together`
/// every thread waits until all take part.
double lk_probe_loop_seconds(lk_pool *pool, bool together);

/// Bytes of one data cache of level 1, 2 or 3, as the operating system tells; 0 when it does not.
size_t lk_cache_bytes(int level);
#endif
