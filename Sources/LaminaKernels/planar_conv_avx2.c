#define LK_TARGET_AVX2
#include "isa_begin.h"
#if LK_TARGET_COMPILED
#include "planar_conv_kernels.h"
#endif
#include "isa_end.h"
