import LaminaKernels
import Synchronization
import Testing

/// Threads that meet, each of which then doubles a denormal number.
private final class Meeting: Sendable {
  let arrived = Atomic(0)
  let numbers = Mutex<[Float]>([])
  let threads: Int

  init(of threads: Int) { self.threads = threads }

  func attend() {
    arrived.add(1, ordering: .acquiringAndReleasing)
    while arrived.load(ordering: .acquiring) < threads {}
    numbers.withLock { $0.append(0x1p-140 * Float(threads)) }
  }

  /// What the threads of `pool` got, in ascending order.
  func held(on pool: OpaquePointer?) -> [Float] {
    lk_parallel_for(
      pool, threads,
      { context, _ in
        guard let context else { return }
        Unmanaged<Meeting>.fromOpaque(context).takeUnretainedValue().attend()
      }, Unmanaged.passUnretained(self).toOpaque())
    return numbers.withLock { $0.sorted() }
  }
}

@Suite struct DenormalsTests {
  @Test func theCallersModeComesBack() {
    let before = lk_flush_denormals_begin()
    let inside = lk_flush_denormals_begin()
    let flushed = Meeting(of: 1).held(on: nil)
    lk_flush_denormals_end(inside)
    let stillFlushed = Meeting(of: 1).held(on: nil)
    lk_flush_denormals_end(before)
    let after = lk_flush_denormals_begin()
    lk_flush_denormals_end(after)
    #expect(after == before)
    #expect(flushed == [0])
    #expect(stillFlushed == [0])
    #expect(Meeting(of: 1).held(on: nil) == [0x1p-140])
  }

  @Test func threadsOfAPoolFlushAndTheCallersDoesNot() {
    let pool = TwoThreads()
    #expect(Meeting(of: 2).held(on: pool.pool) == [0, 0x1p-139])
  }
}
