import CPNG
import Lamina
import LaminaImageShim
import Testing

@Suite struct PNGTests {
  private func pixels(_ png: PNGBuilder) throws -> [UInt8] { try Image.decode(png.bytes).pixels }

  private func gray(_ values: [UInt8]) -> [UInt8] { values.flatMap { [$0, $0, $0] } }

  // MARK: Values

  @Test func grayDepthsSpreadOverAllBytes() throws {
    #expect(
      try pixels(PNGBuilder(width: 4, depth: 1, color: 0, rows: [[0b0110_0000]]))
        == gray([0, 255, 255, 0]))
    #expect(
      try pixels(PNGBuilder(width: 4, depth: 2, color: 0, rows: [[0b0001_1011]]))
        == gray([0, 85, 170, 255]))
    #expect(
      try pixels(PNGBuilder(width: 4, depth: 4, color: 0, rows: [[0x01, 0x8F]]))
        == gray([0, 17, 136, 255]))
    #expect(
      try pixels(PNGBuilder(width: 3, depth: 8, color: 0, rows: [[0, 1, 200]]))
        == gray([0, 1, 200]))
  }

  @Test func sixteenBitsLoseTheirLowByte() throws {
    #expect(
      try pixels(PNGBuilder(width: 3, depth: 16, color: 0, rows: [[0, 255, 1, 0, 0x7F, 0xFF]]))
        == gray([0, 1, 0x7F]))
    #expect(
      try pixels(PNGBuilder(width: 1, depth: 16, color: 2, rows: [[1, 255, 2, 0, 254, 255]]))
        == [1, 2, 254])
    #expect(
      try pixels(PNGBuilder(width: 1, depth: 16, color: 4, rows: [[9, 255, 0, 0]])) == [9, 9, 9])
    #expect(
      try pixels(PNGBuilder(width: 1, depth: 16, color: 6, rows: [[1, 9, 2, 9, 3, 9, 0, 0]]))
        == [1, 2, 3])
  }

  @Test func alphaIsDropped() throws {
    #expect(
      try pixels(PNGBuilder(width: 2, depth: 8, color: 4, rows: [[50, 0, 60, 255]]))
        == gray([50, 60]))
    #expect(
      try pixels(PNGBuilder(width: 2, depth: 8, color: 6, rows: [[1, 2, 3, 0, 4, 5, 6, 128]]))
        == [1, 2, 3, 4, 5, 6])
  }

  @Test(arguments: [1, 2, 4, 8])
  func paletteGivesItsColours(depth: Int) throws {
    let row: [UInt8] = [1: [0b1000_0000], 2: [0b0100_0000], 4: [0x10], 8: [1, 0]][depth] ?? []
    var png = PNGBuilder(
      width: 2, depth: depth, color: 3, palette: [10, 20, 30, 40, 50, 60], rows: [row])
    #expect(try pixels(png) == [40, 50, 60, 10, 20, 30])
    png.insert("tRNS", [0, 128], before: "IDAT")
    png.insert("gAMA", bigEndian(45_455, bytes: 4), before: "PLTE")
    #expect(try pixels(png) == [40, 50, 60, 10, 20, 30])
  }

  @Test func transparentColourStays() throws {
    var png = PNGBuilder(width: 1, depth: 8, color: 2, rows: [[1, 2, 3]])
    png.insert("tRNS", [0, 1, 0, 2, 0, 3], before: "IDAT")
    #expect(try pixels(png) == [1, 2, 3])
  }

  @Test(arguments: [true, false])
  func interlacedRowsEqualPlainOnes(palette: Bool) throws {
    let (width, height) = (11, 9)
    func value(_ x: Int, _ y: Int) -> [UInt8] {
      palette ? [UInt8((x + y) % 2)] : [UInt8(x), UInt8(y), UInt8(x * y)]
    }
    var raw: [UInt8] = []
    for (x0, y0, dx, dy) in [
      (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
      (0, 1, 1, 2),
    ] {
      for y in stride(from: y0, to: height, by: dy) {
        raw += [0] + stride(from: x0, to: width, by: dx).flatMap { value($0, y) }
      }
    }
    let colors: [UInt8] = palette ? [1, 2, 3, 4, 5, 6] : []
    let color = palette ? 3 : 2
    let interlaced = PNGBuilder(
      width: width, height: height, depth: 8, color: color, interlace: 1, palette: colors, raw: raw)
    let rows = (0..<height).map { y in (0..<width).flatMap { value($0, y) } }
    let plain = PNGBuilder(width: width, depth: 8, color: color, palette: colors, rows: rows)
    #expect(try pixels(interlaced) == pixels(plain))
    #expect(try Array(pixels(plain)[3..<6]) == (palette ? [4, 5, 6] : [1, 0, 0]))
  }

  @Test func rowFiltersAreUndone() throws {
    let png = PNGBuilder(
      width: 2, height: 5, depth: 8, color: 0,
      raw: [0, 10, 20, 1, 5, 5, 2, 1, 1, 3, 10, 10, 4, 1, 1])
    #expect(try pixels(png) == gray([10, 20, 5, 10, 6, 11, 13, 22, 14, 23]))
  }

  @Test func dataMayComeInSinglesAndAnimationsGiveTheFirstPicture() throws {
    var png = PNGBuilder.small()
    let plain = try pixels(png)
    let data = png.chunks[png.index("IDAT")].data
    let at = png.index("IDAT")
    png.remove("IDAT")
    png.chunks.insert(contentsOf: data.map { PNGBuilder.Chunk(type: "IDAT", data: [$0]) }, at: at)
    #expect(try pixels(png) == plain)
    png.insert("acTL", bigEndian(2, bytes: 4) + bigEndian(0, bytes: 4), before: "IDAT")
    png.insert("fcTL", [UInt8](repeating: 0, count: 26), before: "IDAT")
    png.insert("fdAT", bigEndian(1, bytes: 4) + data, before: "IEND")
    #expect(try pixels(png) == plain)
  }

  /// A profile or text is never inflated, so that one that would fill the memory costs nothing.
  @Test(arguments: ["iCCP", "zTXt", "iTXt", "eXIf", "sPLT"])
  func ancillaryChunksAreSteppedOver(type: String) throws {
    var png = PNGBuilder.small()
    let plain = try pixels(png)
    png.insert(type, Array("name\0\0".utf8) + [0x78, 0xDA, 0xEC, 0xC1, 0x01, 0x01], before: "IDAT")
    #expect(try pixels(png) == plain)
  }

  // MARK: Broken files

  @Test func everyTruncationIsAnError() {
    let whole = PNGBuilder.small().bytes
    for count in 0..<whole.count {
      let text = outcome(Array(whole[..<count]))
      #expect(text.hasPrefix("image: "), "\(count) bytes: \(text)")
    }
  }

  /// libpng 1.6.45 changed some of its texts.
  static let knowsTexts = PNG_LIBPNG_VER < 10645

  static let cases: [(name: String, bytes: [UInt8], error: String)] = {
    func edited(_ edit: (inout PNGBuilder) -> Void) -> [UInt8] {
      var png = PNGBuilder.small()
      edit(&png)
      return png.bytes
    }
    func header(
      width: Int = 5, height: Int = 4, depth: Int = 8, color: Int = 2, tail: [UInt8] = [0, 0, 0]
    )
      -> [UInt8]
    {
      edited {
        $0.chunks[0].data =
          bigEndian(width, bytes: 4) + bigEndian(height, bytes: 4) + [UInt8(depth), UInt8(color)]
          + tail
      }
    }
    func raw(_ raw: [UInt8]) -> [UInt8] {
      edited { $0.chunks[$0.index("IDAT")].data = PNGBuilder.deflated(raw) }
    }
    func indexed(_ index: UInt8) -> [UInt8] {
      PNGBuilder(width: 1, depth: 8, color: 3, palette: [1, 2, 3], rows: [[index]]).bytes
    }
    let magic: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    return [
      ("only the magic", magic, "image: broken PNG: premature end of PNG data"),
      (
        "line ends converted", [0x89, 0x50, 0x4E, 0x47, 0x0A, 0x1A, 0x0A, 0],
        "image: broken PNG: PNG file corrupted by ASCII conversion"
      ),
      ("width 0", header(width: 0), "image: broken PNG: image width is zero in IHDR"),
      ("height 0", header(height: 0), "image: broken PNG: image height is zero in IHDR"),
      (
        "1,000,000 x 1", header(width: 1_000_000, height: 1),
        "limit: expected at most 16384 pixels a side, found 1000000 x 1"
      ),
      (
        "2³¹ − 1 a side", header(width: Int(Int32.max), height: Int(Int32.max)),
        "limit: expected at most 16384 pixels a side, found 2147483647 x 2147483647"
      ),
      ("width 2³¹", header(width: 1 << 31), "image: broken PNG: PNG unsigned integer out of range"),
      (
        "64 megapixels and a row", header(width: 8000, height: 8001),
        "limit: expected at most 64000000 pixels, found 8000 x 8001"
      ),
      (
        "more pixels than the data can hold", header(width: 4000, height: 4000),
        "image: broken PNG: expected more than 132 bytes for 4000 x 4000 pixels"
      ),
      ("depth 3", header(depth: 3), "image: broken PNG: invalid bit depth in IHDR"),
      (
        "depth 16 with a palette", header(depth: 16, color: 3),
        "image: broken PNG: invalid color type/bit depth combination in IHDR"
      ),
      (
        "depth 4 with colour", header(depth: 4),
        "image: broken PNG: invalid color type/bit depth combination in IHDR"
      ),
      ("colour type 1", header(color: 1), "image: broken PNG: invalid color type in IHDR"),
      ("colour type 7", header(color: 7), "image: broken PNG: invalid color type in IHDR"),
      (
        "unknown compression", header(tail: [1, 0, 0]),
        "image: broken PNG: unknown compression method in IHDR"
      ),
      (
        "unknown filter method", header(tail: [0, 1, 0]),
        "image: broken PNG: unknown filter method in IHDR"
      ),
      (
        "unknown interlacing", header(tail: [0, 0, 2]),
        "image: broken PNG: unknown interlace method in IHDR"
      ),
      (
        "header of 12 bytes", edited { $0.chunks[0].data.removeLast() },
        "image: broken PNG: IHDR: invalid"
      ),
      (
        "no header", edited { $0.remove("IHDR") },
        "image: broken PNG: IDAT: Missing IHDR before IDAT"
      ),
      (
        "two headers", edited { $0.insert("IHDR", $0.chunks[0].data, before: "IDAT") },
        "image: broken PNG: IHDR: out of place"
      ),
      (
        "header checksum", edited { $0.chunks[0].checksum = 1 },
        "image: broken PNG: IHDR: CRC error"
      ),
      ("data checksum", edited { $0.chunks[1].checksum = 1 }, "image: broken PNG: IDAT: CRC error"),
      (
        "ancillary checksum",
        edited {
          $0.insert("tEXt", Array("a\0b".utf8), before: "IDAT")
          $0.chunks[1].checksum = 1
        }, "image: broken PNG: tEXt: CRC error"
      ),
      (
        "length 2³¹", edited { $0.chunks[1].length = 1 << 31 },
        "image: broken PNG: PNG unsigned integer out of range"
      ),
      (
        "length beyond the file", edited { $0.chunks[1].length = 100_000 },
        "image: broken PNG: premature end of PNG data"
      ),
      ("no data", edited { $0.remove("IDAT") }, "image: broken PNG: IEND: out of place"),
      ("no end", edited { $0.remove("IEND") }, "image: broken PNG: premature end of PNG data"),
      (
        "data in two places",
        edited {
          $0.insert("tEXt", [], before: "IEND")
          $0.insert("IDAT", [1], before: "IEND")
        }, "image: broken PNG: IDAT: ..Too many IDATs found"
      ),
      (
        "unknown critical chunk", edited { $0.insert("ABCD", [], before: "IDAT") },
        "image: broken PNG: ABCD: unhandled critical chunk"
      ),
      (
        "chunk name of no letters", edited { $0.insert("1234", [], before: "IDAT") },
        "image: broken PNG: [31][32][33][34]: invalid chunk type"
      ),
      (
        "no palette", PNGBuilder(width: 1, depth: 8, color: 3, rows: [[0]]).bytes,
        "image: broken PNG: IDAT: Missing PLTE before IDAT"
      ),
      (
        "palette of 4 bytes",
        PNGBuilder(width: 1, depth: 8, color: 3, palette: [1, 2, 3, 4], rows: [[0]]).bytes,
        "image: broken PNG: PLTE: invalid"
      ),
      ("palette index out of range", indexed(1), "image: broken PNG: palette index out of range"),
      (
        "row filter 5", raw((0..<4).flatMap { _ in [5] + [UInt8](repeating: 1, count: 15) }),
        "image: broken PNG: bad adaptive filter value"
      ),
      (
        "stream shorter than the rows", raw([UInt8](repeating: 0, count: 20)),
        "image: broken PNG: not enough image data"
      ),
      (
        "stream longer than the rows", raw([UInt8](repeating: 0, count: 200)),
        "image: broken PNG: IDAT: Too much image data"
      ),
      (
        "no deflate stream", edited { $0.chunks[1].data = [1, 2, 3, 4, 5, 6, 7, 8] },
        "image: broken PNG: IDAT: incorrect header check"
      ),
      (
        "stream checksum", edited { $0.chunks[1].data[$0.chunks[1].data.count - 1] ^= 1 },
        "image: broken PNG: IDAT: incorrect data check"
      ),
    ]
  }()

  @Test(arguments: cases.indices)
  func brokenFilesAreNamed(index: Int) {
    let (name, bytes, error) = PNGTests.cases[index]
    if error.hasPrefix("image: broken PNG: ") && !PNGTests.knowsTexts {
      #expect(outcome(bytes).hasPrefix("image: broken PNG: "), "\(name)")
    } else {
      #expect(outcome(bytes) == error, "\(name)")
    }
    _ = outcome(bytes, strict: false)
  }

  @Test func lenientDecodingForgivesWhatFollowsTheRows() throws {
    var png = PNGBuilder.small()
    let plain = try pixels(png)
    png.remove("IEND")
    let image = try Image.decode(png.bytes, options: ImageDecodingOptions(strict: false))
    #expect(image.pixels == plain)
  }

  @Test(arguments: [0, 2, 3, 4, 6])
  func everyByteIsWrittenAndNoneBehind(color: Int) {
    let channels = [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][color] ?? 0
    let data = PNGBuilder(
      width: 7, depth: 8, color: color, palette: color == 3 ? [1, 2, 3] : [],
      rows: Array(repeating: [UInt8](repeating: 0, count: 7 * channels), count: 5)
    ).bytes
    expectFullyWritten { header, message, options in
      li_png_header(data, data.count, options, &header, &message)
    } decode: { header, pixels, message, options in
      var warnings: Int32 = 0
      return li_png_decode(data, data.count, options, header, pixels, &warnings, &message)
    }
  }
}
