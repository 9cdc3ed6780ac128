import LaminaKernels
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Counts how often each index was run.
private final class Visits: Sendable {
  let counts: [Mutex<Int>.Box]
  init(_ count: Int) { counts = (0..<count).map { _ in Mutex<Int>.Box(0) } }
  func visit(_ index: Int) { counts[index].value.withLock { $0 += 1 } }
  var all: [Int] { counts.map { $0.value.withLock { $0 } } }
}

extension Mutex where Value == Int {
  fileprivate final class Box: Sendable {
    let value: Mutex<Int>
    init(_ start: Int) { value = Mutex(start) }
  }
}

private func visit(_ pool: OpaquePointer?, _ visits: Visits) {
  lk_parallel_for(
    pool, visits.counts.count,
    { context, index in
      guard let context else { return }
      Unmanaged<Visits>.fromOpaque(context).takeUnretainedValue().visit(index)
    }, Unmanaged.passUnretained(visits).toOpaque())
}

@Suite struct ThreadsTests {
  @Test func thereIsAtLeastOneThread() {
    #expect(lk_default_thread_count() >= 1)
    #expect(lk_pool_thread_count(nil) == 1)
  }

  @Test(arguments: [1, 2, 3, 8]) func everyIndexRunsOnce(threads: Int32) {
    let pool = lk_pool_create(threads)
    defer { lk_pool_destroy(pool) }
    #expect(lk_pool_thread_count(pool) == threads)
    for count in [0, 1, 2, 7, 100] {
      for _ in 0..<50 {
        let visits = Visits(count)
        visit(pool, visits)
        #expect(visits.all == [Int](repeating: 1, count: count))
      }
    }
  }

  @Test func withoutPoolTheCallerRunsInOrder() {
    let visits = Visits(20)
    visit(nil, visits)
    #expect(visits.all == [Int](repeating: 1, count: 20))
  }

  @Test func aLoopInsideALoopRunsOnItsThread() {
    final class Nested: Sendable {
      let pool: TwoThreads
      let visits: [Visits]
      init(_ pool: TwoThreads) {
        self.pool = pool
        visits = (0..<6).map { _ in Visits(9) }
      }
    }
    let nested = Nested(TwoThreads())
    lk_parallel_for(
      nested.pool.pool, nested.visits.count,
      { context, index in
        guard let context else { return }
        let nested = Unmanaged<Nested>.fromOpaque(context).takeUnretainedValue()
        visit(nested.pool.pool, nested.visits[index])
      }, Unmanaged.passUnretained(nested).toOpaque())
    for visits in nested.visits { #expect(visits.all == [Int](repeating: 1, count: 9)) }
  }

  @Test func callersShareAPool() async {
    let shared = TwoThreads()
    await withTaskGroup(of: [Int].self) { group in
      for _ in 0..<8 {
        group.addTask {
          let visits = Visits(100)
          for _ in 0..<20 { visit(shared.pool, visits) }
          return visits.all
        }
      }
      for await counts in group { #expect(counts == [Int](repeating: 20, count: 100)) }
    }
  }

  @Test func sleepingWorkersWakeUp() {
    let shared = TwoThreads()
    for _ in 0..<20 {
      let visits = Visits(64)
      usleep(500)
      visit(shared.pool, visits)
      #expect(visits.all == [Int](repeating: 1, count: 64))
    }
  }
}
