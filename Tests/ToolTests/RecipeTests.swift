import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Runs a script of `examples/training` for one epoch, in a folder.
private func run(_ script: String, _ operands: String..., in folder: TemporaryFolder) throws
  -> Outcome
{
  let words = ["sh", "-e", "\(packageRoot)/examples/training/\(script).sh"] + operands
  return try Tool.shell(
    words.map { "'\($0)'" }.joined(separator: " "), in: folder.url,
    environment: ["EPOCHS": "1", "HEAD_EPOCHS": "1"])
}

/// Two pictures of each class to train with and one to check with.
private func photos() throws -> TemporaryFolder? {
  guard let flowers = SharedData.path("flowers") else { return nil }
  let folder = try TemporaryFolder()
  let files = FileManager.default
  for (set, count) in [("train", 2), ("val", 1)] {
    for name in try files.contentsOfDirectory(atPath: "\(flowers)/\(set)") {
      let source = "\(flowers)/\(set)/\(name)"
      let target = folder.url.appendingPathComponent("photos/\(set)/\(name)")
      try files.createDirectory(at: target, withIntermediateDirectories: true)
      for picture in try files.contentsOfDirectory(atPath: source).sorted().prefix(count) {
        try files.copyItem(
          at: URL(fileURLWithPath: "\(source)/\(picture)"),
          to: target.appendingPathComponent(picture))
      }
    }
  }
  return folder
}

/// The scripts' command lines, on a few pictures: what they reach is in `examples/README.md`.
@Suite(.serialized) struct RecipeTests {
  @Test(arguments: ["lenet5", "mnist_net", "deep_convnet", "fashion_mnist", "resnet14_mnist"])
  func digitsAreLearnt(script: String) throws {
    let folder = try digits()
    let outcome = try run(script, "digits", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.hasPrefix("epoch 1/1  loss "))
    let names = try folder.names
    #expect(names == ["\(script).safetensors", "digits"].sorted())
  }

  @Test(.enabled(if: SharedData.isAvailable), arguments: ["alexnet", "googlenet", "resnet34"])
  func photosAreLearnt(script: String) throws {
    guard let folder = try photos() else { return }
    let outcome = try run(script, "photos", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.hasPrefix("epoch 1/1  loss "))
    let model = try ModelFile.load(
      path: folder.path("\(script).safetensors"), registry: .standard)
    #expect(model.graph.outputs.map(\.name) == ["output"])
    #expect(model.metadata.labels.count == 5)
    #expect(!model.parameters.keys.contains { $0.hasPrefix("aux") })
  }

  @Test(
    .enabled(if: SharedData.isAvailable),
    arguments: [
      ("efficientnet_lite0", "efficientnet_lite0"), ("resnet50_thin", "resnet50_thin"),
      ("xception", "xception_keras"),
    ])
  func trainedTrunksAreFitted(script: String, model: String) throws {
    guard let folder = try photos() else { return }
    let weights = folder.path("weights.safetensors")
    let entry = try ModelCatalog.entry(named: model)
    try ModelFile.save(entry.makeModel(registry: .standard), to: weights)
    let outcome = try run(script, weights, "photos", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let lines = outcome.output.split(separator: "\n").suffix(3)
    #expect(lines.first?.hasPrefix("head 1/1  loss ") == true)
    #expect(lines.dropFirst().first?.hasPrefix("all 1/1  loss ") == true)
    #expect(lines.last == "wrote flowers.safetensors")
  }
}
