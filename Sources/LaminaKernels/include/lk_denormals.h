#ifndef LK_DENORMALS_H
#define LK_DENORMALS_H
#include <stdint.h>

/// Puts this thread into the mode in which kernels compute: denormal numbers count as zero in
/// operands and results, where a processor would be a hundred times slower with them; results are
/// rounded to nearest and nothing traps. Returns the mode before. Threads of a pool are always in
/// it. On processors other than x86-64 and aarch64 nothing changes.
uint64_t lk_flush_denormals_begin(void);

/// Gives this thread the mode that lk_flush_denormals_begin returned, and on x86-64 the exception
/// flags of then.
void lk_flush_denormals_end(uint64_t mode);
#endif
