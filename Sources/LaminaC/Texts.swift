import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Most bytes of a path or name.
private let longestText = 65_535

/// A copy of a path, name or text of the caller.
///
/// - Throws: `argument` when it is NULL, not UTF-8, or longer than `limit` bytes.
func text(
  _ pointer: UnsafePointer<CChar>?, _ name: StaticString, limit: Int = longestText
) throws -> String {
  let pointer = try require(pointer, name)
  let length = strnlen(pointer, limit + 1)
  guard length <= limit else {
    throw LaminaError(.argument, "expected at most \(limit) bytes of text", path: "\(name)")
  }
  let bytes = UnsafeRawBufferPointer(start: pointer, count: length)
  guard let text = String(validating: bytes, as: UTF8.self) else {
    throw LaminaError(.argument, "expected UTF-8 text", path: "\(name)")
  }
  return text
}

/// Copies `text` and its NUL into the caller's buffer, or tells how many bytes that takes.
///
/// - Throws: `buffer` when `capacity` is too small, `argument` when there is capacity but no buffer.
func write(
  _ text: String, to buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  needed: UnsafeMutablePointer<Int>?
) throws {
  let target = try array(buffer, capacity, "buffer")
  var text = text
  try text.withUTF8 { bytes in
    let count = bytes.count + 1
    if target.baseAddress == nil, capacity == 0 {
      needed?.pointee = count
      return
    }
    guard capacity >= count, let start = target.baseAddress else {
      needed?.pointee = count
      throw LaminaError(.buffer, "expected \(count) bytes, found \(capacity)", path: "buffer")
    }
    for (index, byte) in bytes.enumerated() { start[index] = CChar(bitPattern: byte) }
    start[bytes.count] = 0
    needed?.pointee = count
  }
}

/// Texts that C callers borrow from the object that holds them.
final class BorrowedTexts: @unchecked Sendable {
  private var pointers: [UnsafeMutablePointer<CChar>] = []

  /// A copy of `text` that lives as long as `self`.
  ///
  /// - Throws: `limit` when there is no memory.
  func add(_ text: String) throws -> UnsafePointer<CChar> {
    guard let copy = strdup(text) else {
      throw LaminaError(.limit, "no memory for \(text.utf8.count) bytes")
    }
    pointers.append(copy)
    return UnsafePointer(copy)
  }

  /// Copies of texts that live as long as `self`, in an array that the caller deallocates.
  ///
  /// - Throws: `limit` when there is no memory.
  func addAll(_ texts: [String]) throws -> UnsafeMutableBufferPointer<UnsafePointer<CChar>?> {
    let copies = try texts.map(add)
    let result = UnsafeMutableBufferPointer<UnsafePointer<CChar>?>.allocate(capacity: copies.count)
    _ = result.initialize(from: copies)
    return result
  }

  deinit { for pointer in pointers { free(pointer) } }
}

/// A C text that is never freed.
func immortal(_ text: String) -> UnsafePointer<CChar>? { strdup(text).map { UnsafePointer($0) } }

/// Whether a C text comes before another, by bytes.
func isBefore(_ a: UnsafePointer<CChar>, _ b: UnsafePointer<CChar>) -> Bool { strcmp(a, b) < 0 }

/// Whether two C texts are the same bytes.
func areEqual(_ a: UnsafePointer<CChar>, _ b: UnsafePointer<CChar>) -> Bool { strcmp(a, b) == 0 }
