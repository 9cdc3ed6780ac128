import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Files that other people made.
@Suite(.enabled(if: SharedData.isAvailable)) struct ONNXFileTests {
  @Test func mnist() throws {
    let path = try #require(SharedData.path("weights/mnist.onnx"))
    let (model, report) = try ONNXImporter.load(path: path, registry: .standard)
    #expect(report.producer == "CNTK 2.5.1")
    #expect(report.opset == 8)
    #expect(model.graph.inputs.map(\.name) == ["Input3"])
    #expect(model.graph.outputs.map(\.name) == ["Plus214_Output_0"])
    #expect(model.metadata.outputKind == .logits)
    #expect(model.graph.nodes.last?.definition.kind == "lamina.add")
    #expect(report.parameterCount == 5_994)
  }

  @Test func squeezeNet() throws {
    let path = try #require(SharedData.path("weights/squeezenet1.1_fp16.onnx"))
    let (model, report) = try ONNXImporter.load(path: path, registry: .standard)
    #expect(report.opset == 7)
    #expect(report.parameterCount == 1_235_496)
    #expect(report.parameterTensorCount == 52)
    #expect(model.metadata.outputKind == .probabilities)
    #expect(report.isBatchNormalizationFolded)
    #expect(report.operatorCounts.map { "\($0.name) \($0.count)" }.contains("Conv 26"))
    #expect(report.convertedTypes.map(\.count) == [53])
  }

  /// The first digits of MNIST's test set; the expected count was measured with another runtime.
  @Test func mnistAccuracy() throws {
    let path = try #require(SharedData.path("weights/mnist.onnx"))
    let model = try ONNXImporter.load(path: path, registry: .standard).model
    let images = try Self.idx("t10k-images-idx3-ubyte")
    let labels = try Self.idx("t10k-labels-idx1-ubyte")
    let session = try Session(model: model)
    var right = 0
    for index in 0..<1000 {
      let start = 16 + index * 784
      let digit = try Tensor([1, 1, 28, 28], images[start..<start + 784].map(Float.init))
      let scores = try session.run([digit])[0].elements(as: Float.self)
      let best = scores.indices.max { scores[$0] < scores[$1] }
      if best == Int(labels[8 + index]) { right += 1 }
    }
    #expect((986...988).contains(right), "\(right) of 1000 digits")
  }

  /// One picture of each of 100 classes. The file does not say how pictures are prepared: Caffe's way is right
  /// for most, 60 when this was written.
  @Test func squeezeNetAccuracy() throws {
    let path = try #require(SharedData.path("weights/squeezenet1.1_fp16.onnx"))
    let folder = try #require(SharedData.path("imagenet_samples"))
    let list = try #require(SharedData.path("labels/synset.txt"))
    let classes = try String(contentsOfFile: list, encoding: .utf8)
      .split(separator: "\n").map { $0.prefix { $0 != " " } }
    let session = try Session(model: ONNXImporter.load(path: path, registry: .standard).model)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".JPEG") }
    var right = 0
    for file in files {
      let input = try Preprocessing.caffe().apply(to: Image.load(path: "\(folder)/\(file)"))
      let scores = try session.run([input])[0].elements(as: Float.self)
      let best = scores.indices.max { scores[$0] < scores[$1] }
      if let best, file.hasPrefix(classes[best]) { right += 1 }
    }
    #expect(files.count == 100)
    #expect((58...64).contains(right), "\(right) of 100 pictures")
  }

  /// The bytes of one of MNIST's gzip files.
  static func idx(_ name: String) throws -> [UInt8] {
    let path = try #require(SharedData.path("mnist/\(name).gz"))
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["gzip", "-dc", path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return [UInt8](data)
  }
}
