import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Memory with guard bytes before and behind it, between two pages that nobody may touch. Read as `float32`, the guard
/// bytes are 1.53, so that what is added to them shows.
final class FencedMemory: @unchecked Sendable {
  private static let pattern: [UInt8] = [0x5A, 0xA5, 0xC3, 0x3F]
  private static let guardBytes = 64

  /// First byte: aligned to 64, or `byteCount` before a page that nobody may touch.
  let address: UnsafeMutableRawPointer
  let byteCount: Int
  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int
  private let page: Int
  private let guards: [UnsafeMutableRawPointer]

  /// - Parameter atEnd: whether the byte behind the last one lies in a page that nobody may touch.
  /// - Throws: `limit` when the system has no memory.
  init(byteCount: Int, atEnd: Bool = false, filledWith byte: UInt8 = 0) throws {
    page = sysconf(Int32(_SC_PAGESIZE))
    guard byteCount >= 0, byteCount <= 1 << 36 else {
      throw LaminaError(.limit, "no memory for \(byteCount) bytes")
    }
    let inside = (byteCount + 2 * Self.guardBytes + page - 1) / page * page
    mappedBytes = inside + 2 * page
    let anonymous = Int32(MAP_PRIVATE) | Int32(MAP_ANONYMOUS)
    guard let mapping = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, anonymous, -1, 0),
      Int(bitPattern: mapping) != -1
    else { throw LaminaError(.limit, "no memory for \(byteCount) bytes") }
    self.mapping = mapping
    self.byteCount = byteCount
    let end = mapping + page + inside
    address = atEnd ? end - byteCount : mapping + page + Self.guardBytes
    guards =
      (0..<Self.guardBytes).map { [address] in address - 1 - $0 }
      + (atEnd ? [] : (0..<Self.guardBytes).map { [address] in address + byteCount + $0 })
    for guardByte in guards {
      guardByte.storeBytes(of: Self.pattern(at: guardByte), as: UInt8.self)
    }
    address.initializeMemory(as: UInt8.self, repeating: byte, count: byteCount)
    mprotect(mapping, page, PROT_NONE)
    mprotect(end, page, PROT_NONE)
  }

  /// Memory that holds a tensor.
  convenience init(_ tensor: Tensor, atEnd: Bool = false) throws {
    try self.init(byteCount: tensor.byteCount, atEnd: atEnd)
    tensor.withBytes {
      UnsafeMutableRawBufferPointer(start: address, count: byteCount).copyMemory(from: $0)
    }
  }

  deinit { munmap(mapping, mappedBytes) }

  private static func pattern(at address: UnsafeMutableRawPointer) -> UInt8 {
    pattern[Int(bitPattern: address) & 3]
  }

  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }

  /// Whether the guard bytes are as they were.
  var isIntact: Bool { guards.allSatisfy { $0.load(as: UInt8.self) == Self.pattern(at: $0) } }

  /// From now on nobody may touch it.
  func revoke() { mprotect(mapping, mappedBytes, PROT_NONE) }
}
