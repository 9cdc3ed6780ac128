import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Real weights on real pictures. The counts are those of the weights, measured elsewhere; see the README of
/// the shared data.
@Suite(.serialized) struct AccuracyTests {
  /// The folder where `make demo` keeps what it fetched.
  static let downloads = packageRoot + "/downloads"
  static let efficientNet = downloads + "/efficientnet_lite0.safetensors"

  /// Predicted class indices, best first, of each picture.
  private func classify(
    _ model: Model, pictures: [String], top: Int, isStrict: Bool = false
  ) throws -> [[Int]] {
    let preprocessing = try #require(model.metadata.preprocessing)
    var options = SessionOptions()
    options.isStrict = isStrict
    let session = try Session(model: model, options: options)
    return try pictures.map { path in
      let input = try preprocessing.apply(to: try Image.load(path: path))
      return try session.withOutputs(of: [input.view]) { outputs in
        try model.predictions(from: outputs[0], top: top)[0].map(\.index)
      }
    }
  }

  private func pictures(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { "\(folder)/\($0)" }
  }

  /// Top-1 and top-5 hits on the hundred ImageNet samples.
  private func imageNetHits(_ model: Model) throws -> (top1: Int, top5: Int) {
    let folder = try #require(SharedData.path("imagenet_samples"))
    let synsets = try String(
      contentsOfFile: #require(SharedData.path("labels/synset.txt")), encoding: .utf8
    )
    .split(separator: "\n").map { String($0.prefix(9)) }
    let paths = try pictures(in: folder)
    #expect(paths.count == 100)
    let found = try classify(model, pictures: paths, top: 5)
    let truth = paths.map { path in
      synsets.firstIndex(of: String(path.dropFirst(folder.count + 1).prefix(9)))
    }
    let top1 = zip(found, truth).count { $0.first == $1 }
    let top5 = zip(found, truth).count { found, truth in truth.map(found.contains) ?? false }
    return (top1, top5)
  }

  @Test(
    .enabled(
      if: SharedData.isAvailable && FileManager.default.fileExists(atPath: efficientNet),
      "skipped: needs the shared data and what `make demo` fetches"))
  func efficientNetLite0KnowsTheSamples() throws {
    let hits = try imageNetHits(
      try ModelFile.load(path: Self.efficientNet, registry: .standard))
    print("EfficientNet-Lite0: \(hits.top1)/100 top-1, \(hits.top5)/100 top-5")
    #expect(hits.top1 >= 88)
    // The authors' own PyTorch code gives 90 and 95 on the same pictures, prepared alike.
    #expect(hits.top5 >= 95)
  }

  private func squeezeNet() throws -> Model {
    let path = try #require(SharedData.path("weights/squeezenet1.1_fp16.onnx"))
    let model = try ModelFile.load(path: path, registry: .standard)
    var metadata = model.metadata
    metadata.preprocessing = .caffe()
    return model.replacingMetadata(metadata)
  }

  @Test(.enabled(if: SharedData.isAvailable, "skipped: no shared data"))
  func halfPrecisionSqueezeNetKnowsTheSamples() throws {
    let hits = try imageNetHits(squeezeNet())
    print("SqueezeNet 1.1 fp16: \(hits.top1)/100 top-1, \(hits.top5)/100 top-5")
    #expect(hits.top1 >= 60)
  }

  private func cifarResNet20() throws -> Model {
    let weights = try #require(SharedData.path("weights/cifar_resnet20-12fca82f.th"))
    return try ModelCatalog.entry(named: "cifar_resnet20").makeModel(registry: .standard)
      .loadingWeights(from: try openTensorSource(path: weights)).model
  }

  @Test(.enabled(if: SharedData.isAvailable, "skipped: no shared data"))
  func cifarResNet20KnowsTheTestPictures() throws {
    let folder = try #require(SharedData.path("cifar10_jpeg"))
    let model = try cifarResNet20()
    let classes = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    var hits = 0
    var count = 0
    for (index, name) in classes.enumerated() {
      let found = try classify(model, pictures: pictures(in: "\(folder)/\(name)"), top: 1)
      hits += found.count { $0 == [index] }
      count += found.count
    }
    print("CIFAR ResNet-20: \(hits)/\(count)")
    #expect(count == 2000)
    #expect(Double(hits) >= 0.80 * Double(count))
  }

