import LaminaCore

/// Where the bytes of a weight file come from: a file that is read piece by piece, or memory.
public enum ByteSource: Sendable {
  /// An open file.
  case file(FileReader)
  /// Bytes in memory and their name for messages.
  case memory([UInt8], name: String)

  /// Opens a file by its path.
  public init(path: String, limits: Limits = Limits()) throws {
    self = .file(try FileReader(path: path, maximumBytes: limits.weightFileBytes))
  }

  /// Reads from a copy of a caller's descriptor.
  public init(descriptor: Int32, limits: Limits = Limits()) throws {
    self = .file(try FileReader(descriptor: descriptor, maximumBytes: limits.weightFileBytes))
  }

  /// Number of bytes.
  public var byteCount: Int {
    switch self {
    case .file(let reader): reader.byteCount
    case .memory(let bytes, _): bytes.count
    }
  }

  /// Path of the file or name of the bytes, for messages.
  public var name: String {
    switch self {
    case .file(let reader): reader.path.escapedForDisplay(limit: 512)
    case .memory(_, let name): name.escapedForDisplay(limit: 512)
    }
  }

  /// Fills `target` with the bytes from `offset` on.
  ///
  /// - Throws: `format` when they reach beyond the end, `io`.
  public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws {
    let (end, overflow) = offset.addingReportingOverflow(target.count)
    guard offset >= 0, !overflow, end <= byteCount else {
      throw failure(
        "expected \(target.count) bytes, found \(max(byteCount - max(offset, 0), 0))", at: offset)
    }
    switch self {
    case .file(let reader): try reader.read(at: offset, into: target)
    case .memory(let bytes, _):
      bytes.withUnsafeBytes {
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<end]))
      }
    }
  }

  /// The bytes of `range`, which must be no larger than the caller is willing to hold.
  ///
  /// - Throws: `format` when the range reaches beyond the end, `io`.
  public func bytes(_ range: Range<Int>) throws -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= byteCount else {
      throw failure("expected \(range.upperBound) bytes, found \(byteCount)", at: range.lowerBound)
    }
    switch self {
    case .file(let reader): return try reader.bytes(range)
    case .memory(let bytes, _): return range == bytes.indices ? bytes : Array(bytes[range])
    }
  }

  /// All bytes.
  public func allBytes() throws -> [UInt8] { try bytes(0..<byteCount) }

  /// An error of code `format` at an offset.
  func failure(_ message: String, at offset: Int) -> LaminaError {
    LaminaError(.format, message, path: "\(name) @ \(offset)")
  }
}
