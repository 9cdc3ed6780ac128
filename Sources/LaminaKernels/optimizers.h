// The variants of the optimizers' kernels, one per instruction set.
#include "lamina_kernels.h"

typedef struct lk_optimizers_variant {
  void (*momentum)(const lk_decay *decay, const lk_momentum *rule, float *w, const float *g,
                   float *velocity, size_t n);
  void (*rmsprop)(const lk_decay *decay, const lk_rmsprop *rule, float *w, const float *g,
                  float *square, float *mean, float *buffer, size_t n);
  void (*adam)(const lk_decay *decay, const lk_adam *rule, float *w, const float *g, float *mean,
               float *square, size_t n);
  void (*moving_average)(float keep, const float *x, float *average, size_t n);
  double (*square_sum)(const float *x, size_t n);
} lk_optimizers_variant;

extern const lk_optimizers_variant lk_optimizers_scalar, lk_optimizers_neon, lk_optimizers_avx2,
    lk_optimizers_avx512;
