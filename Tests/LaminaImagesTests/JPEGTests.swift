import Lamina
import LaminaImageShim
import Testing

@Suite struct JPEGTests {
  /// Decoders may differ by 2 in a sample; the one used here gives Pillow's pixels exactly.
  @Test(arguments: Fixtures.jpegs.map(\.name))
  func pixelsAreThoseOfPillow(name: String) throws {
    let fixture = try #require(Fixtures.jpegs.first { $0.name == name })
    let image = try Image.decode(decoded(base64: fixture.data))
    #expect(image.width == fixture.width && image.height == fixture.height)
    #expect(image.warningCount == 0)
    #expect(largestDifference(image.pixels, decoded(base64: fixture.pixels)) <= 2)
  }

  @Test(arguments: Fixtures.jpegs.map(\.name))
  func everyTruncationIsAnError(name: String) throws {
    let whole = JPEGBuilder(name).bytes
    for count in 0..<whole.count {
      let text = outcome(Array(whole[..<count]))
      #expect(text.hasPrefix("image: "), "\(count) bytes: \(text)")
    }
  }

  @Test func whatIsMissingIsGrayWhenLenient() throws {
    let whole = JPEGBuilder("baseline").bytes
    let scan = whole.count - JPEGBuilder("baseline")[0xDA].scan.count - 2
    for count in scan..<whole.count {
      let image = try Image.decode(
        Array(whole[..<count]), options: ImageDecodingOptions(strict: false))
      #expect(image.width == 16 && image.height == 12)
      #expect(image.warningCount > 0)
    }
  }

