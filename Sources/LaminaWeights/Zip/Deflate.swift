import CZlib
import LaminaCore

/// DEFLATE data, raw or in a zlib stream, and CRC-32, by zlib.
enum Deflate {
  /// Inflates `packed` into exactly `target`.
  ///
  /// - Parameter isWrapped: whether the data have zlib's header and checksum around them.
  /// - Throws: `format` when the data are broken, or are shorter or longer than `target`; `limit`.
  static func inflate(
    _ packed: [UInt8], into target: UnsafeMutableRawBufferPointer, isWrapped: Bool = false,
    path: String
  ) throws {
    var stream = z_stream()
    // Negative window bits: no zlib header.
    guard
      inflateInit2_(&stream, isWrapped ? 15 : -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        == Z_OK
    else {
      throw LaminaError(.limit, "no memory to inflate", path: path)
    }
    defer { inflateEnd(&stream) }
    var packed = packed
    var read = 0
    var written = 0
    // One byte more than expected shows data that are too long; zlib's counters have 32 bits.
    var spare: UInt8 = 0
    var result = Z_OK
    packed.withUnsafeMutableBufferPointer { input in
      withUnsafeMutablePointer(to: &spare) { spare in
        while result == Z_OK {
          let inputCount = min(input.count - read, 1 << 30)
          let isFull = written == target.count
          let outputCount = isFull ? 1 : min(target.count - written, 1 << 30)
          stream.next_in = input.baseAddress.map { $0 + read }
          stream.avail_in = UInt32(inputCount)
          stream.next_out =
            isFull
            ? spare : target.baseAddress.map { ($0 + written).assumingMemoryBound(to: UInt8.self) }
          stream.avail_out = UInt32(outputCount)
          result = CZlib.inflate(&stream, Z_NO_FLUSH)
          let consumed = inputCount - Int(stream.avail_in)
          let produced = outputCount - Int(stream.avail_out)
          read += consumed
          written += produced
          if consumed == 0 && produced == 0 { break }
          if written > target.count { break }
        }
      }
    }
    guard result == Z_STREAM_END, written == target.count, read == packed.count else {
      throw LaminaError(
        .format,
        "expected \(packed.count) deflated bytes to give \(target.count), found \(read) giving \(written)",
        path: path)
    }
  }

  /// CRC-32 of ISO 3309, as in zip and PNG.
  ///
  /// - Parameter start: the checksum of the bytes before these.
  static func checksum(_ bytes: UnsafeRawBufferPointer, after start: UInt32 = 0) -> UInt32 {
    UInt32(
      truncatingIfNeeded: crc32_z(
        UInt(start), bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
  }
}
