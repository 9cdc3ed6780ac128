import LaminaCore

/// A safetensors file: `[header length: UInt64][header: JSON][data]`, little-endian.
///
/// The header maps names to `{"dtype", "shape", "data_offsets": [begin, end]}` and may hold
/// `__metadata__`, strings by string. The ranges must cover the data without hole or overlap. Two
/// liberties of the reference reader are kept: whitespace before the header's `{` and behind its
/// `}`.
///
/// Source: the format's description and reference reader, github.com/huggingface/safetensors.
public struct SafeTensors: TensorSource {
  /// The longest header, in bytes, as in the reference reader.
  public static let maximumHeaderByteCount = 100_000_000
  /// The header's entry for text about the file.
  static let metadataKey = "__metadata__"

  private struct Entry {
    var type: String
    var shape: Shape
    var range: Range<Int>
  }

  /// Names in the order of the header.
  public let keys: [String]
  /// Text that the file carries, in the order of the header.
  public let metadata: [(key: String, value: String)]
  private let entries: [String: Entry]
  private let source: ByteSource

  /// `model.safetensors (safetensors)`.
  public var provenance: String { "\(source.name) (safetensors)" }

  /// Reads the header.
  ///
  /// - Throws: `format` with the offset or the tensor's name for every breach of the format,
  ///   `limit` for too large a header or too many tensors, `io`.
  public init(_ source: ByteSource, limits: Limits = Limits()) throws {
    self.source = source
    let size = source.byteCount
    guard size >= 8 else {
      throw source.failure("expected 8 bytes of header length, found \(size)", at: 0)
    }
    var length = UInt64(0)
    try withUnsafeMutableBytes(of: &length) { try source.read(at: 0, into: $0) }
    length = UInt64(littleEndian: length)
    guard length <= UInt64(SafeTensors.maximumHeaderByteCount) else {
      throw source.failure(
        "expected a header of at most \(SafeTensors.maximumHeaderByteCount) bytes, found \(length)",
        at: 0)
    }
    let headerCount = Int(length)
    guard headerCount <= size - 8 else {
      throw source.failure("expected \(headerCount) bytes of header, found \(size - 8)", at: 8)
    }
    let header = try source.bytes(8..<8 + headerCount)
    guard let first = header.first(where: { !SafeTensors.isWhitespace($0) }),
      first == UInt8(ascii: "{")
    else { throw source.failure("expected a header that starts with '{'", at: 8) }

    try SafeTensors.checkCounts(header, source: source, limits: limits)
    // Objects of arrays of numbers: nothing in a header is nested deeper.
    var headerLimits = limits
    headerLimits.jsonDepth = min(limits.jsonDepth, 3)
    let json = try JSON.parse(header, path: "\(source.name) header", limits: headerLimits)
    let dataStart = 8 + headerCount
    let dataCount = size - dataStart

    var keys: [String] = []
    var metadata: [(key: String, value: String)] = []
    var entries: [String: Entry] = [:]
    let members = json.members ?? []
    guard members.count <= limits.tensorsPerFile else {
      throw LaminaError(
        .limit, "expected at most \(limits.tensorsPerFile) tensors, found \(members.count)",
        path: source.name)
    }
    for member in members {
      let path = "\(source.name): \(member.key.escapedForDisplay())"
      if member.key == SafeTensors.metadataKey {
        metadata = try ObjectReader(member.value, path: path).members.map { pair in
          guard let text = pair.value.string else {
            throw LaminaError(
              .format,
              "expected metadata '\(pair.key.escapedForDisplay())' to be a string, found \(pair.value.typeName)",
              path: path)
          }
          return (pair.key, text)
        }
        continue
      }
      let entry = try SafeTensors.entry(member.value, path: path, dataCount: dataCount)
      keys.append(member.key)
      entries[member.key] = entry
    }
    try SafeTensors.checkCoverage(entries, dataCount: dataCount, source: source)
    self.keys = keys
    self.metadata = metadata
    self.entries = entries.mapValues { entry in
      var entry = entry
      entry.range = entry.range.lowerBound + dataStart..<entry.range.upperBound + dataStart
      return entry
    }
  }

  /// Bounds what parsing the header will allocate: a value of two bytes becomes one of many in
  /// memory.
  private static func checkCounts(_ header: [UInt8], source: ByteSource, limits: Limits) throws {
    // Commas so far in each container that is open; deeper ones are refused by the parser.
    let most = [limits.tensorsPerFile, maximumMetadataCount, maximumArrayCount]
    var commas: [Int] = []
    var isText = false
    var isEscaped = false
    for (position, byte) in header.enumerated() {
      if isText {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isText = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isText = true
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        guard commas.count < most.count else { return }
        commas.append(0)
      case UInt8(ascii: "}"), UInt8(ascii: "]"): _ = commas.popLast()
      case UInt8(ascii: ","):
        guard let level = commas.indices.last else { return }
        commas[level] += 1
        guard commas[level] <= most[level] else {
          throw LaminaError(
            .limit, "expected at most \(most[level]) values, found more",
            path: "\(source.name) @ \(8 + position)")
        }
      default: break
      }
    }
  }

