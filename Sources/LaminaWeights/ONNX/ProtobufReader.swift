import LaminaCore

/// Reads the fields of one protobuf message in the order of the file, without recursion: a nested message is
/// a range of bytes until somebody reads it.
///
/// Groups (wire types 3 and 4), wire types 6 and 7 and field number 0 are refused; they do not occur in ONNX.
struct ProtobufReader {
  /// One field of a message.
  struct Field {
    /// Number within the message.
    var number: Int
    /// What it holds.
    var value: Value
    /// Where that lies in the file.
    var content: Range<Int>
    /// Position of its tag, for messages.
    var offset: Int
  }

  /// A field's content by wire type.
  enum Value {
    case varint(UInt64)
    case fixed64(UInt64)
    case bytes(Range<Int>)
    case fixed32(UInt32)

    var typeName: String {
      switch self {
      case .varint: "a varint"
      case .fixed64: "8 bytes"
      case .bytes: "a byte string"
      case .fixed32: "4 bytes"
      }
    }
  }

  private var reader: ByteReader
  /// The file's bytes, of which the message is a part.
  var bytes: [UInt8] { reader.bytes }
  /// File name, for messages.
  var path: String { reader.path }

  /// A reader of the message in `range`.
  init(_ bytes: [UInt8], range: Range<Int>, path: String) throws {
    reader = try ByteReader(bytes, range: range, path: path)
  }

  /// A reader of a message within this one.
  func nested(_ range: Range<Int>) throws -> ProtobufReader {
    try ProtobufReader(bytes, range: range, path: path)
  }

  /// An error of code `format` at a position of the file.
  func failure(_ message: String, at position: Int) -> LaminaError {
    reader.failure(message, at: position)
  }

  /// The next field, or nil at the end of the message.
  mutating func next() throws -> Field? {
    guard !reader.isAtEnd else { return nil }
    let offset = reader.offset
    let tag = try reader.varint()
    guard let number = Int(exactly: tag >> 3), number >= 1, number <= 0x1FFF_FFFF else {
      throw failure("expected a field number in 1...536870911, found \(tag >> 3)", at: offset)
    }
    let start = reader.offset
    let value: Value
    switch tag & 7 {
    case 0: value = .varint(try reader.varint())
    case 1: value = .fixed64(try reader.integer())
    case 2:
      let length = try reader.varint()
      guard let count = Int(exactly: length), count <= reader.remaining else {
        throw failure(
          "expected \(length) bytes of field \(number), found \(reader.remaining)", at: offset)
      }
      let range = try reader.range(count)
      return Field(number: number, value: .bytes(range), content: range, offset: offset)
    case 5: value = .fixed32(try reader.integer())
    default:
      throw failure(
        "expected wire type 0, 1, 2 or 5 in field \(number), found \(tag & 7)", at: offset)
    }
    return Field(number: number, value: value, content: start..<reader.offset, offset: offset)
  }

  private func mismatch(_ field: Field, _ name: String, _ expected: String) -> LaminaError {
    failure("expected \(name) to be \(expected), found \(field.value.typeName)", at: field.offset)
  }

  /// A nested message.
  func message(_ field: Field, _ name: String) throws -> ProtobufReader {
    try nested(range(field, name))
  }

  /// The range of a byte string.
  func range(_ field: Field, _ name: String) throws -> Range<Int> {
    guard case .bytes(let range) = field.value else { throw mismatch(field, name, "a byte string") }
    return range
  }

  /// A text.
  func string(_ field: Field, _ name: String) throws -> String {
    let range = try range(field, name)
    guard let text = String(validating: bytes[range], as: UTF8.self) else {
      throw failure("\(name) is not UTF-8", at: field.offset)
    }
    return text
  }

  /// An `int64`, `int32` or enumeration value.
  func int(_ field: Field, _ name: String) throws -> Int {
    guard case .varint(let bits) = field.value else { throw mismatch(field, name, "a varint") }
    return Int(Int64(bitPattern: bits))
  }

  /// A `float`.
  func float(_ field: Field, _ name: String) throws -> Float {
    guard case .fixed32(let bits) = field.value else { throw mismatch(field, name, "4 bytes") }
    return Float(bitPattern: bits)
  }

  /// Appends one value or a packed list of varints to `list`, which may hold `limit` values.
  func appendInts(_ field: Field, _ name: String, to list: inout [Int], limit: Int) throws {
    switch field.value {
    case .varint(let bits):
      try checkCount(list.count + 1, limit, field, name)
      list.append(Int(Int64(bitPattern: bits)))
    case .bytes(let range):
      var packed = try ByteReader(bytes, range: range, path: path)
      while !packed.isAtEnd {
        try checkCount(list.count + 1, limit, field, name)
        list.append(Int(Int64(bitPattern: try packed.varint())))
      }
    default: throw mismatch(field, name, "varints")
    }
  }

  /// Appends one value or a packed list of floats to `list`, which may hold `limit` values.
  func appendFloats(_ field: Field, _ name: String, to list: inout [Float], limit: Int) throws {
    switch field.value {
    case .fixed32(let bits):
      try checkCount(list.count + 1, limit, field, name)
      list.append(Float(bitPattern: bits))
    case .bytes(let range):
      guard range.count % 4 == 0 else {
        throw failure(
          "expected a multiple of 4 bytes in \(name), found \(range.count)", at: field.offset)
      }
      try checkCount(list.count + range.count / 4, limit, field, name)
      var packed = try ByteReader(bytes, range: range, path: path)
      while !packed.isAtEnd { list.append(Float(bitPattern: try packed.integer())) }
    default: throw mismatch(field, name, "floats")
    }
  }

  private func checkCount(_ count: Int, _ limit: Int, _ field: Field, _ name: String) throws {
    guard count <= limit else {
      throw LaminaError(
        .limit, "expected at most \(limit) values in \(name)", path: "\(path) @ \(field.offset)")
    }
  }

  /// Appends `element` unless `list` already holds `limit`.
  func append<T>(
    _ element: T, to list: inout [T], limit: Int, _ name: String, at offset: Int
  ) throws {
    guard list.count < limit else {
      throw LaminaError(.limit, "expected at most \(limit) of \(name)", path: "\(path) @ \(offset)")
    }
    list.append(element)
  }

  /// Where the values of a repeated number lie: a packed list, or the single value just read.
  func packedRange(_ field: Field, _ name: String, varints: Bool) throws -> Range<Int> {
    switch field.value {
    case .bytes: field.content
    case .varint where varints: field.content
    case .fixed32 where !varints, .fixed64 where !varints: field.content
    default: throw mismatch(field, name, varints ? "varints" : "numbers of fixed size")
    }
  }
}

extension ByteReader {
  /// The next base-128 number, at most 10 bytes long.
  mutating func varint() throws -> UInt64 {
    let start = offset
    var result: UInt64 = 0
    for index in 0..<10 {
      let byte = try byte("varint")
      // The tenth byte carries bit 63 alone.
      guard index < 9 || byte <= 1 else {
        throw failure("a varint is longer than 64 bits", at: start)
      }
      result |= UInt64(byte & 0x7F) << UInt64(7 * index)
      if byte & 0x80 == 0 { return result }
    }
    throw failure("a varint is longer than 10 bytes", at: start)
  }
}
