#ifndef SIZES_H
#define SIZES_H
#include <stddef.h>

static inline size_t lk_least(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t lk_most(size_t a, size_t b) { return a > b ? a : b; }
static inline size_t lk_ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
#endif