  static let cases: [(name: String, bytes: [UInt8], error: String)] = {
    func edited(_ name: String = "baseline", _ edit: (inout JPEGBuilder) -> Void) -> [UInt8] {
      var jpeg = JPEGBuilder(name)
      edit(&jpeg)
      return jpeg.bytes
    }
    /// Bytes 1 … 4 of the frame are height and width.
    func sized(_ width: Int, _ height: Int) -> [UInt8] {
      edited {
        $0[0xC0].data.replaceSubrange(
          1...4, with: bigEndian(height, bytes: 2) + bigEndian(width, bytes: 2))
      }
    }
    return [
      ("only the magic", [0xFF, 0xD8], "image: broken JPEG: premature end of JPEG file"),
      ("magic and marker", [0xFF, 0xD8, 0xFF], "image: broken JPEG: premature end of JPEG file"),
      (
        "nothing inside", [0xFF, 0xD8, 0xFF, 0xD9],
        "image: broken JPEG: JPEG datastream contains no image"
      ),
      (
        "two starts", [0xFF, 0xD8] + JPEGBuilder("baseline").bytes,
        "image: broken JPEG: invalid JPEG file structure: two SOI markers"
      ),
      (
        "no end", JPEGBuilder("baseline").bytes(end: []),
        "image: broken JPEG: premature end of JPEG file"
      ),
      (
        "65,500 x 65,500", sized(65_500, 65_500),
        "limit: expected at most 16384 pixels a side, found 65500 x 65500"
      ),
      (
        "65,535 x 1", sized(65_535, 1),
        "image: broken JPEG: maximum supported image dimension is 65500 pixels"
      ),
      (
        "64 megapixels and a row", sized(8000, 8001),
        "limit: expected at most 64000000 pixels, found 8000 x 8001"
      ),
      ("height 0", sized(16, 0), "image: broken JPEG: empty JPEG image (DNL not supported)"),
      ("width 0", sized(0, 12), "image: broken JPEG: empty JPEG image (DNL not supported)"),
      (
        "larger than its data", sized(4000, 3000),
        "image: broken JPEG: corrupt JPEG data: premature end of data segment"
      ),
      (
        "two frames", edited { $0.insert(0xC0, $0[0xC0].data, at: $0.index(0xC0)) },
        "image: broken JPEG: invalid JPEG file structure: two SOF markers"
      ),
      (
        "frame after the scan", edited { $0.insert(0xC0, $0[0xC0].data, at: $0.segments.count) },
        "image: broken JPEG: invalid JPEG file structure: two SOF markers"
      ),
      (
        "scan before the frame", edited { $0.segments.swapAt($0.index(0xC0), $0.index(0xDA)) },
        "image: broken JPEG: invalid JPEG file structure: SOS before SOF"
      ),
      (
        "no frame", edited { $0.remove(0xC0) },
        "image: broken JPEG: invalid JPEG file structure: SOS before SOF"
      ),
      (
        "12 bits", edited { $0[0xC0].data[0] = 12 },
        "unsupported: JPEG: expected 8 bits a sample, found 12"
      ),
      (
        "9 bits", edited { $0[0xC0].data[0] = 9 },
        "unsupported: JPEG: expected 8 bits a sample, found 9"
      ),
      (
        "lossless", edited { $0[0xC0].marker = 0xC3 },
        "unsupported: JPEG: expected baseline or progressive coding, found lossless coding"
      ),
      (
        "hierarchical", edited { $0[0xC0].marker = 0xC5 },
        "unsupported: JPEG: expected baseline or progressive coding, found hierarchical coding"
      ),
      (
        "arithmetic", edited { $0[0xC0].marker = 0xC9 },
        "unsupported: JPEG: expected baseline or progressive coding, found arithmetic coding"
      ),
      (
        "progressive arithmetic", edited("progressive") { $0[0xC2].marker = 0xCA },
        "unsupported: JPEG: expected baseline or progressive coding, found arithmetic coding"
      ),
      (
        "no Huffman table", edited { $0.remove(0xC4) },
        "image: broken JPEG: corrupt JPEG data: 55 extraneous bytes before marker 0xd9"
      ),
      (
        "Huffman table with too many codes", edited { $0[0xC4].data[1] = 255 },
        "image: broken JPEG: bogus Huffman table definition"
      ),
      (
        "Huffman table number 9", edited { $0[0xC4].data[0] = 9 },
        "image: broken JPEG: bogus DHT index 9"
      ),
      (
        "no quantisation table", edited { $0.remove(0xDB) },
        "image: broken JPEG: quantization table 0x00 was not defined"
      ),
      (
        "quantisation table number 7", edited { $0[0xDB].data[0] = 7 },
        "image: broken JPEG: bogus DQT index 7"
      ),
      (
        "sampling factor 0", edited { $0[0xC0].data[7] = 0x02 },
        "image: broken JPEG: bogus sampling factors"
      ),
      (
        "sampling factor 5", edited { $0[0xC0].data[7] = 0x52 },
        "image: broken JPEG: bogus sampling factors"
      ),
      (
        "sampling 4 x 4", edited { $0[0xC0].data[7] = 0x44 },
        "image: broken JPEG: sampling factors too large for interleaved scan"
      ),
      (
        "scan of an unknown component", edited { $0[0xDA].data[1] = 77 },
        "image: broken JPEG: invalid component ID 77 in SOS"
      ),
      (
        "two components",
        edited {
          $0[0xC0].data[5] = 2
          $0[0xC0].data.removeLast(3)
          $0[0xDA].data = [2, 1, 0, 2, 0x11, 0, 63, 0]
        }, "unsupported: JPEG: expected 1, 3 or 4 colour components, found 2"
      ),
      (
        "frame shorter than its components", edited { $0[0xC0].data.removeLast(3) },
        "image: broken JPEG: bogus marker length"
      ),
      (
        "extraneous bytes", edited { $0[0xDA].scan += [1, 2, 3, 4] },
        "image: broken JPEG: corrupt JPEG data: 2 extraneous bytes before marker 0xd9"
      ),
      (
        "garbage between segments", edited { $0[0xDB].scan = [1, 2, 3] },
        "image: broken JPEG: corrupt JPEG data: 3 extraneous bytes before marker 0xdb"
      ),
      (
        "wrong restart marker",
        edited("restarts") { jpeg in
          let scan = jpeg[0xDA].scan
          if let at = scan.indices.first(where: { scan[$0] == 0xFF && scan[$0 + 1] == 0xD1 }) {
            jpeg[0xDA].scan[at + 1] = 0xD5
          }
        }, "image: broken JPEG: corrupt JPEG data: found marker 0xd5 instead of RST1"
      ),
      (
        "unknown marker", edited { $0.insert(0x02, [1, 2, 3], at: 3) },
        "image: broken JPEG: unsupported marker type 0x02"
      ),
      (
        "segment of length 1", [0xFF, 0xD8, 0xFF, 0xE0, 0, 1, 0xFF, 0xD9],
        "image: broken JPEG: JPEG datastream contains no image"
      ),
    ]
  }()

