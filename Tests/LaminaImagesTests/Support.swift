import Foundation
import Lamina
import Testing

/// The shared pictures, when they are there.
let sharedData: String? = {
  let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let path =
    ProcessInfo.processInfo.environment["LAMINA_SHARED_DATA"]
    ?? root.deletingLastPathComponent().appendingPathComponent("shared/data").path
  let isThere = FileManager.default.fileExists(atPath: path + "/imagenet_samples")
  if !isThere { print("skipped: no shared data") }
  return isThere ? path : nil
}()

func files(in folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { "\(folder)/\($0)" }
}

func decoded(base64: String) -> [UInt8] {
  [UInt8](Data(base64Encoded: base64, options: .ignoreUnknownCharacters) ?? Data())
}

/// The error that `body` throws, as `code: text`; nil when it throws none.
func failure(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch let error as LaminaError {
    return "\(error.code): \(error)"
  } catch {
    return "\(error)"
  }
}

/// The error of decoding `bytes`, or the size of the picture.
func outcome(_ bytes: [UInt8], strict: Bool = true) -> String {
  var size = ""
  let error = failure {
    let image = try Image.decode(bytes, options: ImageDecodingOptions(strict: strict))
    size = "\(image.width) x \(image.height), \(image.warningCount) warnings"
  }
  return error ?? size
}

/// The largest difference of two runs of bytes; 256 when their lengths differ.
func largestDifference(_ a: [UInt8], _ b: [UInt8]) -> Int {
  a.count == b.count ? zip(a, b).map { abs(Int($0) - Int($1)) }.max() ?? 0 : 256
}

/// The pictures that `noise` makes in Tests/fixtures/images.py.
func noise(width: Int, height: Int) throws -> Image {
  var state: UInt32 = 12345
  let pixels = (0..<3 * width * height).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return UInt8(state >> 24)
  }
  return try Image(width: width, height: height, pixels: pixels)
}

/// The FNV-1a hash.
func hash(_ bytes: [UInt8]) -> UInt64 {
  bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}

/// A generator of test cases: SplitMix64.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

func bigEndian(_ number: Int, bytes count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * (count - 1 - $0))) }
}
