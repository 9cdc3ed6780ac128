import LaminaCore

/// What a superblock says about all structures of a file: where addresses start and how wide they
/// are.
struct HDF5Format: Sendable {
  let source: ByteSource
  let limits: Limits
  /// Added to every address.
  var base = 0
  /// Bytes of an address.
  var offsetSize = 8
  /// Bytes of a length.
  var lengthSize = 8
}

/// Reads structures of a file once, under a budget: 64 structures for each KiB of file and 100,000
/// besides, and four times the file's bytes.
final class HDF5Reader {
  let format: HDF5Format
  private var structuresLeft: Int
  private var bytesLeft: Int
  private var globalHeaps: [Int: HDF5GlobalHeap] = [:]

  init(_ format: HDF5Format) {
    self.format = format
    let size = format.source.byteCount
    structuresLeft = size / 16 + 100_000
    bytesLeft = size.multipliedReportingOverflow(by: 4).partialValue + 1 << 20
  }

  /// A cursor over `count` bytes at an address of the file.
  ///
  /// - Throws: `format` when they reach beyond the end, `limit` when the budget is spent.
  func cursor(at address: Int, count: Int, of what: String) throws -> HDF5Cursor {
    let (start, overflow) = address.addingReportingOverflow(format.base)
    let size = format.source.byteCount
    guard !overflow, start >= 0, count >= 0, start <= size, count <= size - start else {
      throw format.source.failure(
        "expected \(count) bytes of \(what), found \(overflow ? 0 : max(size - max(start, 0), 0))",
        at: overflow ? address : start)
    }
    structuresLeft -= 1
    bytesLeft -= count
    guard structuresLeft >= 0, bytesLeft >= 0 else {
      throw LaminaError(
        .limit, "expected structures within four times the file, found more",
        path: format.source.name)
    }
    return HDF5Cursor(
      bytes: try format.source.bytes(start..<start + count), start: start, format: format)
  }

  /// A cursor over a structure of at most `count` bytes, cut at the end of the file.
  func cursor(at address: Int, upTo count: Int, of what: String) throws -> HDF5Cursor {
    let (start, overflow) = address.addingReportingOverflow(format.base)
    let left = overflow ? 0 : format.source.byteCount - start
    return try cursor(at: address, count: min(count, max(left, 0)), of: what)
  }

  /// The object of a global heap.
  func globalObject(heap address: Int, index: Int) throws -> ArraySlice<UInt8> {
    if let heap = globalHeaps[address] { return try heap.object(index) }
    let heap = try HDF5GlobalHeap(self, at: address)
    globalHeaps[address] = heap
    return try heap.object(index)
  }
}

/// Little-endian numbers of one structure; every read is checked.
struct HDF5Cursor {
  let bytes: [UInt8]
  /// Place of the first byte in the file.
  let start: Int
  var format: HDF5Format
  private(set) var offset = 0

  init(bytes: [UInt8], start: Int, format: HDF5Format) {
    self.bytes = bytes
    self.start = start
    self.format = format
  }

  var remaining: Int { bytes.count - offset }
  var position: Int { start + offset }

  func failure(_ message: String) -> LaminaError { format.source.failure(message, at: position) }

  mutating func slice(_ count: Int, _ what: String) throws -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else {
      throw failure("expected \(count) bytes of \(what), found \(remaining)")
    }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  mutating func skip(_ count: Int, _ what: String) throws { _ = try slice(count, what) }

  /// The next `count` bytes, 1 to 8, as a number.
  mutating func number(_ count: Int, _ what: String) throws -> UInt64 {
    var result: UInt64 = 0
    for (index, byte) in try slice(count, what).enumerated() {
      result |= UInt64(byte) << (8 * UInt64(index))
    }
    return result
  }

  mutating func byte(_ what: String) throws -> Int { Int(try number(1, what)) }
  mutating func short(_ what: String) throws -> Int { Int(try number(2, what)) }
  mutating func word(_ what: String) throws -> Int { Int(try number(4, what)) }

  /// A number of `count` bytes that must fit an `Int`.
  mutating func integer(_ count: Int, _ what: String) throws -> Int {
    let number = try number(count, what)
    guard let integer = Int(exactly: number) else {
      throw failure("expected \(what) below 2^63, found \(number)")
    }
    return integer
  }

  mutating func length(_ what: String) throws -> Int { try integer(format.lengthSize, what) }

  /// An address; nil when it is undefined, all bits set.
  mutating func optionalAddress(_ what: String) throws -> Int? {
    let number = try number(format.offsetSize, what)
    let undefined = format.offsetSize == 8 ? UInt64.max : 1 << (8 * UInt64(format.offsetSize)) - 1
    if number == undefined { return nil }
    guard let address = Int(exactly: number) else {
      throw failure("expected \(what) within the file, found \(number)")
    }
    return address
  }

