import LaminaCore

/// The bytes of a model file. Those of large tensors may stay in the file until somebody decodes them, so that
/// weights are read once, to where they are needed.
struct ONNXContent: Sendable {
  /// Bytes of a tensor from which on it stays in the file.
  private static let leastAbsentBytes = 1 << 16
  private static let chunkBytes = 1 << 16

  /// All bytes, without meaning in `absent` ranges.
  let bytes: [UInt8]
  private let file: FileReader?
  private let absent: Set<Range<Int>>

  /// Bytes in memory, or those of a file but for the `raw_data` of large initializers.
  ///
  /// - Throws: `format` when the file becomes shorter meanwhile, `io`.
  init(_ source: ByteSource) throws {
    guard case .file(let file) = source else {
      (bytes, file, absent) = (try source.allBytes(), nil, [])
      return
    }
    var absent: Set<Range<Int>> = []
    bytes = try [UInt8](unsafeUninitializedCapacity: file.byteCount) { buffer, count in
      let target = UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(buffer)[..<file.byteCount])
      var scan = Scan(file: file, target: target)
      try scan.message(.model, end: file.byteCount)
      try scan.read(upTo: file.byteCount)
      absent = scan.absent
      count = file.byteCount
    }
    self.file = file
    self.absent = absent
  }

  /// Fills `target` with the bytes from `range`, which has as many.
  func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws {
    if let file, absent.contains(range) {
      try file.read(at: range.lowerBound, into: target)
    } else {
      bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
  }

  /// The bytes of `range`.
  func data(_ range: Range<Int>) throws -> ArraySlice<UInt8> {
    if let file, absent.contains(range) { return try file.bytes(range)[...] }
    return bytes[range]
  }

  /// Finds the tensors. What it does not understand it reads: the decoder has the messages for that.
  private struct Scan {
    enum Message { case model, graph, tensor }

    let file: FileReader
    let target: UnsafeMutableRawBufferPointer
    var absent: Set<Range<Int>> = []
    private var offset = 0
    private var readEnd = 0

    init(file: FileReader, target: UnsafeMutableRawBufferPointer) {
      (self.file, self.target) = (file, target)
    }

    mutating func read(upTo end: Int) throws {
      while readEnd < end {
        let next = min(max(end, readEnd + ONNXContent.chunkBytes), target.count)
        try file.read(
          at: readEnd, into: UnsafeMutableRawBufferPointer(rebasing: target[readEnd..<next]))
        readEnd = next
      }
    }

    private mutating func varint(end: Int) throws -> UInt64? {
      var result: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 63, by: 7) {
        guard offset < end else { return nil }
        try read(upTo: offset + 1)
        let byte = target[offset]
        offset += 1
        result |= UInt64(byte & 0x7F) << shift
        if byte & 0x80 == 0 { return result }
      }
      return nil
    }

    /// Whether the message was understood.
    @discardableResult mutating func message(_ kind: Message, end: Int) throws -> Bool {
      while offset < end {
        guard let tag = try varint(end: end) else { return false }
        switch tag & 7 {
        case 0: guard try varint(end: end) != nil else { return false }
        case 1: offset += 8
        case 5: offset += 4
        case 2:
          guard let length = try varint(end: end), let count = Int(exactly: length),
            count <= end - offset
          else { return false }
          let content = offset..<offset + count
          switch (kind, tag >> 3) {
          case (.model, 7):
            guard try message(.graph, end: content.upperBound) else { return false }
          case (.graph, 5):
            guard try message(.tensor, end: content.upperBound) else { return false }
          case (.tensor, 9) where count >= ONNXContent.leastAbsentBytes:
            try read(upTo: offset)
            readEnd = max(readEnd, content.upperBound)
            absent.insert(content)
          default: break
          }
          offset = content.upperBound
        default: return false
        }
      }
      return offset == end
    }
  }
}
