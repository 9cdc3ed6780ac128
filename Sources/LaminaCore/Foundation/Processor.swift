import LaminaKernels

/// The processor as the kernels see it.
public enum Processor {
  /// Instruction sets that it has and kernels are compiled for, the plainest first.
  public static var instructionSets: [String] {
    (0..<UInt32(LK_ISA_COUNT)).map { lk_isa(rawValue: $0) }.filter(lk_isa_available).map(name)
  }

  /// The one that kernels use: the best, or that of the environment variable `LAMINA_ISA`.
  public static var instructionSet: String { name(lk_active_isa()) }

  /// Multiplications and additions that one core can do in registers, in 10⁹ a second. Measures for some
  /// milliseconds.
  public static var peakGFLOPS: Double { lk_probe_fma_peak(lk_active_isa()) }

  private static func name(_ isa: lk_isa) -> String { String(cString: lk_isa_name(isa)) }
}

/// Calls `body` on this thread in the mode in which kernels compute: denormal numbers count as zero, results
/// are rounded to nearest. The caller's mode comes back behind it.
func flushingDenormals<R>(_ body: () throws -> R) rethrows -> R {
  let mode = lk_flush_denormals_begin()
  defer { lk_flush_denormals_end(mode) }
  return try body()
}