  mutating func address(_ what: String) throws -> Int {
    guard let address = try optionalAddress(what) else {
      throw failure("expected \(what), found an undefined address")
    }
    return address
  }

  mutating func expect(signature: StaticString) throws {
    let expected = signature.withUTF8Buffer { Array($0) }
    guard try slice(expected.count, "signature '\(signature)'").elementsEqual(expected) else {
      offset -= expected.count
      throw failure("expected the signature '\(signature)'")
    }
  }

  mutating func expect(version: ClosedRange<Int>, of what: String) throws -> Int {
    let found = try byte("version of \(what)")
    guard version.contains(found) else {
      offset -= 1
      throw LaminaError(
        .unsupported,
        "expected version \(version.lowerBound)\(version.count > 1 ? " to \(version.upperBound)" : "") of \(what), found \(found)",
        path: "\(format.source.name) @ \(position)")
    }
    return found
  }

  /// Compares the next four bytes with the checksum of all bytes before them.
  mutating func expectChecksum(of what: String) throws {
    let expected = HDF5Checksum.lookup3(bytes[..<offset])
    let found = UInt32(try number(4, "checksum of \(what)"))
    guard found == expected else {
      offset -= 4
      throw failure(
        "expected checksum \(String(expected, radix: 16)) of \(what), found \(String(found, radix: 16))"
      )
    }
  }
}

/// The checksum of structures since version 1.8 of the format.
enum HDF5Checksum {
  /// Bob Jenkins' lookup3, `hashlittle` with an initial value of 0.
  static func lookup3(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    func rotated(_ value: UInt32, _ count: UInt32) -> UInt32 {
      value << count | value >> (32 - count)
    }
    var a = 0xDEAD_BEEF &+ UInt32(truncatingIfNeeded: bytes.count)
    var (b, c) = (a, a)
    func word(_ index: Int) -> UInt32 {
      var result: UInt32 = 0
      for k in 0..<4 where index + k < bytes.endIndex {
        result |= UInt32(bytes[index + k]) << (8 * UInt32(k))
      }
      return result
    }
    var index = bytes.startIndex
    while bytes.endIndex - index > 12 {
      a &+= word(index)
      b &+= word(index + 4)
      c &+= word(index + 8)
      a = (a &- c) ^ rotated(c, 4)
      c &+= b
      b = (b &- a) ^ rotated(a, 6)
      a &+= c
      c = (c &- b) ^ rotated(b, 8)
      b &+= a
      a = (a &- c) ^ rotated(c, 16)
      c &+= b
      b = (b &- a) ^ rotated(a, 19)
      a &+= c
      c = (c &- b) ^ rotated(b, 4)
      b &+= a
      index += 12
    }
    guard index < bytes.endIndex else { return c }
    a &+= word(index)
    b &+= word(index + 4)
    c &+= word(index + 8)
    c = (c ^ b) &- rotated(b, 14)
    a = (a ^ c) &- rotated(c, 11)
    b = (b ^ a) &- rotated(a, 25)
    c = (c ^ b) &- rotated(b, 16)
    a = (a ^ c) &- rotated(c, 4)
    b = (b ^ a) &- rotated(a, 14)
    c = (c ^ b) &- rotated(b, 24)
    return c
  }
}

/// A collection of objects, which strings of variable length lie in.
struct HDF5GlobalHeap {
  private let bytes: [UInt8]
  private var objects: [Int: Range<Int>] = [:]
  private let failure: (String) -> LaminaError

  init(_ reader: HDF5Reader, at address: Int) throws {
    var head = try reader.cursor(
      at: address, count: 8 + reader.format.lengthSize, of: "global heap")
    try head.expect(signature: "GCOL")
    _ = try head.expect(version: 1...1, of: "a global heap")
    try head.skip(3, "reserved bytes")
    let size = try head.length("size of a global heap")
    var cursor = try reader.cursor(at: address, count: size, of: "global heap")
    try cursor.skip(min(8 + reader.format.lengthSize, size), "head of a global heap")
    while cursor.remaining >= 8 + reader.format.lengthSize {
      let index = try cursor.short("index of an object")
      try cursor.skip(6, "reference count")
      let count = try cursor.length("size of an object")
      guard index != 0 else { break }
      let start = cursor.offset
      try cursor.skip(count, "object of a global heap")
      guard objects.updateValue(start..<start + count, forKey: index) == nil else {
        throw cursor.failure("two objects of a global heap have the index \(index)")
      }
      try cursor.skip(min((8 - count % 8) % 8, cursor.remaining), "padding")
    }
    bytes = cursor.bytes
    let (source, start) = (reader.format.source, cursor.start)
    failure = { source.failure($0, at: start) }
  }

  func object(_ index: Int) throws -> ArraySlice<UInt8> {
    guard let range = objects[index] else {
      throw failure("expected an object \(index) in a global heap, found none")
    }
    return bytes[range]
  }
}
