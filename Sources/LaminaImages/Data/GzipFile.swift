import CZlib
import LaminaCore

/// Files that may be packed by gzip (RFC 1952).
enum GzipFile {
  /// The bytes of a file, unpacked where it begins with gzip's signature.
  ///
  /// - Throws: `notFound`, `io`; `limit` for more than `maximumBytes`, packed or not; `format` when packed data are
  ///   broken or end early.
  static func bytes(path: String, maximumBytes: Int) throws -> [UInt8] {
    let packed = try FileReader(path: path, maximumBytes: maximumBytes).allBytes()
    guard packed.starts(with: [0x1F, 0x8B]) else { return packed }
    return try withErrorPath(path.escapedForDisplay(limit: 512)) {
      try inflate(packed, maximumBytes: maximumBytes)
    }
  }

  /// The bytes of one or several gzip members behind each other.
  static func inflate(_ packed: [UInt8], maximumBytes: Int) throws -> [UInt8] {
    var stream = z_stream()
    // Window bits above 15: a gzip header.
    guard
      inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { throw LaminaError(.limit, "no memory to inflate") }
    defer { inflateEnd(&stream) }
    var packed = packed
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    var read = 0
    var isOpen = true
    while read < packed.count || isOpen {
      let consumed = packed.withUnsafeMutableBufferPointer { input in
        chunk.withUnsafeMutableBufferPointer { output in
          let available = min(input.count - read, 1 << 30)
          stream.next_in = input.baseAddress.map { $0 + read }
          stream.avail_in = UInt32(available)
          stream.next_out = output.baseAddress
          stream.avail_out = UInt32(output.count)
          let code = CZlib.inflate(&stream, Z_NO_FLUSH)
          return (count: available - Int(stream.avail_in), code: code)
        }
      }
      let produced = chunk.count - Int(stream.avail_out)
      guard result.count + produced <= maximumBytes else {
        throw LaminaError(.limit, "expected at most \(maximumBytes) bytes when unpacked")
      }
      result += chunk[..<produced]
      read += consumed.count
      switch consumed.code {
      case Z_STREAM_END:
        isOpen = false
        if read < packed.count {
          guard inflateReset(&stream) == Z_OK else {
            throw LaminaError(.limit, "no memory to inflate")
          }
          isOpen = true
        }
      case Z_OK where consumed.count > 0 || produced > 0: break
      default:
        throw LaminaError(
          .format, "gzip data are broken or end early, at byte \(read) of \(packed.count)")
      }
      if !isOpen, read == packed.count { break }
    }
    return result
  }
}
