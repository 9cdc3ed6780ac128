import CLamina
import LaminaCore

/// The pointer, which must not be NULL.
///
/// - Throws: `argument` naming the parameter.
func require<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: StaticString
) throws -> UnsafeMutablePointer<T> {
  if let pointer { return pointer }
  throw LaminaError(.argument, "expected a pointer, found NULL", path: "\(name)")
}

/// The pointer, which must not be NULL.
///
/// - Throws: `argument` naming the parameter.
func require<T>(_ pointer: UnsafePointer<T>?, _ name: StaticString) throws -> UnsafePointer<T> {
  if let pointer { return pointer }
  throw LaminaError(.argument, "expected a pointer, found NULL", path: "\(name)")
}

/// The elements of an array of the caller; NULL is an empty one.
///
/// - Throws: `argument` when there are elements but no pointer, or more than memory holds.
func array<T>(
  _ pointer: UnsafePointer<T>?, _ count: Int, _ name: StaticString
) throws -> UnsafeBufferPointer<T> {
  try checkArray(pointer == nil, count, MemoryLayout<T>.stride, name)
  return UnsafeBufferPointer(start: pointer, count: count)
}

/// The elements of an array of the caller, to write.
///
/// - Throws: as the other.
func array<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ count: Int, _ name: StaticString
) throws -> UnsafeMutableBufferPointer<T> {
  try checkArray(pointer == nil, count, MemoryLayout<T>.stride, name)
  return UnsafeMutableBufferPointer(start: pointer, count: count)
}

/// The bytes of a file in the caller's memory.
///
/// - Throws: `argument` when the pointer is NULL or there are more than memory holds.
func bytes(
  _ pointer: UnsafeRawPointer?, _ size: Int, _ name: StaticString
) throws -> UnsafeRawBufferPointer {
  let start = try require(pointer?.assumingMemoryBound(to: UInt8.self), name)
  return try UnsafeRawBufferPointer(array(start, size, name))
}

private func checkArray(_ isNull: Bool, _ count: Int, _ stride: Int, _ name: StaticString) throws {
  guard count >= 0, count <= Int.max / stride else {
    throw LaminaError(.argument, "expected a count that fits memory", path: "\(name)")
  }
  guard count == 0 || !isNull else {
    throw LaminaError(.argument, "expected a pointer, found NULL", path: "\(name)")
  }
}

/// Largest `struct_size` that is taken for one.
private let largestStruct = 4096

/// The caller's options: fields behind its `struct_size` are zero.
///
/// - Throws: `argument` when `struct_size` is no size, or a field this library does not know is not 0.
func options<T: BitwiseCopyable>(
  _ pointer: UnsafePointer<T>, _ empty: T, _ name: StaticString
) throws -> T {
  let start = UnsafeRawPointer(pointer)
  let size = try structSize(at: start, name)
  let known = MemoryLayout<T>.size
  for offset in min(known, size)..<size
  where start.load(fromByteOffset: offset, as: UInt8.self) != 0 {
    throw LaminaError(
      .argument, "expected 0 in the fields behind byte \(known), which this library does not know",
      path: "\(name)")
  }
  var result = empty
  withUnsafeMutableBytes(of: &result) { bytes in
    bytes.copyMemory(from: UnsafeRawBufferPointer(start: start, count: min(size, known)))
  }
  return result
}

/// Writes a struct of facts into the caller's, as far as its `struct_size` reaches; fields this library does
/// not know become 0.
///
/// - Throws: `argument` when `struct_size` is no size.
func write<T: BitwiseCopyable>(
  _ value: T, to pointer: UnsafeMutablePointer<T>, _ name: StaticString
) throws {
  let start = UnsafeMutableRawPointer(pointer)
  let size = try structSize(at: UnsafeRawPointer(start), name)
  let known = min(MemoryLayout<T>.size, size)
  withUnsafeBytes(of: value) { bytes in
    UnsafeMutableRawBufferPointer(start: start + 4, count: known - 4)
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[4..<known]))
  }
  UnsafeMutableRawBufferPointer(start: start + known, count: size - known)
    .initializeMemory(as: UInt8.self, repeating: 0)
}

private func structSize(at start: UnsafeRawPointer, _ name: StaticString) throws -> Int {
  let size = Int(start.load(as: UInt32.self))
  guard size >= 4, size <= largestStruct else {
    throw LaminaError(
      .argument, "expected struct_size to be the size of the struct, found \(size)", path: "\(name)"
    )
  }
  return size
}