  /// Most texts in the metadata.
  static let maximumMetadataCount = 65_536
  /// Most numbers in one array; ranks beyond those of a `Shape` are refused with a better message.
  static let maximumArrayCount = 64

  static func isWhitespace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }

  private static func entry(_ json: JSON, path: String, dataCount: Int) throws -> Entry {
    let object = try ObjectReader(json, path: path)
    try object.rejectUnknown(["dtype", "shape", "data_offsets"])
    func integers(_ field: String) throws -> [Int] {
      try object.array(field).map { element in
        guard let number = element.int, number >= 0 else {
          throw object.failure(field, "expected integers from 0, found \(element.text())")
        }
        return number
      }
    }
    let type = try object.string("dtype")
    guard let bitCount = SafeTensors.bitCounts[type] else {
      throw object.failure("dtype", "unknown element type '\(type.escapedForDisplay())'")
    }
    let shape = try withErrorPath("\(path).shape") { try Shape(integers("shape")) }
    let offsets = try integers("data_offsets")
    guard offsets.count == 2 else {
      throw object.failure("data_offsets", "expected 2 integers, found \(offsets.count)")
    }
    let (begin, end) = (offsets[0], offsets[1])
    guard begin <= end, end <= dataCount else {
      throw object.failure(
        "data_offsets", "expected begin ≤ end ≤ \(dataCount), found \(begin) and \(end)")
    }
    let (bits, overflow) = shape.count.multipliedReportingOverflow(by: bitCount)
    guard bits % 8 == 0 else {
      throw object.failure("shape", "expected whole bytes for \(type) \(shape), found \(bits) bits")
    }
    guard !overflow, bits / 8 == end - begin else {
      throw object.failure(
        "data_offsets",
        "expected \(overflow ? 0 : bits / 8) bytes for \(type) \(shape), found \(end - begin)")
    }
    return Entry(type: type, shape: shape, range: begin..<end)
  }

  private static func checkCoverage(_ entries: [String: Entry], dataCount: Int, source: ByteSource)
    throws
  {
    let sorted = entries.sorted {
      ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
        < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
    }
    var position = 0
    for (key, entry) in sorted {
      guard entry.range.lowerBound == position else {
        throw LaminaError(
          .format,
          "expected data from \(position), found \(entry.range.lowerBound): \(entry.range.lowerBound < position ? "an overlap" : "a hole")",
          path: "\(source.name): \(key.escapedForDisplay())")
      }
      position = entry.range.upperBound
    }
    guard position == dataCount else {
      throw LaminaError(
        .format, "expected \(position) bytes of data, found \(dataCount)", path: source.name)
    }
  }

  /// Bits of one element by name. Types without an `ElementType` are known so that they are refused
  /// by name.
  private static let bitCounts = [
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "C64": 64,
  ]

  /// Names of the types that Lamina reads and writes.
  static let typeNames: [(name: String, type: ElementType)] = [
    ("BOOL", .bool), ("U8", .uint8), ("I8", .int8), ("U16", .uint16), ("I16", .int16),
    ("U32", .uint32), ("I32", .int32), ("U64", .uint64), ("I64", .int64), ("F16", .float16),
    ("BF16", .bfloat16), ("F32", .float32), ("F64", .float64),
  ]

  /// Shape and type of a tensor.
  public func spec(_ key: String) throws -> TensorSpec {
    guard let entry = entries[key] else { throw unknownKey(key) }
    guard let type = SafeTensors.typeNames.first(where: { $0.name == entry.type })?.type else {
      throw LaminaError(
        .unsupported, "element type \(entry.type) is not supported",
        path: "\(source.name): \(key.escapedForDisplay())")
    }
    return TensorSpec(entry.shape, type)
  }

  /// Reads the elements of a tensor.
  public func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    let spec = try spec(key)
    guard let entry = entries[key] else { throw unknownKey(key) }
    guard target.count == spec.byteCount else {
      throw LaminaError(
        .argument, "expected a buffer of \(spec.byteCount) bytes, found \(target.count)",
        path: "\(source.name): \(key.escapedForDisplay())")
    }
    try source.read(at: entry.range.lowerBound, into: target)
    if spec.type == .bool { try checkBooleans(target, key: key) }
  }

  private func checkBooleans(_ bytes: UnsafeMutableRawBufferPointer, key: String) throws {
    guard bytes.allSatisfy({ $0 <= 1 }) else {
      throw LaminaError(
        .format, "expected bytes 0 or 1 in a tensor of bool",
        path: "\(source.name): \(key.escapedForDisplay())")
    }
  }

  /// The text under `key` of the metadata.
  public func metadata(_ key: String) -> String? { metadata.first { $0.key == key }?.value }
}
