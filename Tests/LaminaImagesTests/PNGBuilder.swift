/// A PNG taken apart into chunks, to be written with any of its rules broken.
struct PNGBuilder {
  struct Chunk {
    var type: String
    var data: [UInt8]
    /// Replaces the chunk's real length or checksum.
    var length: Int?
    var checksum: Int?
  }

  var chunks: [Chunk] = []

  /// `raw` holds the rows before compression, each behind its filter byte.
  init(
    width: Int, height: Int, depth: Int, color: Int, interlace: Int = 0, palette: [UInt8] = [],
    raw: [UInt8]
  ) {
    chunks.append(
      Chunk(
        type: "IHDR",
        data: bigEndian(width, bytes: 4) + bigEndian(height, bytes: 4)
          + [UInt8(depth), UInt8(color), 0, 0, UInt8(interlace)]))
    if !palette.isEmpty { chunks.append(Chunk(type: "PLTE", data: palette)) }
    chunks.append(Chunk(type: "IDAT", data: PNGBuilder.deflated(raw)))
    chunks.append(Chunk(type: "IEND", data: []))
  }

  /// A picture whose rows are given packed, without filter bytes.
  init(width: Int, depth: Int, color: Int, palette: [UInt8] = [], rows: [[UInt8]]) {
    self.init(
      width: width, height: rows.count, depth: depth, color: color, palette: palette,
      raw: rows.flatMap { [0] + $0 })
  }

  /// 5 x 4 pixels of 8-bit RGB.
  static func small() -> PNGBuilder {
    PNGBuilder(
      width: 5, depth: 8, color: 2,
      rows: (0..<4).map { y in (0..<15).map { UInt8(16 * y + $0) } })
  }

  func index(_ type: String) -> Int { chunks.firstIndex { $0.type == type } ?? 0 }

  mutating func insert(_ type: String, _ data: [UInt8], before other: String) {
    chunks.insert(Chunk(type: type, data: data), at: index(other))
  }

  mutating func remove(_ type: String) { chunks.removeAll { $0.type == type } }

  var bytes: [UInt8] {
    [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
      + chunks.flatMap { chunk in
        let body = Array(chunk.type.utf8) + chunk.data
        return bigEndian(chunk.length ?? chunk.data.count, bytes: 4) + body
          + bigEndian(chunk.checksum ?? PNGBuilder.crc(body), bytes: 4)
      }
  }

  /// A zlib stream of stored blocks.
  static func deflated(_ raw: [UInt8]) -> [UInt8] {
    var out: [UInt8] = [0x78, 0x01]
    var start = 0
    repeat {
      let count = min(raw.count - start, 65_535)
      let low = [UInt8(count & 255), UInt8(count >> 8)]
      out +=
        [start + count == raw.count ? 1 : 0] + low + low.map { ~$0 } + raw[start..<start + count]
      start += count
    } while start < raw.count
    return out + bigEndian(adler(raw), bytes: 4)
  }

  static func adler(_ bytes: [UInt8]) -> Int {
    var (a, b) = (1, 0)
    for byte in bytes {
      a = (a + Int(byte)) % 65_521
      b = (b + a) % 65_521
    }
    return b << 16 | a
  }

  static func crc(_ bytes: [UInt8]) -> Int {
    var value: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
    }
    return Int(~value)
  }
}
