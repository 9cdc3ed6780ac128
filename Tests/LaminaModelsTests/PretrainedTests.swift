import Lamina
import LaminaTestSupport
import Testing

/// Real weights in real models.
@Suite struct PretrainedTests {
  private func pretrained(_ name: String, _ file: String) throws -> (Model, LoadReport)? {
    guard let path = SharedData.path(file) else { return nil }
    let entry = try ModelCatalog.entry(named: name)
    return try entry.makeModel(registry: .standard).loadingWeights(
      from: openTensorSource(path: path), keyMaps: entry.keyMaps)
  }

  @Test(
    .enabled(if: SharedData.isAvailable),
    arguments: [
      ("cifar_resnet20", "weights/cifar_resnet20-12fca82f.th", 97, "module."),
      ("cifar_resnet56", "weights/cifar_resnet56-4bfd9763.th", 277, "module."),
      ("mnist_cnn", "weights/mnist_cnn.pt", 18, ""),
      ("mnist_cnn", "weights/mnist_cnn.safetensors", 18, ""),
    ]) func weightsFit(name: String, file: String, count: Int, prefix: String) throws
  {
    guard let (_, report) = try pretrained(name, file) else { return }
    #expect(report.loaded.count == count)
    #expect(report.strippedPrefix == prefix)
    #expect(report.isComplete)
  }

  /// Logits of an independent evaluation in NumPy, for an input of ½ everywhere.
  @Test(.enabled(if: SharedData.isAvailable)) func logitsAreThoseOfNumPy() throws {
    guard let (model, _) = try pretrained("mnist_cnn", "weights/mnist_cnn.safetensors") else {
      return
    }
    let session = try Session(model: model)
    let input = try Tensor([1, 1, 28, 28], [Float](repeating: 0.5, count: 784))
    let logits = try session.run([input.view])[0].elements(as: Float.self)
    let expected: [Float] = [
      -0.44057214, -1.7456859, -0.94539541, -0.0031850040, -1.3929279, 0.11106251, -2.0594711,
      -2.1777627, 3.8644965, -2.2234335,
    ]
    for (found, wanted) in zip(logits, expected) { #expect(abs(found - wanted) < 1e-4) }
  }

  @Test(.enabled(if: SharedData.isAvailable)) func aSavedModelAnswersAlike() throws {
    guard let (model, _) = try pretrained("cifar_resnet20", "weights/cifar_resnet20-12fca82f.th")
    else { return }
    let again = try ModelFile.load(bytes: ModelFile.bytes(of: model), registry: .standard)
    #expect(again.metadata == model.metadata)
    let random = CounterRandom(seed: 5)
    let input = try Tensor([2, 3, 32, 32], (0..<6144).map { random.normal(UInt64($0)) })
    let a = try Session(model: model).run([input.view])[0].elements(as: Float.self)
    let b = try Session(model: again).run([input.view])[0].elements(as: Float.self)
    #expect(a == b)
  }
}
