import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct FeatureCacheTests {
  /// The network with all but its head frozen.
  private static func session(seed: UInt64 = 1) throws -> TrainingSession {
    var options = TrainingOptions()
    options.frozen = ["norm", "first", "tanh", "drop"]
    return try TrainingSession(model: network(seed: seed), options: options)
  }

  private static func bits(_ cache: FeatureCache, epoch: Int = 0) throws -> [UInt32] {
    let batch = try cache.batch(Array(0..<cache.count), epoch: epoch)
    guard case .features(let tensors, _) = batch.content else { return [] }
    return tensors.flatMap { $0.elements(as: Float.self).map(\.bitPattern) }
  }

  private static func files(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test func featuresAreReadAgain() throws {
    try withTemporaryFolder { root in
      let folder = "\(root)/deep/cache"
      let data = Points(count: 37)
      let plain = try FeatureCache(Self.session(), data, batchSize: 8)
      #expect(plain.file == nil)
      let first = try FeatureCache(Self.session(), data, batchSize: 8, folder: folder)
      let file = try #require(first.file)
      #expect(!file.wasRead && file.byteCount == 37 * 16 * 4 && first.messages.isEmpty)
      #expect(try Self.files(folder).map { "\(folder)/\($0)" } == [file.path])
      var calls: [Int] = []
      let second = try FeatureCache(Self.session(), data, batchSize: 5, folder: folder) {
        calls.append($0)
      }
      #expect(second.file?.wasRead == true && calls == [37] && second.messages.isEmpty)
      for cache in [first, second] {
        #expect(try Self.bits(cache) == Self.bits(plain))
        #expect(cache.fingerprint == plain.fingerprint)
        guard case .classes(let labels)? = try cache.batch([5, 1], epoch: 3).labels.first else {
          Issue.record("no classes")
          return
        }
        #expect(labels == [2, 1])
      }
      // Other weights and other data have files of their own.
      #expect(
        try FeatureCache(Self.session(seed: 2), data, folder: folder).file?.wasRead == false)
      #expect(
        try FeatureCache(Self.session(), Points(count: 37, seed: 1), folder: folder).file?.wasRead
          == false)
      #expect(try Self.files(folder).count == 3)
    }
  }

  @Test func damagedAndForeignFilesAreComputedAnew() throws {
    try withTemporaryFolder { folder in
      let data = Points(count: 20)
      let first = try FeatureCache(Self.session(), data, folder: folder)
      let path = try #require(first.file).path
      let whole = try Data(contentsOf: URL(filePath: path))
      let other = try FeatureCache(Self.session(seed: 2), data, folder: folder)
      let foreign = try Data(contentsOf: URL(filePath: #require(other.file).path))
      var changed = whole
      changed[changed.count - 100] ^= 1
      for (bytes, message) in [
        (changed, "expected crc32c "), (whole.prefix(whole.count / 2), "expected crc32c "),
        (Data(), "expected at least 12 bytes, found 0: the features are computed anew"),
        (foreign, "expected the features of this model and these data, found others"),
      ] {
        try bytes.write(to: URL(filePath: path))
        let cache = try FeatureCache(Self.session(), data, folder: folder)
        #expect(cache.file?.wasRead == false && cache.messages.count == 1)
        #expect(cache.messages[0].hasPrefix(path) && cache.messages[0].contains(message))
        #expect(cache.messages[0].hasSuffix(": the features are computed anew"))
        #expect(try Self.bits(cache) == Self.bits(first))
        #expect(try Data(contentsOf: URL(filePath: path)) == whole)
      }
    }
  }

  @Test func whatCannotBeKeptIsSaidAndTrainingGoesOn() throws {
    try withTemporaryFolder { folder in
      let data = Points(count: 20)
      let first = try FeatureCache(Self.session(), data, folder: folder)
      let path = try #require(first.file).path
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let cache = try FeatureCache(Self.session(), data, folder: folder)
      #expect(cache.file == nil && cache.messages.count == 2)
      #expect(cache.messages[1].hasPrefix("the features are not kept: \(path): is a directory"))
      #expect(try Self.bits(cache) == Self.bits(first))
      // What a process left that is no more goes, what a living one writes stays.
      let gone = "\(folder)/features-1.safetensors.999999999.0.tmp"
      let living =
        "\(folder)/features-1.safetensors.\(ProcessInfo.processInfo.processIdentifier).0.tmp"
      for name in [gone, living] { try Data().write(to: URL(filePath: name)) }
      _ = try FeatureCache(Self.session(), data, folder: folder)
      #expect(!FileManager.default.fileExists(atPath: gone))
      #expect(FileManager.default.fileExists(atPath: living))
    }
  }

  @Test func variantsComeAgain() throws {
    try withTemporaryFolder { folder in
      var data = Points(count: 10)
      data.jitters = true
      for wasRead in [false, true] {
        let cache = try FeatureCache(
          Self.session(), data, batchSize: 4, variants: 3, folder: folder)
        #expect(cache.file?.wasRead == wasRead)
        #expect(!cache.isSameInEveryEpoch && cache.fingerprint.hasSuffix(", 3 variants"))
        let epochs = try (0..<6).map { try Self.bits(cache, epoch: $0) }
        #expect(Set(epochs[0..<3]).count == 3 && epochs[0..<3] == epochs[3..<6])
        let session = try Self.session()
        let inputs = try #require(try data.batch(Array(0..<10), epoch: 2).inputs)
        let direct = try session.features(of: [inputs.view])[0].elements(as: Float.self)
        #expect(epochs[2] == direct.map(\.bitPattern))
      }
      expectError(.argument, "expected variants from 1, found 0") {
        try FeatureCache(Self.session(), data, variants: 0)
      }
    }
  }

  @Test func featuresAboveTheLimitAreRefused() throws {
    var options = TrainingOptions()
    options.frozen = ["norm", "first", "tanh", "drop"]
    options.limits.memoryBytes = 1 << 16
    let session = try TrainingSession(model: network(), options: options)
    expectError(
      .limit,
      "expected at most 65536 bytes of memory, the features of 2000 items needs 128000"
    ) { try FeatureCache(session, Points(count: 2000), batchSize: 8) }
  }
}
