import Foundation
import Lamina
import Testing

@Suite struct DecodingTests {
  @Test(arguments: [
    ("", "image: expected a JPEG or PNG picture, found 0 bytes of another kind"),
    ("x", "image: expected a JPEG or PNG picture, found 1 bytes of another kind"),
    ("GIF89a…", "unsupported: expected a JPEG or PNG picture, found GIF"),
    ("BM……", "unsupported: expected a JPEG or PNG picture, found BMP"),
    ("RIFF….WEBPVP8 ", "unsupported: expected a JPEG or PNG picture, found WebP"),
    ("II*\0....", "unsupported: expected a JPEG or PNG picture, found TIFF"),
    ("MM\0*....", "unsupported: expected a JPEG or PNG picture, found TIFF"),
    ("\0\0\0 ftypavif", "unsupported: expected a JPEG or PNG picture, found AVIF"),
    ("\0\0\0 ftypheic", "unsupported: expected a JPEG or PNG picture, found HEIF"),
    ("\0\0\0\u{0C}jP  ", "unsupported: expected a JPEG or PNG picture, found JPEG 2000"),
    ("\0\0\0\u{0C}JXL ", "unsupported: expected a JPEG or PNG picture, found JPEG XL"),
    ("\0\0\u{01}\0", "unsupported: expected a JPEG or PNG picture, found ICO"),
    ("8BPS", "unsupported: expected a JPEG or PNG picture, found PSD"),
    ("%PDF-1.7", "unsupported: expected a JPEG or PNG picture, found PDF"),
    ("PK\u{03}\u{04}", "unsupported: expected a JPEG or PNG picture, found zip"),
    ("\n <!DOCTYPE html><html>", "unsupported: expected a JPEG or PNG picture, found HTML"),
    ("<html>", "unsupported: expected a JPEG or PNG picture, found HTML"),
    ("\u{FEFF}<svg xmlns=", "unsupported: expected a JPEG or PNG picture, found SVG"),
    ("<?xml version", "unsupported: expected a JPEG or PNG picture, found XML"),
    ("{\"error\": 404}", "image: expected a JPEG or PNG picture, found 14 bytes of another kind"),
  ])
  func otherKindsAreNamed(content: String, error: String) {
    #expect(outcome(Array(content.utf8)) == error)
  }

