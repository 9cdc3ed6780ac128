import Foundation
import Lamina
import Testing

struct EncodingTests {
  private static func picture(_ width: Int, _ height: Int) throws -> Image {
    var pixels: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        pixels += [UInt8(x * 255 / width), UInt8(y * 255 / height), 128]
      }
    }
    return try Image(width: width, height: height, pixels: pixels)
  }

  @Test(arguments: [(1, 1), (7, 9), (64, 48), (200, 3)]) func encodedPicturesDecode(
    _ width: Int, _ height: Int
  ) throws {
    let image = try Self.picture(width, height)
    let bytes = try image.jpegBytes(quality: 95)
    let decoded = try Image.decode(bytes)
    #expect(decoded.width == width && decoded.height == height && decoded.warningCount == 0)
    let errors = zip(image.pixels, decoded.pixels).map { abs(Int($0) - Int($1)) }
    #expect(Double(errors.reduce(0, +)) / Double(errors.count) < 6)
    #expect(try image.jpegBytes(quality: 95) == bytes)
  }

  @Test func noiseFitsAtTheBestQuality() throws {
    let random = CounterRandom(seed: 1, name: "noise")
    for side in [1, 8, 33] {
      let pixels = (0..<3 * side * side).map { UInt8(random.bits(UInt64($0)) & 255) }
      let image = try Image(width: side, height: side, pixels: pixels)
      #expect(try Image.decode(image.jpegBytes(quality: 100)).width == side)
    }
  }

  @Test func whatMakesNoSenseIsRefused() throws {
    let image = try Self.picture(4, 4)
    for quality in [0, 101] {
      #expect(throws: LaminaError(.argument, "expected a quality in 1...100, found \(quality)")) {
        try image.jpegBytes(quality: quality)
      }
    }
  }

  @Test func picturesFitWithTheirProportions() throws {
    let image = try Self.picture(64, 48)
    let small = try image.fitted(within: 16)
    #expect(small.width == 16 && small.height == 12)
    #expect(try image.fitted(within: 64).pixels == image.pixels)
    let thin = try Self.picture(200, 1).fitted(within: 10)
    #expect(thin.width == 10 && thin.height == 1)
  }
}
