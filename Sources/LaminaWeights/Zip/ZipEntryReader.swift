import CZlib
import LaminaCore

/// Reads an entry of a zip archive from its start to its end, inflating where needed, without holding more
/// of it than the caller asks for.
final class ZipEntryReader {
  private let entry: ZipArchive.Entry
  private let source: ByteSource
  private let path: String
  /// At a fixed address: zlib's state points back to it.
  private let stream: UnsafeMutablePointer<z_stream>
  private var input: [UInt8] = []
  private var inputOffset = 0
  private var consumed = 0
  private var produced = 0
  private var checksum: UInt = 0
  private var isFinished = false

  private static let chunkBytes = 1 << 16

  /// A reader at the first byte of `entry`.
  init(_ entry: ZipArchive.Entry, of archive: ZipArchive) throws {
    self.entry = entry
    source = archive.source
    path = "\(archive.source.name): \(entry.name.escapedForDisplay())"
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // Negative window bits: no zlib header.
    guard inflateInit2_(stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw LaminaError(.limit, "no memory to inflate", path: path) }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  /// Bytes that are left.
  var remaining: Int { entry.count - produced }

  /// Fills `target` with the next bytes.
  ///
  /// - Throws: `format` when fewer are left or the data are broken, `io`.
  func read(into target: UnsafeMutableRawBufferPointer) throws {
    guard target.count <= remaining else {
      throw LaminaError(
        .format, "expected \(target.count) bytes, found \(remaining)", path: path)
    }
    if entry.isDeflated {
      try inflate(into: target)
    } else {
      try source.read(at: entry.offset + produced, into: target)
    }
    produced += target.count
    checksum = crc32_z(
      checksum, target.baseAddress?.assumingMemoryBound(to: UInt8.self), target.count)
  }

  /// The next `count` bytes.
  func bytes(_ count: Int) throws -> [UInt8] {
    guard count <= remaining else {
      throw LaminaError(.format, "expected \(count) bytes, found \(remaining)", path: path)
    }
    return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      try read(
        into: UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[..<count])))
      filled = count
    }
  }

  /// Checks that all bytes were read and were the right ones.
  ///
  /// - Throws: `format` when the data go on, or their CRC-32 differs.
  func finish() throws {
    if entry.isDeflated, !isFinished {
      var spare: UInt8 = 0
      let count = try withUnsafeMutableBytes(of: &spare) { try inflateSome(into: $0) }
      guard count == 0 else { throw broken() }
    }
    guard remaining == 0, !entry.isDeflated || consumed == entry.compressedCount else {
      throw broken()
    }
    guard UInt32(truncatingIfNeeded: checksum) == entry.checksum else {
      throw LaminaError(
        .format,
        "expected crc32 \(String(entry.checksum, radix: 16)), found \(String(checksum, radix: 16))",
        path: path)
    }
  }

  private func broken() -> LaminaError {
    LaminaError(
      .format,
      "expected \(entry.compressedCount) deflated bytes to give \(entry.count), found \(consumed) giving \(produced)",
      path: path)
  }

  private func inflate(into target: UnsafeMutableRawBufferPointer) throws {
    var done = 0
    while done < target.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: target[done...])
      let count = try inflateSome(into: rest)
      guard count > 0 else { throw broken() }
      done += count
    }
  }

  /// Number of bytes written; 0 at the end of the data.
  private func inflateSome(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    while !isFinished {
      if inputOffset == input.count {
        let count = min(entry.compressedCount - consumed, Self.chunkBytes)
        input = try source.bytes(entry.offset + consumed..<entry.offset + consumed + count)
        inputOffset = 0
      }
      let room = min(target.count, 1 << 30)
      stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(room)
      let available = input.count - inputOffset
      let result = input.withUnsafeMutableBufferPointer { buffer in
        stream.pointee.next_in = buffer.baseAddress.map { $0 + inputOffset }
        stream.pointee.avail_in = UInt32(available)
        return CZlib.inflate(stream, Z_NO_FLUSH)
      }
      let used = available - Int(stream.pointee.avail_in)
      let written = room - Int(stream.pointee.avail_out)
      inputOffset += used
      consumed += used
      isFinished = result == Z_STREAM_END
      guard result == Z_OK || result == Z_STREAM_END, isFinished || used > 0 || written > 0 else {
        throw broken()
      }
      if written > 0 { return written }
    }
    return 0
  }
}
