#include "gemm.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double lk_probe_fma_peak(lk_isa isa) {
  if (!lk_isa_available(isa)) return 0;
  const lk_gemm_kernels *kernels = lk_gemm_kernels_for(isa);
  double best = 0;
  for (int i = 0; i < 20; i++) {
    const double start = seconds();
    const double rate = kernels->probe(100000) / (seconds() - start);
    if (rate > best) best = rate;
  }
  return best * 1e-9;
}

double lk_probe_conv_gflops(lk_pool *pool, const lk_conv2d *conv, int repeats) {
  const size_t taps = conv->in_channels / conv->groups * conv->kernel_height * conv->kernel_width;
  const size_t sizes[] = {
      conv->batch * conv->in_channels * conv->in_height * conv->in_width * sizeof(float),
      conv->out_channels * taps * sizeof(float),
      conv->batch * conv->out_channels * conv->out_height * conv->out_width * sizeof(float),
      lk_f32_conv2d_packed_bytes(conv),
      lk_f32_conv2d_scratch_bytes(conv, lk_pool_thread_count(pool)),
  };
  size_t offsets[5], total = 0;
  for (int i = 0; i < 5; i++) {
    offsets[i] = total;
    total += (sizes[i] + 127) / 64 * 64;
  }
  void *memory = NULL;
  if (posix_memalign(&memory, 64, total) != 0) return 0;
  char *base = memset(memory, 0, total);
  float *input = (float *)(base + offsets[0]), *weight = (float *)(base + offsets[1]);
  for (size_t i = 0; i < sizes[0] / sizeof(float); i++) input[i] = (float)(i % 17) - 8;
  for (size_t i = 0; i < sizes[1] / sizeof(float); i++) weight[i] = (float)(i % 13) - 6;
  lk_f32_conv2d_pack(conv, weight, base + offsets[3]);
  double best = 0;
  for (int i = 0; i < repeats; i++) {
    const double start = seconds();
    lk_f32_conv2d(pool, conv, input, base + offsets[3], NULL, NULL, (float *)(base + offsets[2]),
                  base + offsets[4]);
    const double rate =
        2.0 * (double)(sizes[2] / sizeof(float)) * (double)taps / (seconds() - start);
    if (rate > best) best = rate;
  }
  free(memory);
  return best * 1e-9;
}
