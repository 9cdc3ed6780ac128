import Lamina
import LaminaTestSupport
import Testing

/// What may change the numbers of a whole network, and what may not.
@Suite struct DeterminismTests {
  private func bits(
    _ model: Model, _ input: Tensor, threads: Int, isStrict: Bool
  ) throws -> [UInt32] {
    var options = SessionOptions()
    options.isStrict = isStrict
    let session = try Session(
      model: model, options: options, pool: ThreadPool(threads: threads))
    return try session.run([input])[0].elements(as: Float.self).map(\.bitPattern)
  }

  @Test(arguments: [("resnet18", 64), ("efficientnet_lite0", 224)], [false, true])
  func oneThreadAndTwoGiveEqualBits(network: (name: String, side: Int), isStrict: Bool) throws {
    let model = try ModelCatalog.entry(named: network.name).makeModel(registry: .standard)
    for batch in [1, 3] {
      let shape = try Shape([batch, 3, network.side, network.side])
      let random = CounterRandom(seed: 8, name: "input")
      let input = try Tensor(shape, (0..<shape.count).map { random.normal(UInt64($0)) })
      let one = try bits(model, input, threads: 1, isStrict: isStrict)
      #expect(
        try bits(model, input, threads: 2, isStrict: isStrict) == one, "batch \(batch)")
    }
  }

  private func kernels(_ name: String, side: Int, isStrict: Bool) throws -> [String] {
    let entry = try ModelCatalog.entry(named: name)
    var options = SessionOptions()
    options.isStrict = isStrict
    let session = try Session(
      model: try entry.makeModel(registry: .standard), options: options)
    let input = TensorSpec(try Shape([1, entry.inputChannels, side, side]))
    return try session.plan(for: [input]).stepSummaries.map(\.kernel)
  }

  /// F(2×2, 3×3) rounds like direct sums.
  @Test(arguments: [
    ("resnet18", 64), ("resnet50", 224), ("cifar_resnet20", 32), ("efficientnet_lite0", 224),
    ("mnist_cnn", 28),
  ])
  func strictPlansHaveTheSmallestTransformOnly(name: String, side: Int) throws {
    let transforms = try kernels(name, side: side, isStrict: true).filter {
      $0.contains("winograd")
    }
    #expect(transforms.allSatisfy { $0.hasPrefix("winograd 2×2 ") }, "\(transforms)")
  }

  @Test func defaultPlansHaveLargerTransforms() throws {
    let kernels = try kernels("resnet18", side: 64, isStrict: false)
    #expect(kernels.contains { $0.hasPrefix("winograd 4×4 ") }, "\(kernels)")
  }
}
