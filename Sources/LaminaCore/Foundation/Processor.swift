#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif
import LaminaKernels

/// The processor as the kernels see it.
public enum Processor {
  /// Instruction sets that it has and kernels are compiled for, the plainest first.
  public static var instructionSets: [String] {
    (0..<UInt32(LK_ISA_COUNT)).map { lk_isa(rawValue: $0) }.filter(lk_isa_available).map(name)
  }

  /// The one that kernels use: the best, or that of the environment variable `LAMINA_ISA`.
  public static var instructionSet: String { name(lk_active_isa()) }

  /// The name that it gives itself; `unknown` where the system does not tell.
  public static var model: String {
    let file = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "unknown" }
    defer { close(file) }
    let text = [UInt8](unsafeUninitializedCapacity: 16_384) { buffer, count in
      count = max(retryingInterrupts { read(file, buffer.baseAddress, buffer.count) }, 0)
    }
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
    let line = lines.first { $0.hasPrefix("model name") || $0.hasPrefix("Model") }
    let name = line?.split(separator: ":", maxSplits: 1).last?.drop { $0 == " " || $0 == "\t" }
    return name.map { String($0).escapedForDisplay() } ?? "unknown"
  }

  /// Multiplications and additions that one core can do in registers, in 10⁹ a second. Measures for some
  /// milliseconds.
  public static var peakGFLOPS: Double { multiplyAddGFLOPS() }

  /// Multiply-adds in registers on the threads of `pool`, or on one, in 10⁹ operations a second.
  package static func multiplyAddGFLOPS(_ pool: ThreadPool? = nil) -> Double {
    lk_probe_fma_gflops(pool?.handle, lk_active_isa())
  }

  /// The same with as many additions beside them as the processor finds room for.
  package static func mixedGFLOPS(_ pool: ThreadPool? = nil) -> Double {
    lk_probe_fma_add_gflops(pool?.handle, lk_active_isa())
  }

  /// 10⁹ bytes a second that the threads of `pool`, or one, read in all, each from `bytes` of its own.
  package static func readRate(_ pool: ThreadPool? = nil, bytes: Int) -> Double {
    lk_probe_read_gbps(pool?.handle, lk_active_isa(), bytes)
  }

  /// Seconds of a parallel loop with nothing to do; with `together` every thread waits for all others.
  package static func loopSeconds(_ pool: ThreadPool, together: Bool) -> Double {
    lk_probe_loop_seconds(pool.handle, together)
  }

  /// Bytes of the data cache of level 1, 2 or 3; nil when the system does not tell.
  package static func cacheBytes(level: Int) -> Int? {
    let bytes = lk_cache_bytes(Int32(level))
    return bytes > 0 ? bytes : nil
  }

  private static func name(_ isa: lk_isa) -> String { String(cString: lk_isa_name(isa)) }
}

/// Calls `body` on this thread in the mode in which kernels compute: denormal numbers count as zero, results
/// are rounded to nearest. The caller's mode comes back behind it.
func flushingDenormals<R>(_ body: () throws -> R) rethrows -> R {
  let mode = lk_flush_denormals_begin()
  defer { lk_flush_denormals_end(mode) }
  return try body()
}
