import LaminaCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A number that any thread may raise.
final class Counter: Sendable {
  private let count = Atomic(0)

  /// The number behind the raise.
  func next() -> Int { count.add(1, ordering: .relaxed).newValue }
}

/// Makes things ahead of who needs them, on a thread of its own, in order.
public final class Prefetcher<Element: Sendable>: @unchecked Sendable {
  private let state: State

  /// Shared with the thread, which must not keep the prefetcher alive.
  private final class State: @unchecked Sendable {
    var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    var condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    let count: Int
    let depth: Int
    let make: @Sendable (Int) throws -> Element
    var ready: [Result<Element, any Error>] = []
    var made = 0
    var isStopped = false

    init(_ count: Int, _ depth: Int, _ make: @escaping @Sendable (Int) throws -> Element) {
      self.count = count
      self.depth = depth
      self.make = make
      pthread_mutex_init(mutex, nil)
      pthread_cond_init(condition, nil)
    }

    deinit {
      pthread_mutex_destroy(mutex)
      pthread_cond_destroy(condition)
      mutex.deallocate()
      condition.deallocate()
    }

    func run() {
      for index in 0..<count {
        pthread_mutex_lock(mutex)
        while ready.count >= depth, !isStopped { pthread_cond_wait(condition, mutex) }
        let stops = isStopped
        pthread_mutex_unlock(mutex)
        if stops { return }
        let result = Result { try make(index) }
        pthread_mutex_lock(mutex)
        ready.append(result)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
        if case .failure = result { return }
      }
    }
  }

  private let thread: WorkerThread
  private var taken = 0

  /// Begins to make `make(0)`, `make(1)`, …, `make(count − 1)`, at most `depth` of them ahead.
  ///
  /// - Throws: `limit` when there can be no thread.
  public init(count: Int, depth: Int = 2, make: @escaping @Sendable (Int) throws -> Element) throws
  {
    let state = State(count, max(depth, 1), make)
    self.state = state
    thread = try WorkerThread { state.run() }
  }

  /// The next element, in order; nil behind the last. One caller at a time.
  ///
  /// - Throws: what making it threw; nothing comes behind that.
  public func next() throws -> Element? {
    guard taken < state.count else { return nil }
    pthread_mutex_lock(state.mutex)
    while state.ready.isEmpty { pthread_cond_wait(state.condition, state.mutex) }
    let result = state.ready.removeFirst()
    pthread_cond_broadcast(state.condition)
    pthread_mutex_unlock(state.mutex)
    taken = if case .failure = result { state.count } else { taken + 1 }
    return try result.get()
  }

  deinit {
    pthread_mutex_lock(state.mutex)
    state.isStopped = true
    pthread_cond_broadcast(state.condition)
    pthread_mutex_unlock(state.mutex)
    thread.join()
  }
}

/// A thread that runs one function.
private final class WorkerThread: Sendable {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private let identifier: UInt

  init(_ run: @escaping @Sendable () -> Void) throws {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(Body(run))
    let code = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, context.toOpaque())
    guard code == 0 else {
      context.release()
      throw LaminaError(.limit, "no thread to prepare data: error \(code)")
    }
    identifier = UInt(thread)
  }

  func join() { pthread_join(pthread_t(identifier), nil) }
}