  @Test func theContentDecidesNotTheName() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let png = folder.appendingPathComponent("picture.jpg").path
    let jpeg = folder.appendingPathComponent("picture.png").path
    try Data(PNGBuilder.small().bytes).write(to: URL(fileURLWithPath: png))
    try Data(JPEGBuilder("baseline").bytes).write(to: URL(fileURLWithPath: jpeg))
    #expect(try Image.load(path: png).width == 5)
    #expect(try Image.load(path: jpeg).width == 16)
    #expect(
      failure { _ = try Image.load(path: folder.path) }
        == "argument: \(folder.path): expected a regular file, found a directory")
    #expect(
      failure { _ = try Image.load(path: folder.path + "/none.jpg") }
        == "notFound: \(folder.path)/none.jpg: no such file or directory")
    var limits = Limits()
    limits.imageFileBytes = 10
    let size = PNGBuilder.small().bytes.count
    #expect(
      failure { _ = try Image.load(path: png, limits: limits) }
        == "limit: \(png): expected at most 10 bytes, found \(size)")
    try Data([0xFF, 0xD8]).write(to: URL(fileURLWithPath: png))
    #expect(
      failure { _ = try Image.load(path: png) }
        == "image: \(png): broken JPEG: premature end of JPEG file")
    mkfifo(folder.path + "/fifo", 0o600)
    #expect(
      failure { _ = try Image.load(path: folder.path + "/fifo") }
        == "argument: \(folder.path)/fifo: expected a regular file, found a FIFO")
  }

  @Test func limitsAreTheCallers() {
    let png = PNGBuilder.small().bytes
    func error(_ edit: (inout Limits) -> Void) -> String? {
      var limits = Limits()
      edit(&limits)
      return failure { _ = try Image.decode(png, limits: limits) }
    }
    #expect(error { $0.imageSide = 4 } == "limit: expected at most 4 pixels a side, found 5 x 4")
    #expect(error { $0.imagePixels = 19 } == "limit: expected at most 19 pixels, found 5 x 4")
    #expect(
      error { $0.imageFileBytes = 9 } == "limit: expected at most 9 bytes, found \(png.count)")
    #expect(
      error { $0.memoryBytes = 59 }
        == "limit: expected at most 59 bytes of memory, a picture of 5 x 4 pixels needs 60")
    #expect(
      error {
        $0.imagePixels = 20; $0.imageSide = 5; $0.memoryBytes = 60
      } == nil)
    let jpeg = JPEGBuilder("progressive").bytes
    #expect(
      failure {
        var limits = Limits()
        limits.jpegScans = 2
        _ = try Image.decode(jpeg, limits: limits)
      } == "limit: JPEG: expected at most 2 scans, found more")
    var tall = JPEGBuilder("progressive")
    tall[0xC2].data.replaceSubrange(1...2, with: bigEndian(2000, bytes: 2))
    #expect(
      failure {
        var limits = Limits()
        limits.memoryBytes = 100_000
        _ = try Image.decode(tall.bytes, limits: limits)
      } == "limit: JPEG: expected at most 100000 bytes of coefficients, found more")
  }

  @Test func threadsDoNotDisturbEachOther() throws {
    let expected = try Fixtures.jpegs.map { try Image.decode(decoded(base64: $0.data)).pixels }
    let png = PNGBuilder.small().bytes
    let colors = try Image.decode(png).pixels
    DispatchQueue.concurrentPerform(iterations: 64) { index in
      let number = index % expected.count
      let jpeg = decoded(base64: Fixtures.jpegs[number].data)
      #expect((try? Image.decode(jpeg))?.pixels == expected[number])
      #expect((try? Image.decode(Array(jpeg.dropLast(9)))) == nil)
      #expect((try? Image.decode(png))?.pixels == colors)
    }
  }

  // MARK: Orientation

  private func orientedPNG(_ exif: [UInt8]) -> PNGBuilder {
    var png = PNGBuilder(
      width: 3, depth: 8, color: 2,
      rows: [[0, 0, 0, 1, 0, 0, 2, 0, 0], [3, 0, 0, 4, 0, 0, 5, 0, 0]])
    png.insert("eXIf", exif, before: "IDAT")
    return png
  }

  @Test(arguments: 1...8, [false, true])
  func orientationsEqualPillows(orientation: Int, littleEndian: Bool) throws {
    let png = orientedPNG(JPEGBuilder.exif(orientation, littleEndian: littleEndian)).bytes
    let image = try Image.decode(png)
    let expected = Fixtures.orientations[orientation - 1]
    #expect(image.width == expected.width)
    #expect(stride(from: 0, to: 18, by: 3).map { image.pixels[$0] } == expected.reds)
    let asStored = try Image.decode(png, options: ImageDecodingOptions(applyOrientation: false))
    #expect(stride(from: 0, to: 18, by: 3).map { asStored.pixels[$0] } == [0, 1, 2, 3, 4, 5])
  }

  @Test func jpegsAreTurnedByTheirFirstExifSegment() throws {
    var jpeg = JPEGBuilder("baseline")
    let plain = try Image.decode(jpeg.bytes)
    jpeg.insertOrientation(3)
    jpeg.insert(0xE1, Array("Exif\0\0".utf8) + JPEGBuilder.exif(6), at: 1)
    jpeg.insert(0xE1, Array("http://ns.adobe.com/xap/1.0/\0".utf8))
    let turned = try Image.decode(jpeg.bytes)
    let reversed = stride(from: 191, through: 0, by: -1).flatMap {
      plain.pixels[3 * $0..<3 * $0 + 3]
    }
    #expect(turned.pixels == reversed)
  }

  @Test func brokenExifIsUpright() throws {
    var cases = [0, 9, 65_535].map { JPEGBuilder.exif($0) }
    let whole = JPEGBuilder.exif(6)
    cases += (0..<19).map { Array(whole[..<$0]) }
    func edited(_ index: Int, _ bytes: [UInt8]) -> [UInt8] {
      var exif = whole
      exif.replaceSubrange(index..<index + bytes.count, with: bytes)
      return exif
    }
    cases += [
      edited(0, [0x58, 0x58]), edited(2, [0, 43]), edited(4, [0xFF, 0xFF, 0xFF, 0xFF]),
      edited(4, [0x7F, 0xFF, 0xFF, 0xFF]), edited(8, [0, 0]), edited(10, [9, 9]),
      edited(12, [0, 4]),
    ]
    for exif in cases {
      let image = try Image.decode(orientedPNG(exif).bytes)
      #expect(image.width == 3, "\(exif)")
      var jpeg = JPEGBuilder("baseline")
      jpeg.insert(0xE1, Array("Exif\0\0".utf8) + exif)
      #expect(try Image.decode(jpeg.bytes).width == 16)
    }
  }

  // MARK: Sweeps

  /// 2,000 times one to four bytes of a valid file are replaced; the decoder gives a picture or an error.
  @Test(arguments: Fixtures.jpegs.map(\.name))
  func changedJPEGsNeverTrap(name: String) throws {
    try sweep(JPEGBuilder(name).bytes) { $0 }
  }

  @Test(arguments: [0, 2, 3, 4, 6])
  func changedPNGsNeverTrap(color: Int) throws {
    let channels = [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][color] ?? 0
    var png = PNGBuilder(
      width: 6, depth: 8, color: color, palette: color == 3 ? [1, 2, 3] : [],
      rows: (0..<6).map { y in [UInt8](repeating: UInt8(y % 2), count: 6 * channels) })
    png.insert("eXIf", JPEGBuilder.exif(5), before: "IDAT")
    try sweep(png.bytes) { $0 }
    try sweep(png.bytes, repairing)
  }

  private func sweep(_ whole: [UInt8], _ repair: ([UInt8]) -> [UInt8]) throws {
    var generator = Seeded(state: UInt64(whole.count))
    for round in 0..<2000 {
      var bytes = whole
      for _ in 0...Int.random(in: 0..<4, using: &generator) {
        let index = Int.random(in: 2..<bytes.count, using: &generator)
        bytes[index] = UInt8.random(in: 0...255, using: &generator)
      }
      let options = ImageDecodingOptions(strict: round % 2 == 0)
      do {
        let image = try Image.decode(repair(bytes), options: options)
        #expect(image.pixels.count == 3 * image.width * image.height)
      } catch let error as LaminaError {
        #expect([.image, .unsupported, .limit].contains(error.code), "\(error)")
      }
    }
  }

  /// The same chunks with right checksums, so that changes reach behind them.
  private func repairing(_ bytes: [UInt8]) -> [UInt8] {
    var result = Array(bytes[..<8])
    var offset = 8
    while offset + 12 <= bytes.count {
      let length = bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= bytes.count - offset - 12 else { break }
      let body = Array(bytes[offset + 4..<offset + 8 + length])
      result += bytes[offset..<offset + 4] + body + bigEndian(PNGBuilder.crc(body), bytes: 4)
      offset += 12 + length
    }
    return result + bytes[offset...]
  }

  @Test func everyHeaderBitMayBeFlipped() {
    for bit in 0..<13 * 8 {
      var png = PNGBuilder.small()
      png.chunks[0].data[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(outcome(png.bytes) != "5 x 4, 0 warnings", "bit \(bit)")
    }
    let jpeg = JPEGBuilder("baseline").bytes
    for bit in 0..<8 * jpeg.count {
      var changed = jpeg
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = outcome(changed)
    }
  }

  // MARK: Photos

  @Test(.enabled(if: sharedData != nil))
  func photosDecode() throws {
    let folder = try #require(sharedData)
    for path in try files(in: folder + "/imagenet_samples") + files(in: folder + "/photos") {
      let image = try Image.load(path: path)
      #expect(image.width > 100 && image.height > 100)
    }
  }

  /// Decoders may differ by 2 in a sample; the one used here gives Pillow's pixels exactly.
  @Test(.enabled(if: sharedData != nil), arguments: Fixtures.photos.indices)
  func photosAreResizedAndCroppedAsByTorchvision(index: Int) throws {
    let folder = try #require(sharedData)
    let photo = Fixtures.photos[index]
    let image = try Image.load(path: "\(folder)/imagenet_samples/\(photo.name)")
    #expect(image.width == photo.width && image.height == photo.height)
    let recipe = Preprocessing(scale: 1, mean: [0], std: [1])
    let values = try recipe.apply(to: image).elements(as: Float.self)
    let sampled = stride(from: 0, to: 224, by: 37).flatMap { y in
      stride(from: 0, to: 224, by: 37).flatMap { x in
        (0..<3).map { UInt8(values[224 * 224 * $0 + 224 * y + x]) }
      }
    }
    #expect(largestDifference(sampled, decoded(base64: photo.pixels)) <= 2)
  }
}
