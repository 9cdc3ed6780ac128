import LaminaCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a handle names.
enum HandleKind: UInt8 {
  case context = 0xC1
  case model = 0xC2
  case session = 0xC3
  case image = 0xC4
  case dataset = 0xC5
  case trainer = 0xC6
}

/// An object that C callers hold handles of.
protocol HandleObject: AnyObject, Sendable {
  static var kind: HandleKind { get }
}

/// The objects that C callers hold handles of.
///
/// A handle is kind (8 bits), generation (32 bits), slot (24 bits). A slot's generation rises with each
/// release and a slot whose generations are used up is never used again, so no handle is ever given twice.
/// The table holds one reference, a call in progress another, and each object one to what it was made from.
final class HandleTable: @unchecked Sendable {
  private struct Slot {
    var generation: UInt32 = 1
    var kind = HandleKind.context
    var object: (any HandleObject)?
  }

  private static let slotLimit = 1 << 24
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var slots: [Slot] = []
  private var vacant: [Int] = []

  fileprivate init() {
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    // A child must not inherit the mutex as another thread's.
    pthread_atfork({ handles.lock() }, { handles.unlock() }, { handles.resumeInChild() })
  }

  private func lock() { pthread_mutex_lock(mutex) }
  private func unlock() { pthread_mutex_unlock(mutex) }

  private func resumeInChild() {
    forkCount.wrappingAdd(1, ordering: .relaxed)
    unlock()
  }

  /// Takes the caller's first reference.
  ///
  /// - Throws: `limit` when there are 2²⁴ objects.
  func insert<Object: HandleObject>(_ object: Object) throws -> UInt64 {
    lock()
    defer { unlock() }
    let index = vacant.popLast() ?? slots.count
    guard index < HandleTable.slotLimit else {
      throw LaminaError(.limit, "expected at most \(HandleTable.slotLimit) handles")
    }
    if index == slots.count { slots.append(Slot()) }
    slots[index].kind = Object.kind
    slots[index].object = object
    return UInt64(Object.kind.rawValue) << 56 | UInt64(slots[index].generation) << 24
      | UInt64(index)
  }

  /// The object of a handle, which the caller's reference keeps alive.
  ///
  /// - Throws: `handle` when the handle is 0, made up, released, or of another kind.
  func object<Object: HandleObject>(_ handle: UInt64, _: Object.Type = Object.self) throws -> Object
  {
    lock()
    defer { unlock() }
    if let index = index(of: handle), slots[index].kind == Object.kind,
      let object = slots[index].object
    {
      return unsafeDowncast(object, to: Object.self)
    }
    throw mismatch(handle, expected: Object.kind)
  }

  /// Takes the caller's reference back; nothing happens when there is none.
  func release(_ handle: UInt64, _ kind: HandleKind) {
    lock()
    // The object may go now: that must not happen under the lock.
    var released: (any HandleObject)?
    if let index = index(of: handle), slots[index].kind == kind {
      swap(&released, &slots[index].object)
      if slots[index].generation < .max {
        slots[index].generation += 1
        vacant.append(index)
      }
    }
    unlock()
    withExtendedLifetime(released) {}
  }

  /// The slot of a handle that is not released.
  private func index(of handle: UInt64) -> Int? {
    let index = Int(handle & 0xFF_FFFF)
    guard index < slots.count, slots[index].object != nil,
      slots[index].generation == UInt32(truncatingIfNeeded: handle >> 24),
      slots[index].kind.rawValue == UInt8(truncatingIfNeeded: handle >> 56)
    else { return nil }
    return index
  }

  private func mismatch(_ handle: UInt64, expected: HandleKind) -> LaminaError {
    let found =
      if handle == 0 {
        "0"
      } else if let index = index(of: handle) {
        "a \(slots[index].kind)"
      } else {
        "one that was released or never made"
      }
    return LaminaError(.handle, "expected a handle of a \(expected), found \(found)")
  }
}

/// All handles of the process.
let handles = HandleTable()

/// How often this process is the child of a fork.
private let forkCount = Atomic<UInt32>(0)

/// Counts the calls that use an object, and knows when it was another thread's at a fork.
struct Gate: ~Copyable {
  /// `forkCount` when the first of the present users entered, and their number.
  private let state = Atomic<UInt64>(0)

  /// Enters, at most `limit` at a time.
  ///
  /// - Throws: `busy`, or `forked` when those inside were left behind in the parent process.
  func enter(limit: UInt32 = .max, _ name: StaticString) throws {
    let now = UInt64(forkCount.load(ordering: .relaxed)) << 32
    var old = state.load(ordering: .relaxed)
    while true {
      let users = UInt32(truncatingIfNeeded: old)
      if users > 0, old >> 32 != now >> 32 {
        throw LaminaError(.forked, "the \(name) was in use when the process was forked")
      }
      guard users < limit else {
        throw LaminaError(.busy, "the \(name) is in use by another call")
      }
      let result = state.compareExchange(
        expected: old, desired: now | UInt64(users + 1), ordering: .acquiringAndReleasing)
      if result.exchanged { return }
      old = result.original
    }
  }

  /// Leaves.
  func leave() { state.wrappingSubtract(1, ordering: .acquiringAndReleasing) }
}
