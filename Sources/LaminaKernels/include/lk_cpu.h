#ifndef LK_CPU_H
#define LK_CPU_H
#include <stdbool.h>

/// Instruction sets that kernels are compiled for. `LK_ISA_SCALAR` is what every CPU of the
/// architecture has.
typedef enum lk_isa {
  LK_ISA_SCALAR = 0,
  LK_ISA_NEON = 1,
  LK_ISA_AVX2 = 2,
  LK_ISA_AVX512 = 3,
} lk_isa;

/// Number of values of `lk_isa`.
enum { LK_ISA_COUNT = 4 };

/// Whether the CPU has the instruction set and the operating system saves its registers.
bool lk_isa_available(lk_isa isa);

/// The instruction set that kernels called from this thread use: the one set for the thread, else
/// the one named by the environment variable LAMINA_ISA (scalar, neon, avx2 or avx512; read once;
/// ignored when unknown or not available), else the best available. The threads of a pool use what
/// is set for their caller.
lk_isa lk_active_isa(void);

/// `scalar`, `neon`, `avx2` or `avx512`.
const char *lk_isa_name(lk_isa isa);

/// The instruction set that is set for this thread; -1 when none is.
int lk_thread_isa(void);

/// Sets the instruction set for kernels called from this thread; -1 goes back to the default. One
/// that is not available is ignored.
void lk_set_thread_isa(int isa_or_minus_1);
#endif
