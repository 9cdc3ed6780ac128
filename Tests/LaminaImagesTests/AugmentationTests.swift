import Foundation
import LaminaCore
import LaminaImages
import Testing

@Suite struct AugmentationTests {
  private static let expected: [String: String] = {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("fixtures/colors.json")
    let data = (try? Data(contentsOf: path)) ?? Data()
    return (try? JSONDecoder().decode([String: String].self, from: data)) ?? [:]
  }()

  private static func picture() throws -> Image { try noise(width: 13, height: 9) }
  private static func dim() throws -> Image {
    let pixels = try picture().pixels.map { $0 / 3 + 40 }
    return try Image(width: 13, height: 9, pixels: pixels)
  }

  /// Pillow cuts results where we round, and rounds the mean grey.
  static let changes: [(name: String, tolerance: Int, apply: @Sendable () throws -> Image)] = [
    ("brightness 1.4", 1, { try picture().brightened(by: 1.4) }),
    ("brightness 0.3", 1, { try picture().brightened(by: 0.3) }),
    ("contrast 1.7", 2, { try picture().contrasted(by: 1.7) }),
    ("contrast 0.2", 2, { try picture().contrasted(by: 0.2) }),
    ("saturation 1.9", 2, { try picture().saturated(by: 1.9) }),
    ("saturation 0.0", 1, { try picture().saturated(by: 0) }),
    ("sharpness 1.8", 2, { try picture().sharpened(by: 1.8) }),
    ("sharpness 0.1", 2, { try picture().sharpened(by: 0.1) }),
    ("posterize 3", 0, { try picture().posterized(bits: 3) }),
    ("solarize 100", 0, { try picture().solarized(from: 100) }),
    ("autocontrast", 1, { try dim().autoContrasted() }),
    ("equalize", 0, { try dim().equalized() }),
    ("hue 0.2", 1, { try picture().hueTurned(by: 0.2) }),
    ("hue -0.45", 1, { try picture().hueTurned(by: -0.45) }),
    ("flip", 0, { try picture().flippedHorizontally() }),
    ("flop", 0, { try picture().flippedVertically() }),
    ("rotation 90", 0, { try picture().transformed(.rotation(.pi / 2)) }),
  ]

  @Test(arguments: changes.indices) func changesArePillows(index: Int) throws {
    let (name, tolerance, apply) = Self.changes[index]
    let expected = decoded(base64: try #require(Self.expected[name]))
    #expect(largestDifference(try apply().pixels, expected) <= tolerance, "\(name)")
  }

  @Test func everyFixtureIsUsed() {
    #expect(Set(Self.expected.keys) == Set(Self.changes.map(\.name)))
  }

  static let all: [Augmentation] = [
    .horizontalFlip(), .verticalFlip(), .randomCrop(.init(height: 5, width: 6), padding: 2),
    .randomResizedCrop(.init(height: 7, width: 8)), .rotation(40), .zoom(0.5...2),
    .translation(x: 0.3, y: 0.3),
    .colorJitter(brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1), .contrast(0.5),
    .randAugment(operations: 3, magnitude: 15),
  ]

  @Test(arguments: all) func samplesDependOnSeedEpochAndPlaceAlone(augmentation: Augmentation)
    throws
  {
    let picture = try Self.picture()
    func pixels(_ seed: UInt64, _ epoch: Int, _ index: Int) throws -> [UInt8] {
      var random = SampleRandom(seed: seed, epoch: epoch, index: index)
      return try augmentation.apply(to: picture, &random).pixels
    }
    var seen: Set<[UInt8]> = []
    for index in 0..<40 {
      let result = try pixels(1, index % 3, index)
      #expect(try pixels(1, index % 3, index) == result)
      seen.insert(result)
    }
    #expect(seen.count > 1)
    switch augmentation {
    case .horizontalFlip, .verticalFlip: #expect(seen.count == 2)
    case .randomCrop: #expect(seen.allSatisfy { $0.count == 3 * 5 * 6 })
    case .randomResizedCrop: #expect(seen.allSatisfy { $0.count == 3 * 7 * 8 })
    default: #expect(seen.allSatisfy { $0.count == picture.pixels.count })
    }
  }

  @Test(arguments: RandAugmentOperation.allCases, [0.0, 1.0])
  func operationsOfMagnitudeZeroChangeLittle(operation: RandAugmentOperation, magnitude: Double)
    throws
  {
    let picture = try Self.picture()
    for isNegative in [false, true] {
      let result = try operation.apply(to: picture, magnitude: magnitude, isNegative: isNegative)
      #expect(result.width == picture.width && result.height == picture.height)
      if magnitude == 0, ![.autoContrast, .equalize, .solarize].contains(operation) {
        #expect(largestDifference(result.pixels, picture.pixels) <= 1, "\(operation)")
      }
    }
  }

  @Test(arguments: [
    Augmentation.horizontalFlip(1.5), .randomCrop(.init(height: 0, width: 3)),
    .randomCrop(.init(height: 3, width: 3), padding: -1),
    .randomResizedCrop(.init(height: 3, width: 3), scale: 0...1), .rotation(-1), .zoom(0...1),
    .translation(x: 2, y: 0), .colorJitter(hue: 0.7), .contrast(2),
    .randAugment(operations: 2, magnitude: 31),
  ]) func senselessNumbersAreRefused(augmentation: Augmentation) {
    #expect(failure { try augmentation.validate() }?.hasPrefix("argument: expected ") == true)
  }

  @Test func windowsBeyondThePictureAreRefused() throws {
    let picture = try Self.picture()
    #expect(
      failure {
        var random = SampleRandom(seed: 0, epoch: 0, index: 0)
        _ = try Augmentation.randomCrop(.init(height: 10, width: 3)).apply(to: picture, &random)
      } == "argument: expected a window within 13 x 9 pixels, found 3 x 10")
  }

  @Test func numbersHaveTheirDistributions() {
    var random = SampleRandom(seed: 3, epoch: 0, index: 0)
    let normals = (0..<20_000).map { _ in random.normal() }
    let mean = normals.reduce(0, +) / 20_000
    let variance = normals.reduce(0) { $0 + $1 * $1 } / 20_000
    #expect(abs(mean) < 0.03 && abs(variance - 1) < 0.05)
    var counts = [Int](repeating: 0, count: 5)
    for _ in 0..<20_000 { counts[random.index(below: 5)] += 1 }
    #expect(counts.allSatisfy { abs($0 - 4000) < 300 })
  }
}