  /// Algorithms that round otherwise do not change what is seen in any picture.
  private func expectSameInStrictMode(
    _ model: Model, _ pictures: [String], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let strict = try classify(model, pictures: pictures, top: 1, isStrict: true)
    let found = try classify(model, pictures: pictures, top: 1)
    let same = zip(found, strict).count { $0 == $1 }
    print("\(model.graph.name): \(same) of \(pictures.count) alike in strict and default mode")
    #expect(same == pictures.count, sourceLocation: sourceLocation)
  }

  @Test(.enabled(if: SharedData.isAvailable, "skipped: no shared data"))
  func strictAndDefaultModeSeeTheSame() throws {
    let samples = try pictures(in: #require(SharedData.path("imagenet_samples")))
    try expectSameInStrictMode(squeezeNet(), samples)
    if FileManager.default.fileExists(atPath: Self.efficientNet) {
      try expectSameInStrictMode(
        ModelFile.load(path: Self.efficientNet, registry: .standard), samples)
    } else {
      print("skipped: EfficientNet-Lite0 needs what `make demo` fetches")
    }
    let cifar = try #require(SharedData.path("cifar10_jpeg"))
    try expectSameInStrictMode(
      cifarResNet20(), try pictures(in: cifar).flatMap { try pictures(in: $0) })
  }

  /// The first `count` test digits, `[count, 1, 28, 28]` bytes, and their labels.
  private func digits(_ count: Int) throws -> (pixels: [UInt8], labels: [UInt8]) {
    func unpacked(_ name: String) throws -> [UInt8] {
      let process = Process()
      process.executableURL = URL(filePath: "/usr/bin/env")
      process.arguments = ["gzip", "-dc", try #require(SharedData.path("mnist/\(name).gz"))]
      let pipe = Pipe()
      process.standardOutput = pipe
      try process.run()
      let data = try #require(try pipe.fileHandleForReading.readToEnd())
      process.waitUntilExit()
      return [UInt8](data)
    }
    let pixels = try unpacked("t10k-images-idx3-ubyte").dropFirst(16).prefix(count * 784)
    let labels = try unpacked("t10k-labels-idx1-ubyte").dropFirst(8).prefix(count)
    return (Array(pixels), Array(labels))
  }

  private func digitHits(_ model: Model, _ count: Int, _ value: (UInt8) -> Float) throws -> Int {
    let (pixels, labels) = try digits(count)
    let session = try Session(model: model)
    var hits = 0
    for item in 0..<count {
      let input = try Tensor([1, 1, 28, 28], pixels[item * 784..<(item + 1) * 784].map(value))
      let scores = try session.run([input])[0].elements(as: Float.self)
      if let best = scores.max(), scores.firstIndex(of: best) == Int(labels[item]) { hits += 1 }
    }
    return hits
  }

  @Test(.enabled(if: SharedData.isAvailable, "skipped: no shared data"))
  func onnxMNISTReadsDigits() throws {
    let path = try #require(SharedData.path("weights/mnist.onnx"))
    let model = try ModelFile.load(path: path, registry: .standard)
    let hits = try digitHits(model, 1000) { (Float($0) / 255 - 0.1307) / 0.3081 }
    print("mnist.onnx: \(hits)/1000")
    #expect(abs(hits - 987) <= 1)
  }

  /// The two files hold different trainings of the same net: each must read its digits, and one saved in the
  /// other's format must give equal bits.
  @Test(arguments: ["pt", "safetensors"])
  func sameWeightsFromTwoFormatsGiveEqualBits(format: String) throws {
    guard let path = SharedData.path("weights/mnist_cnn.\(format)") else {
      print("skipped: no shared data")
      return
    }
    let entry = try ModelCatalog.entry(named: "mnist_cnn")
    let model = try entry.makeModel(registry: .standard)
      .loadingWeights(
        from: try openTensorSource(path: path), keyMaps: entry.keyMaps
      ).model
    let again = try withTemporaryFolder { folder in
      try ModelFile.save(model, to: folder + "/copy.safetensors")
      return try entry.makeModel(registry: .standard).loadingWeights(
        from: try openTensorSource(path: folder + "/copy.safetensors")
      ).model
    }
    let (pixels, _) = try digits(20)
    let input = try Tensor([20, 1, 28, 28], pixels.map { (Float($0) / 255 - 0.1307) / 0.3081 })
    let results = try [model, again].map { model in
      try Session(model: model).run([input])[0].elements(as: Float.self).map(\.bitPattern)
    }
    #expect(results[0] == results[1])
    let hits = try digitHits(model, 1000) { (Float($0) / 255 - 0.1307) / 0.3081 }
    print("mnist_cnn.\(format): \(hits)/1000")
    #expect(hits >= 970)
  }
}
