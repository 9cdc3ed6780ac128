import LaminaKernels
import Testing

@Suite struct CPUTests {
  @Test func scalarIsAlwaysThere() {
    #expect(lk_isa_available(LK_ISA_SCALAR))
    #expect(lk_isa_available(lk_active_isa()))
  }

  @Test func namesAreStable() {
    let names = [LK_ISA_SCALAR, LK_ISA_NEON, LK_ISA_AVX2, LK_ISA_AVX512].map {
      String(cString: lk_isa_name($0))
    }
    #expect(names == ["scalar", "neon", "avx2", "avx512"])
  }

  @Test func aThreadChoosesAmongTheAvailable() {
    let usual = lk_active_isa()
    for isa in availableISAs {
      lk_set_thread_isa(Int32(isa.rawValue))
      #expect(lk_active_isa() == isa)
    }
    lk_set_thread_isa(-1)
    #expect(lk_active_isa() == usual)
    lk_set_thread_isa(99)
    #expect(lk_active_isa() == usual)
  }
}
