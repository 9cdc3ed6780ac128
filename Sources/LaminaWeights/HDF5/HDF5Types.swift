import LaminaCore

/// The type of a dataset's or an attribute's elements.
enum HDF5Type: Sendable, Hashable {
  case number(ElementType, isBigEndian: Bool)
  /// Of `byteCount` bytes, ended by a zero byte, or padded with zeros or blanks.
  case string(byteCount: Int)
  /// In a global heap.
  case variableString
  /// Known by name only.
  case other(String)

  private static let names = [
    "integer", "float", "time", "string", "bit field", "opaque", "compound", "reference",
    "enumeration", "variable-length", "array",
  ]

  init(_ cursor: inout HDF5Cursor) throws {
    let start = cursor
    let head = try cursor.byte("datatype")
    let bits = Int(try cursor.number(3, "datatype"))
    let size = try cursor.word("size of a datatype")
    guard (1...3).contains(head >> 4) else {
      throw start.failure("expected version 1 to 3 of a datatype, found \(head >> 4)")
    }
    guard size > 0 else { throw start.failure("expected a datatype of at least 1 byte, found 0") }
    switch head & 15 {
    case 0:
      let offset = try cursor.short("bit offset")
      let precision = try cursor.short("precision")
      let types: [ElementType?] =
        bits & 8 != 0
        ? [.int8, .int16, nil, .int32, nil, nil, nil, .int64]
        : [.uint8, .uint16, nil, .uint32, nil, nil, nil, .uint64]
      if offset == 0, precision == 8 * size, size <= 8, let type = types[size - 1] {
        self = .number(type, isBigEndian: bits & 1 != 0)
      } else {
        self = .other("integer of \(precision) bits in \(size) bytes")
      }
    case 1:
      try cursor.skip(4, "bit offset and precision")
      let fields = [
        try cursor.byte("exponent"), try cursor.byte("exponent"), try cursor.byte("mantissa"),
        try cursor.byte("mantissa"), try cursor.word("exponent bias"),
      ]
      let sign = bits >> 8 & 255
      let known: [(size: Int, sign: Int, fields: [Int], type: ElementType)] = [
        (2, 15, [10, 5, 0, 10, 15], .float16), (2, 15, [7, 8, 0, 7, 127], .bfloat16),
        (4, 31, [23, 8, 0, 23, 127], .float32), (8, 63, [52, 11, 0, 52, 1023], .float64),
      ]
      if bits & 0x40 == 0,
        let type = known.first(where: { $0.size == size && $0.sign == sign && $0.fields == fields })
      {
        self = .number(type.type, isBigEndian: bits & 1 != 0)
      } else {
        self = .other("float of \(size) bytes that is none of IEEE 754")
      }
    case 3: self = .string(byteCount: size)
    case 9 where bits & 15 == 1: self = .variableString
    case let other: self = .other(other < Self.names.count ? Self.names[other] : "class \(other)")
    }
  }

  var name: String {
    switch self {
    case .number(let type, _): type.rawValue
    case .string, .variableString: "string"
    case .other(let name): name
    }
  }

  /// Bytes of one element where it is stored.
  func byteCount(_ format: HDF5Format) -> Int? {
    switch self {
    case .number(let type, _): type.byteCount
    case .string(let count): count
    case .variableString: 8 + format.offsetSize
    case .other: nil
    }
  }
}

/// The extents of a dataset or an attribute.
enum HDF5Dataspace {
  /// Reads the message.
  static func read(_ cursor: inout HDF5Cursor) throws -> [Int] {
    let start = cursor
    let version = try cursor.expect(version: 1...2, of: "a dataspace")
    let rank = try cursor.byte("rank")
    let flags = try cursor.byte("flags of a dataspace")
    let kind = try cursor.byte("type of a dataspace")
    if version == 1 { try cursor.skip(4, "reserved bytes") }
    guard rank <= Shape.maximumRank else {
      throw start.failure("expected at most \(Shape.maximumRank) axes, found \(rank)")
    }
    if version == 2, kind == 2 { return [0] }
    let dimensions = try (0..<rank).map { _ in try cursor.length("extent") }
    if flags & 1 != 0 {
      for dimension in dimensions {
        let most = try cursor.number(cursor.format.lengthSize, "largest extent")
        guard UInt64(dimension) <= most else {
          throw start.failure("expected an extent of at most \(most), found \(dimension)")
        }
      }
    }
    return dimensions
  }
}