  @Test(arguments: cases.indices)
  func brokenFilesAreNamed(index: Int) {
    let (name, bytes, error) = JPEGTests.cases[index]
    #expect(outcome(bytes) == error, "\(name)")
    _ = outcome(bytes, strict: false)
  }

  @Test func tenThousandScansAreTooMany() {
    var jpeg = JPEGBuilder("progressive")
    let scan = jpeg.segments[jpeg.segments.count - 1]
    jpeg.segments += Array(repeating: scan, count: 10_000)
    #expect(
      outcome(jpeg.bytes)
        == "image: broken JPEG: inconsistent progression sequence for component 0 coefficient 1")
    #expect(
      outcome(jpeg.bytes, strict: false) == "limit: JPEG: expected at most 100 scans, found more")
  }

  @Test func largeApplicationSegmentsAreSteppedOver() throws {
    var jpeg = JPEGBuilder("baseline")
    let plain = try Image.decode(jpeg.bytes)
    for _ in 0..<200 { jpeg.insert(0xE2, [UInt8](repeating: 7, count: 65_533), at: 1) }
    #expect(try Image.decode(jpeg.bytes).pixels == plain.pixels)
  }

  @Test func lenientDecodingCountsWhatStrictDecodingRefuses() throws {
    var jpeg = JPEGBuilder("baseline")
    let plain = try Image.decode(jpeg.bytes)
    jpeg[0xDA].scan += [1, 2, 3, 4]
    let image = try Image.decode(jpeg.bytes, options: ImageDecodingOptions(strict: false))
    #expect(image.warningCount == 1)
    #expect(image.pixels == plain.pixels)
  }

  @Test(arguments: Fixtures.jpegs.map(\.name))
  func everyByteIsWrittenAndNoneBehind(name: String) {
    let data = JPEGBuilder(name).bytes
    expectFullyWritten { header, message, options in
      li_jpeg_header(data, data.count, options, &header, &message)
    } decode: { header, pixels, message, options in
      var warnings: Int32 = 0
      return li_jpeg_decode(data, data.count, options, header, pixels, &warnings, &message)
    }
  }

  @Test func decodingChecksTheHeaderAgain() {
    let data = JPEGBuilder("baseline").bytes
    var message = li_message()
    var warnings: Int32 = 0
    var pixels = [UInt8](repeating: 7, count: 3)
    let status = li_jpeg_decode(
      data, data.count, li_options(strict: true, maximum_scans: 100, maximum_memory: 1 << 30),
      li_header(width: 1, height: 1, row_bytes: 0), &pixels, &warnings, &message)
    #expect(status == LI_BROKEN)
    #expect(pixels == [7, 7, 7])
  }
}

/// Decodes into buffers filled with two patterns and compares the results.
func expectFullyWritten(
  header readHeader: (inout li_header, inout li_message, li_options) -> li_status,
  decode: (li_header, UnsafeMutablePointer<UInt8>, inout li_message, li_options) -> li_status
) {
  var header = li_header()
  var message = li_message()
  let options = li_options(strict: true, maximum_scans: 100, maximum_memory: 1 << 30)
  #expect(readHeader(&header, &message, options) == LI_OK)
  let count = 3 * Int(header.width) * Int(header.height)
  let results = [UInt8(0x5A), 0xA5].map { pattern in
    var buffer = [UInt8](repeating: pattern, count: count + 64)
    let status = buffer.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map { decode(header, $0, &message, options) }
    }
    #expect(status == LI_OK)
    #expect(buffer[count...].allSatisfy { $0 == pattern })
    return Array(buffer[..<count])
  }
  #expect(results[0] == results[1])
}
