import LaminaCore

/// A moment of training: everything that the next step depends on.
///
/// The file is safetensors: tensors of `float32` under the names of the model's parameters and of what training keeps
/// beside them, the state as JSON in the metadata, and, as the last tensor, the CRC32C of all bytes before it.
public struct Checkpoint: Sendable {
  /// Where training is: epoch, batch, seed, optimizer, callbacks, hashes.
  public var state: JSON
  /// By name.
  public var tensors: [String: Tensor]

  /// A checkpoint.
  public init(state: JSON, tensors: [String: Tensor]) {
    self.state = state
    self.tensors = tensors
  }

  private static let format = "lamina.checkpoint.1"
  private static let checksumKey = "checkpoint.crc32c"
  private static let metadataKey = "__metadata__"

  /// Writes the file, which appears under its path whole, and only when what was written reads back right.
  ///
  /// - Throws: `io`, `notFound`; `argument` for a tensor of another type than `float32`.
  public func write(to path: String) throws {
    let keys = tensors.keys.sorted()
    var members = [
      JSON.Member(
        Self.metadataKey,
        .object([
          "format": .string(Self.format), "state": .string(state.text()),
        ]))
    ]
    var position = 0
    func add(_ key: String, _ type: String, _ shape: [Int], _ byteCount: Int) {
      members.append(
        JSON.Member(
          key,
          .object([
            "dtype": .string(type), "shape": .array(shape.map { .int(Int64($0)) }),
            "data_offsets": .array([.int(Int64(position)), .int(Int64(position + byteCount))]),
          ])))
      position += byteCount
    }
    for key in keys {
      guard let tensor = tensors[key], tensor.type == .float32, key != Self.metadataKey,
        key != Self.checksumKey
      else {
        throw LaminaError(
          .argument, "expected a float32 tensor of another name, found '\(key.escapedForDisplay())'"
        )
      }
      add(key, "F32", tensor.shape.dimensions, tensor.byteCount)
    }
    add(Self.checksumKey, "U32", [1], 4)
    var header = Array(JSON.object(members).text().utf8)
    header.append(contentsOf: repeatElement(0x20, count: (8 - header.count % 8) % 8))
    let writer = try AtomicFileWriter(path: path)
    var checksum = CRC32C()
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    for bytes in [length, header] {
      checksum.update(bytes)
      try writer.write(bytes)
    }
    for key in keys {
      try tensors[key]?.withBytes {
        checksum.update($0)
        try writer.write($0)
      }
    }
    let expected = checksum.value
    try writer.write(withUnsafeBytes(of: expected.littleEndian) { Array($0) })
    try writer.commit { temporaryPath in
      let found = try Self.checksum(of: FileReader(path: temporaryPath, maximumBytes: .max))
      guard found.computed == expected, found.stored == expected else {
        throw LaminaError(.io, "what was written does not read back", path: path)
      }
    }
  }

  /// The checksum of all bytes but the last four, and that which these state.
  private static func checksum(of file: FileReader) throws -> (computed: UInt32, stored: UInt32) {
    guard file.byteCount >= 12 else {
      throw LaminaError(
        .format, "expected at least 12 bytes, found \(file.byteCount)",
        path: file.path.escapedForDisplay(limit: 512))
    }
    var checksum = CRC32C()
    let end = file.byteCount - 4
    let buffer = try AlignedBuffer(byteCount: min(end, 1 << 20))
    var position = 0
    while position < end {
      let piece = UnsafeMutableRawBufferPointer(
        start: buffer.baseAddress, count: min(buffer.byteCount, end - position))
      try file.read(at: position, into: piece)
      checksum.update(UnsafeRawBufferPointer(piece))
      position += piece.count
    }
    var stored: UInt32 = 0
    try withUnsafeMutableBytes(of: &stored) { try file.read(at: end, into: $0) }
    return (checksum.value, UInt32(littleEndian: stored))
  }

  /// Reads a file.
  ///
  /// - Throws: `format` for every file that is not bit for bit what was written; `limit`, `io`, `notFound`.
  public init(path: String, limits: Limits = Limits()) throws {
    let file = try FileReader(path: path, maximumBytes: limits.weightFileBytes)
    let name = path.escapedForDisplay(limit: 512)
    let checksum = try Self.checksum(of: file)
    guard checksum.computed == checksum.stored else {
      throw LaminaError(
        .format,
        "expected crc32c \(String(checksum.stored, radix: 16)), found \(String(checksum.computed, radix: 16))",
        path: name)
    }
    var length: UInt64 = 0
    try withUnsafeMutableBytes(of: &length) { try file.read(at: 0, into: $0) }
    guard let headerCount = Int(exactly: UInt64(littleEndian: length)),
      headerCount <= min(file.byteCount - 12, limits.jsonBytes)
    else { throw LaminaError(.format, "the header is too long", path: name) }
    let start = 8 + headerCount
    let header = try JSON.parse(
      file.bytes(8..<start), path: "\(name) header", limits: limits)
    let metadata = try ObjectReader(header[Self.metadataKey] ?? .null, path: name)
    let format = try metadata.string("format")
    guard format == Self.format else {
      throw LaminaError(
        .unsupported,
        "expected format '\(Self.format)', found '\(format.escapedForDisplay())'", path: name)
    }
    state = try JSON.parse(text: metadata.string("state"), path: "\(name) state", limits: limits)
    tensors = [:]
    for member in header.members ?? []
    where member.key != Self.metadataKey && member.key != Self.checksumKey {
      let path = "\(name): \(member.key.escapedForDisplay())"
      let entry = try ObjectReader(member.value, path: path)
      let shape = try Shape(entry.array("shape").map { $0.int ?? -1 })
      let offsets = try entry.array("data_offsets").map { $0.int ?? -1 }
      guard try entry.string("dtype") == "F32", offsets.count == 2, offsets[0] >= 0,
        offsets[1] <= file.byteCount - start, offsets[1] - offsets[0] == shape.count * 4
      else { throw LaminaError(.format, "expected float32 elements within the file", path: path) }
      let tensor = try Tensor(uninitialized: shape)
      try tensor.withMutableBytes { try file.read(at: start + offsets[0], into: $0) }
      tensors[member.key] = tensor
    }
  }
}
