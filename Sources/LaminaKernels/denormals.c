#include "lamina_kernels.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

uint64_t lk_flush_denormals_begin(void) {
  enum { MASK_ALL = 0x1f80, FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x40 };
  const unsigned before = _mm_getcsr();
  _mm_setcsr(MASK_ALL | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
  return before;
}

void lk_flush_denormals_end(uint64_t mode) { _mm_setcsr((unsigned)mode); }

#elif defined(__aarch64__)
uint64_t lk_flush_denormals_begin(void) {
  const uint64_t flush_to_zero = 1 << 24;
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before)::"memory");
  __asm__ volatile("msr fpcr, %0" ::"r"(flush_to_zero) : "memory");
  return before;
}

void lk_flush_denormals_end(uint64_t mode) {
  __asm__ volatile("msr fpcr, %0" ::"r"(mode) : "memory");
}

#else
uint64_t lk_flush_denormals_begin(void) { return 0; }
void lk_flush_denormals_end(uint64_t mode) { (void)mode; }
#endif
