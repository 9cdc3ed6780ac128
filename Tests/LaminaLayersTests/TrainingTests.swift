import Lamina
import LaminaTestSupport
import Testing

/// Whole graphs as a training plan runs them.
@Suite struct TrainingTests {
  /// A residual network of two blocks; with `separated` nothing can take over what a ReLU does.
  private static func model(separated: Bool) throws -> Model {
    var builder = GraphBuilder(name: "net", registry: .standard)
    func relu(_ name: String, _ x: ValueID) throws -> ValueID {
      let between =
        separated
        ? try builder.add("lamina.scale", "\(name)_scale", x, attributes: ["factor": 1]) : x
      return try builder.add("lamina.relu", name, between)
    }
    let input = try builder.input("x", [.batch, .fixed(3), .fixed(12), .fixed(12)])
    var x = try builder.convolution("conv", input, 20, 3, bias: false)
    x = try relu("relu", builder.add("lamina.batch_norm", "bn", x))
    let pooled = try builder.add(
      "lamina.max_pool", "pool", x,
      attributes: ["kernel_size": [3, 3], "strides": [2, 2], "padding": [1, 1, 1, 1]])
    x = try builder.convolution("conv1", pooled, 20, 3, bias: false)
    x = try relu("relu1", builder.add("lamina.batch_norm", "bn1", x))
    x = try builder.convolution("conv2", x, 20, 3, bias: false)
    x = try builder.add("lamina.batch_norm", "bn2", x)
    x = try relu("relu2", builder.addNode("lamina.add", "add", [x, pooled])[0])
    x = try builder.add("lamina.global_average_pool", "mean", x)
    x = try builder.add("lamina.flatten", "flatten", x)
    x = try builder.add("lamina.dense", "fc", x, attributes: ["out_features": 5])
    try builder.output(x)
    return try builder.randomModel()
  }

  private static func train(_ session: TrainingSession, _ input: Tensor) throws {
    try session.step([input.view], seed: 1) { outputs, gradients in
      for i in 0..<outputs[0].shape.count {
        gradients[0].floats[i] = outputs[0].floats[i] - Float(i % 3)
      }
    }
  }

  @Test func normalizationsAndSumsTakeOverReLU() throws {
    let input = try randomTensor([4, 3, 12, 12])
    let fused = try TrainingSession(model: Self.model(separated: false))
    let separated = try TrainingSession(model: Self.model(separated: true))
    let text = try fused.explain([input.spec])
    #expect(text.contains("[batch norm and clamp]") && text.contains("[sum and relu]"))
    #expect(!(try separated.explain([input.spec])).contains("clamp"))
    for session in [fused, separated] { try Self.train(session, input) }
    let pairs = zip(
      fused.weights + fused.buffers, separated.weights + separated.buffers)
    for (a, b) in pairs {
      let worst = largestDifference(a.update.naive.elements, b.update.naive.elements)
      #expect(a.key == b.key && worst.value <= 1e-5, "\(a.key): \(worst)")
    }
    let one = try TrainingSession(
      model: Self.model(separated: false), pool: ThreadPool(threads: 1))
    try Self.train(one, input)
    for (a, b) in zip(fused.weights + fused.buffers, one.weights + one.buffers) {
      #expect(a.update.elements(as: Float.self) == b.update.elements(as: Float.self), "\(a.key)")
    }
  }
}
