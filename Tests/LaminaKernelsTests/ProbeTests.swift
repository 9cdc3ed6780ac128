import LaminaKernels
import Testing

@Suite struct ProbeTests {
  @Test func everyAvailableInstructionSetIsMeasured() {
    let pool = TwoThreads()
    for isa in availableISAs {
      let peak = lk_probe_fma_gflops(nil, isa)
      #expect(peak > 0.01 && peak < 1e5)
      #expect(lk_probe_fma_add_gflops(nil, isa) > 0.2 * peak)
      #expect(lk_probe_fma_gflops(pool.pool, isa) > 0.2 * peak)
    }
  }

  @Test(arguments: [false, true]) func loopsAreMeasured(together: Bool) {
    let pool = TwoThreads()
    for pool in [nil, pool.pool] {
      let loop = lk_probe_loop_seconds(pool, together)
      #expect(loop > 0 && loop < 0.01)
    }
  }

  @Test func whatIsNotThereIsZero() {
    for isa in [LK_ISA_NEON, LK_ISA_AVX2, LK_ISA_AVX512] where !lk_isa_available(isa) {
      #expect(lk_probe_fma_gflops(nil, isa) == 0)
      #expect(lk_probe_read_gbps(nil, isa, 4096) == 0)
    }
    #expect(lk_probe_read_gbps(nil, LK_ISA_SCALAR, .max) == 0)
    #expect(lk_cache_bytes(0) == 0)
    #expect(lk_cache_bytes(9) == 0)
  }

  @Test(arguments: [1, 4096, 100_000]) func memoryIsRead(bytes: Int) {
    let pool = TwoThreads()
    for isa in availableISAs { #expect(lk_probe_read_gbps(pool.pool, isa, bytes) > 0.01) }
  }
}
