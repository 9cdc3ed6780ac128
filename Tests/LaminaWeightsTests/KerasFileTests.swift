import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A file of `Tests/fixtures`, which `Tests/fixtures/keras_files.py` writes.
func fixture(_ name: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(filePath: "\(packageRoot)/Tests/fixtures/\(name)")))
}

/// A tensor of a fixture's JSON: `{"shape", "values"}`.
func fixtureTensor(_ json: JSON?) throws -> Tensor {
  let dimensions = try #require(json?["shape"]?.array).compactMap(\.int)
  let values = try #require(json?["values"]?.array).compactMap { $0.double.map(Float.init) }
  return try Tensor(try Shape(dimensions), values)
}

/// Weights as Keras writes them, compared with what NumPy makes of the same arrays.
struct KerasFileTests {
  static let names = ["keras_small.h5", "keras_small.weights.h5", "keras_small.keras"]

  @Test(arguments: names)
  func tensorsAreThoseOfKeras(_ name: String) throws {
    let source = try openTensorSource(path: "\(packageRoot)/Tests/fixtures/\(name)")
    let facts = try JSON.parse(try fixture("keras_small.json"))
    let expected = try #require(facts["tensors"]?.members)
    #expect(source.keys.sorted() == expected.map(\.key).sorted())
    for member in expected {
      let tensor = try source.tensor(member.key)
      let right = try fixtureTensor(member.value)
      #expect(tensor.shape == right.shape, "\(member.key)")
      #expect(tensor.elements(as: Float.self) == right.elements(as: Float.self), "\(member.key)")
    }
  }

  @Test(arguments: names)
  func keysAreInTheOrderOfTheLayers(_ name: String) throws {
    let source = try openTensorSource(bytes: try fixture(name), name: "file")
    var modules: [String] = []
    for key in source.keys {
      let module = String(key[..<(key.firstIndex(of: ".") ?? key.endIndex)])
      if modules.last != module { modules.append(module) }
    }
    #expect(
      modules == [
        "stem", "stem_bn", "depthwise_conv2d", "slope", "sep", "batch_normalization", "head",
      ])
  }

  /// Of the places in the file, only those between classes count.
  @Test func numbersTellTheOrderWithinAClass() throws {
    let source = try openTensorSource(bytes: try fixture("keras_order.h5"), name: "file")
    #expect(
      source.keys == [
        "dense.weight", "conv2d.weight", "dense_1.weight", "conv2d_1.weight", "dense_2.weight",
        "dense_10.weight",
      ])
  }

  @Test func namesOfLayersMayHaveSlashes() throws {
    let source = try openTensorSource(bytes: try fixture("keras_slashes.h5"), name: "file")
    #expect(source.keys == ["fire2/squeeze1x1.weight", "fire2/squeeze1x1.bias"])
    let weight = try source.tensor("fire2/squeeze1x1.weight")
    #expect(weight.shape == [2, 3, 1, 1])
    #expect(weight.elements(as: Float.self) == [0, 2, 4, 1, 3, 5])
  }

  /// Both kinds of groups, attributes in a heap, all layouts, filters, types and byte orders, behind
  /// a user block.
  @Test(arguments: ["hdf5_earliest.h5", "hdf5_latest.h5"])
  func everyLayoutGivesTheSameNumbers(_ name: String) throws {
    let source = try openTensorSource(path: "\(packageRoot)/Tests/fixtures/\(name)")
    let right = try fixtureTensor(try JSON.parse(try fixture("hdf5.json")))
    #expect(source.keys == (0..<12).map { "layer\($0).weight" })
    for key in source.keys {
      let tensor = try source.tensor(key)
      let numbers: [Float] =
        switch tensor.type {
        case .int32: tensor.elements(as: Int32.self).map(Float.init)
        case .int64: tensor.elements(as: Int64.self).map(Float.init)
        case .int8: tensor.elements(as: Int8.self).map(Float.init)
        default: try tensor.convertedToFloat32().elements()
        }
      #expect(tensor.shape == right.shape, "\(key)")
      #expect(numbers == right.elements(as: Float.self), "\(key)")
    }
  }

  @Test(.enabled(if: SharedData.isAvailable, "skipped: no shared data"))
  func anOldModelOfKeras2IsRead() throws {
    let path = try #require(SharedData.path("weights/mlperf_tiny_resnet8.h5"))
    let source = try openTensorSource(path: path)
    #expect(source.keys.count == 48)
    #expect(try source.spec("conv2d.weight").shape == [16, 3, 3, 3])
    #expect(try source.spec("dense.weight").shape == [10, 64])
  }

  /// The network of the file gives Keras' answer; maps are flattened in its order.
  @Test(arguments: ["keras_small.h5", "keras_small.keras"])
  func modelsGiveTheAnswersOfKeras(_ name: String) throws {
    let model = try ModelFile.load(bytes: try fixture(name), name: "file", registry: .standard)
    let facts = try JSON.parse(try fixture("keras_small.json"))
    let session = try Session(model: model)
    let input = try fixtureTensor(facts["input"])
    let found = try session.run([input.view])[0].elements(as: Float.self)
    let right = try fixtureTensor(facts["output"]).elements(as: Float.self)
    #expect(model.metadata.outputKind == .probabilities)
    #expect(found.count == right.count)
    for (a, b) in zip(found, right) { #expect(abs(a - b) <= 1e-5) }
  }

  @Test func hardSigmoidHasTheSlopeOfKeras3() throws {
    let model = try ModelFile.load(
      bytes: try fixture("keras_sigmoid.h5"), name: "file", registry: .standard)
    let input = try Tensor([3, 1], [Float(-3), 1.5, 6])
    let found = try Session(model: model).run([input.view])[0].elements(as: Float.self)
    for (a, b) in zip(found, [0, 0.75, 1] as [Float]) { #expect(abs(a - b) <= 1e-6) }
  }

  /// The original gets 0.751 of all 2000 pictures right.
  @Test(.enabled(if: SharedData.isAvailable, "skipped: no shared data"))
  func mlperfTinyKnowsTheTestPictures() throws {
    let path = try #require(SharedData.path("weights/mlperf_tiny_resnet8.h5"))
    let folder = try #require(SharedData.path("cifar10_jpeg"))
    let model = try ModelFile.load(path: path, registry: .standard)
    let session = try Session(model: model)
    let classes = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    var hits = 0
    var count = 0
    for (index, name) in classes.enumerated() {
      let files = try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(name)").sorted()
      for file in files.prefix(40) {
        let image = try Image.load(path: "\(folder)/\(name)/\(file)")
        let pixels = try Preprocessing(
          resize: .none, centerCrop: nil, scale: 1, mean: [0, 0, 0], std: [1, 1, 1]
        ).apply(to: image)
        let output = try session.run([pixels.view])[0].elements(as: Float.self)
        hits += output.indices.max { output[$0] < output[$1] } == index ? 1 : 0
        count += 1
      }
    }
    print("MLPerf Tiny ResNet-8: \(hits)/\(count)")
    #expect(count == 400)
    #expect(Double(hits) >= 0.72 * Double(count))
  }
}
