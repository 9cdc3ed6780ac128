/// Reads little-endian numbers and byte ranges; every read is checked and throws with the file and offset.
public struct ByteReader: Sendable {
  /// The bytes.
  public let bytes: [UInt8]
  /// The next byte to read.
  public private(set) var offset: Int
  /// One past the last byte to read.
  public let end: Int
  /// File or tensor name, for messages.
  public let path: String

  /// A reader of `range`, by default of all bytes.
  ///
  /// - Throws: `format` when the range lies outside the bytes.
  public init(_ bytes: [UInt8], range: Range<Int>? = nil, path: String) throws {
    let range = range ?? 0..<bytes.count
    guard range.lowerBound >= 0, range.upperBound <= bytes.count else {
      throw LaminaError(
        .format, "expected \(range.upperBound) bytes, found \(bytes.count)", path: path)
    }
    self.bytes = bytes
    self.path = path
    offset = range.lowerBound
    end = range.upperBound
  }

  /// Bytes left.
  public var remaining: Int { end - offset }
  /// True when all bytes are read.
  public var isAtEnd: Bool { offset == end }

  /// An error of code `format` at the current offset.
  public func failure(_ message: String, at position: Int? = nil) -> LaminaError {
    LaminaError(.format, message, path: "\(path) @ \(position ?? offset)")
  }

  /// The next `count` bytes as a range of `bytes`; steps over them.
  public mutating func range(_ count: Int, of what: @autoclosure () -> String = "data") throws
    -> Range<Int>
  {
    guard count >= 0, count <= remaining else {
      throw failure("expected \(count) bytes of \(what()), found \(remaining)")
    }
    defer { offset += count }
    return offset..<offset + count
  }

  /// The next `count` bytes.
  public mutating func slice(
    _ count: Int, of what: @autoclosure () -> String = "data"
  ) throws -> ArraySlice<UInt8> {
    bytes[try range(count, of: what())]
  }

  /// The next little-endian number.
  public mutating func integer<T: FixedWidthInteger>(
    _: T.Type = T.self, _ what: @autoclosure () -> String = "number"
  ) throws -> T {
    let range = try range(MemoryLayout<T>.size, of: what())
    return bytes.withUnsafeBytes {
      T(littleEndian: $0.loadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
    }
  }

  /// The next byte.
  public mutating func byte(_ what: @autoclosure () -> String = "byte") throws -> UInt8 {
    guard offset < end else { throw failure("expected a \(what()), found the end") }
    defer { offset += 1 }
    return bytes[offset]
  }

  /// The next `count` bytes as UTF-8.
  public mutating func string(
    _ count: Int, _ what: @autoclosure () -> String = "text"
  ) throws -> String {
    let start = offset
    guard let text = String(validating: try slice(count, of: what()), as: UTF8.self) else {
      throw failure("\(what()) is not UTF-8", at: start)
    }
    return text
  }

  /// Moves to `position`.
  public mutating func seek(to position: Int) throws {
    guard position >= 0, position <= end else {
      throw failure("expected an offset up to \(end), found \(position)")
    }
    offset = position
  }
}
