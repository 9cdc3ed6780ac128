import Lamina
import LaminaTestSupport
import Testing

/// A small valid file of each format.
struct Seed: Sendable, CustomTestStringConvertible {
  var name: String
  var bytes: [UInt8]
  /// Whether checksums make every change of data an error.
  var isChecked = false
  var testDescription: String { name }

  static let all = [
    Seed(name: "safetensors", bytes: validSafeTensors),
    Seed(name: "zip", bytes: validZip.bytes, isChecked: true),
    Seed(
      name: "zip64",
      bytes: {
        var zip = validZip
        zip.usesZip64 = true
        return zip.bytes
      }(), isChecked: true),
    Seed(name: "legacy", bytes: validLegacy),
    Seed(name: "npz", bytes: validNPZ.bytes, isChecked: true),
    Seed(name: "pickle of arrays", bytes: validArrayPickle),
  ]
}

@Suite struct SweepTests {
  @Test(arguments: Seed.all) func seedsAreValid(seed: Seed) throws {
    #expect(equalBytes(try readAll(seed.bytes), try expectedTensors()))
  }

  @Test(arguments: Seed.all) func everyTruncationIsAnError(seed: Seed) {
    for count in 0..<seed.bytes.count {
      let text = outcome { try readAll(Array(seed.bytes[..<count])) }
      #expect(text != "no error" && !text.hasPrefix("another"), "\(count) bytes: \(text)")
    }
  }

  /// Either an error, or, where checksums guard the data, the same tensors.
  func check(_ bytes: [UInt8], _ seed: Seed, _ what: String) throws {
    do {
      let tensors = try readAll(bytes)
      if seed.isChecked {
        #expect(
          equalBytes(tensors, try expectedTensors()), "\(what): other tensors without an error")
      }
    } catch let error as LaminaError {
      #expect(!error.description.contains("\n"), "\(what)")
    }
  }

  @Test(arguments: Seed.all) func flippedBytesNeverTrap(seed: Seed) throws {
    let random = CounterRandom(seed: 7, name: seed.name)
    for n in 0..<3000 {
      var bytes = seed.bytes
      let flips = 1 + Int(random.bits(UInt64(3 * n)) % 3)
      for flip in 0..<flips {
        let word = random.bits(UInt64(n) << 16 | UInt64(flip))
        bytes[Int(word % UInt64(bytes.count))] ^= UInt8(1 << (word >> 60 & 7))
      }
      try check(bytes, seed, "mutation \(n)")
    }
  }

  @Test(arguments: Seed.all) func extremeFieldsNeverTrap(seed: Seed) throws {
    let values: [UInt64] = [
      0, 1, 1 << 31 - 1, 1 << 31, 1 << 32 - 1, 1 << 63 - 1, 1 << 63, .max,
    ]
    for value in values {
      for width in [2, 4, 8] where value >> (8 * UInt64(width) - 1) <= 1 || width == 8 {
        for offset in 0...(seed.bytes.count - width) {
          var bytes = seed.bytes
          bytes.replaceSubrange(offset..<offset + width, with: littleEndian(value).prefix(width))
          try check(bytes, seed, "\(value) at \(offset)")
        }
      }
    }
  }
}
