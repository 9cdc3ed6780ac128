import LaminaKernels

/// Lamina's own threads. Runs one parallel loop at a time; a second caller runs its loop alone, so results
/// never depend on the number of threads.
public final class ThreadPool: @unchecked Sendable {
  /// The C pool, for kernels.
  public let handle: OpaquePointer?
  /// Threads that take part, the caller's included.
  public let threadCount: Int

  /// Threads this process may use: the affinity mask and the cgroup quota decide.
  public static var defaultThreadCount: Int { Int(lk_default_thread_count()) }

  /// Runs the loops, where the threads are somebody else's.
  private let loop: (@Sendable (Int, @Sendable (Int) -> Void) -> Void)?

  /// A pool of `threads` threads, by default as many as the process may use.
  public init(threads: Int? = nil) {
    let wanted = min(max(threads ?? ThreadPool.defaultThreadCount, 1), 256)
    handle = lk_pool_create(Int32(wanted))
    threadCount = handle.map { Int(lk_pool_thread_count($0)) } ?? 1
    loop = nil
  }

  /// Somebody else's `threads` threads, on which `loop` calls its body once for every index below its count. The
  /// kernels of LaminaKernels, which do not know them, run on the caller's thread.
  package init(
    threads: Int, loop: @escaping @Sendable (Int, @Sendable (Int) -> Void) -> Void
  ) {
    handle = nil
    threadCount = max(threads, 1)
    self.loop = loop
  }

  deinit { lk_pool_destroy(handle) }

  /// Calls `body` once for every index in `0 ..< count`, on several threads, and returns when all are done.
  public func parallelFor(_ count: Int, _ body: @Sendable (Int) -> Void) {
    if count <= 1 || threadCount == 1 {
      for index in 0..<max(count, 0) { body(index) }
      return
    }
    if let loop { return loop(count, body) }
    withoutActuallyEscaping(body) { escapable in
      var box = escapable
      withUnsafeMutablePointer(to: &box) { pointer in
        lk_parallel_for(
          handle, count,
          { context, index in
            context?.assumingMemoryBound(to: (@Sendable (Int) -> Void).self).pointee(index)
          }, pointer)
      }
    }
  }
}

/// The instruction set that kernels called from this thread use, as LaminaKernels numbers them.
func activeInstructionSet() -> Int32 { Int32(lk_active_isa().rawValue) }
