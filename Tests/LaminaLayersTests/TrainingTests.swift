import Lamina
import LaminaTestSupport
import Testing

/// Whole graphs as a training plan runs them.
@Suite struct TrainingTests {
  /// A clamp; when `separated`, one that no layer above and below can take over.
  private static func relu(
    _ builder: inout GraphBuilder, _ name: String, _ x: ValueID, separated: Bool
  ) throws -> ValueID {
    func scale(_ end: String, _ x: ValueID) throws -> ValueID {
      guard separated else { return x }
      return try builder.add("lamina.scale", "\(name)_\(end)", x, attributes: ["factor": 1])
    }
    return try scale("end", builder.add("lamina.relu", name, scale("start", x)))
  }

  /// Convolutions with biases and a pool, of maps whose sides leave rests.
  private static func plainModel(separated: Bool) throws -> Model {
    var builder = GraphBuilder(name: "plain", registry: .standard)
    func relu(_ name: String, _ x: ValueID) throws -> ValueID {
      try Self.relu(&builder, name, x, separated: separated)
    }
    var x = try builder.input("x", [.batch, .fixed(1), .fixed(13), .fixed(11)])
    x = try relu("relu1", builder.convolution("conv1", x, 6, 5))
    x = try builder.add(
      "lamina.max_pool", "pool1", x,
      attributes: ["kernel_size": [2, 2], "strides": [2, 2], "padding": [0, 0, 1, 1]])
    x = try relu("relu2", builder.convolution("conv2", x, 20, 3))
    x = try relu("relu3", builder.convolution("conv3", x, 7, 3))
    x = try builder.add(
      "lamina.max_pool", "pool3", x, attributes: ["kernel_size": [3, 3], "strides": [2, 2]])
    x = try builder.add("lamina.flatten", "flatten", x)
    x = try builder.add("lamina.dense", "fc", x, attributes: ["out_features": 5])
    try builder.output(x)
    return try builder.randomModel()
  }

  /// A convolution of few channels, and one that reads them.
  private static func narrowModel(separated: Bool) throws -> Model {
    var builder = GraphBuilder(name: "narrow", registry: .standard)
    func relu(_ name: String, _ x: ValueID) throws -> ValueID {
      try Self.relu(&builder, name, x, separated: separated)
    }
    var x = try builder.input("x", [.batch, .fixed(1), .fixed(18), .fixed(37)])
    x = try relu("relu1", builder.convolution("conv1", x, 2, 3))
    x = try relu("relu2", builder.convolution("conv2", x, 20, 3))
    x = try builder.add("lamina.global_average_pool", "mean", x)
    x = try builder.add("lamina.flatten", "flatten", x)
    x = try builder.add("lamina.dense", "fc", x, attributes: ["out_features": 5])
    try builder.output(x)
    return try builder.randomModel()
  }

  /// Dense layers of several kinds of extents, of rows of two axes, each clamp of another kind.
  private static func denseModel(separated: Bool) throws -> Model {
    var builder = GraphBuilder(name: "dense", registry: .standard)
    var x = try builder.input("x", [.batch, .fixed(3), .fixed(50)])
    x = try builder.add("lamina.dense", "fc1", x, attributes: ["out_features": 120])
    x = try relu(&builder, "relu1", x, separated: separated)
    x = try builder.add(
      "lamina.dense", "fc2", x, attributes: ["out_features": 33, "bias": false])
    if separated { x = try builder.add("lamina.scale", "scale", x, attributes: ["factor": 1]) }
    x = try builder.add("lamina.clip", "clip2", x, attributes: ["min": -0.25, "max": 0.25])
    x = try builder.add("lamina.dense", "fc3", x, attributes: ["out_features": 1])
    try builder.output(x)
    return try builder.randomModel()
  }

  /// A residual network of two blocks.
  private static func residualModel(separated: Bool) throws -> Model {
    var builder = GraphBuilder(name: "net", registry: .standard)
    func relu(_ name: String, _ x: ValueID) throws -> ValueID {
      try Self.relu(&builder, name, x, separated: separated)
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

  /// Dropouts between convolutions and in front of a dense layer, of maps whose sides and channels leave rests; when
  /// `separated`, with masks, for which maps are plain.
  private static func dropoutModel(separated: Bool) throws -> Model {
    var builder = GraphBuilder(name: "dropout", registry: .standard)
    func dropout(_ name: String, _ x: ValueID) throws -> ValueID {
      try builder.addNode(
        "lamina.dropout", name, [x], attributes: ["rate": 0.3, "mask": .bool(separated)])[0]
    }
    var x = try builder.input("x", [.batch, .fixed(3), .fixed(9), .fixed(13)])
    x = try dropout("dropout1", builder.convolution("conv1", x, 20, 3))
    x = try dropout("dropout2", builder.convolution("conv2", x, 35, 3))
    x = try builder.convolution("conv3", x, 20, 3)
    x = try builder.add("lamina.global_average_pool", "mean", x)
    x = try dropout("dropout3", builder.add("lamina.flatten", "flatten", x))
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
    try Self.compare(
      Self.residualModel, randomTensor([4, 3, 12, 12]),
      expecting: ["batch norm and clamp", "sum and relu", "pool and clamp"])
  }

  @Test func convolutionsAndPoolsTakeOverReLU() throws {
    try Self.compare(
      Self.plainModel, randomTensor([4, 1, 13, 11]), expecting: [", clamp", "pool and clamp"])
  }

  @Test func convolutionsOfFewChannelsTakeOverReLU() throws {
    try Self.compare(
      Self.narrowModel, randomTensor([9, 1, 18, 37]), expecting: ["[planar", "[direct from NCHW"])
    let text = try TrainingSession(model: Self.narrowModel(separated: false))
      .explain([TensorSpec([9, 1, 18, 37])])
    #expect(text.split(separator: ", clamp]").count == 3)
  }

  @Test func denseLayersTakeOverClamps() throws {
    try Self.compare(
      Self.denseModel, randomTensor([11, 3, 50]),
      expecting: ["fc1 (lamina.dense) [gemm", ", clamp]"])
    let text = try TrainingSession(model: Self.denseModel(separated: false))
      .explain([TensorSpec([11, 3, 50])])
    #expect(!text.contains("zeros") && text.contains("3 steps forward"))
  }

  @Test func dropoutLeavesMapsInBlocks() throws {
    let input = try randomTensor([4, 3, 9, 13])
    try Self.compare(Self.dropoutModel, input, expecting: ["dropout1 (lamina.dropout)"])
    let text = try TrainingSession(model: Self.dropoutModel(separated: false))
      .explain([input.spec])
    #expect(!text.contains("layout"))
  }

  /// Gradients do not depend on which step clamps, nor on the number of threads.
  private static func compare(
    _ model: (Bool) throws -> Model, _ input: Tensor, expecting summaries: [String]
  ) throws {
    let fused = try TrainingSession(model: model(false))
    let separated = try TrainingSession(model: model(true))
    let text = try fused.explain([input.spec])
    for summary in summaries { #expect(text.contains(summary)) }
    #expect(!(try separated.explain([input.spec])).contains("clamp"))
    for session in [fused, separated] { try Self.train(session, input) }
    let pairs = zip(
      fused.weights + fused.buffers, separated.weights + separated.buffers)
    for (a, b) in pairs {
      let worst = largestDifference(a.update.naive.elements, b.update.naive.elements)
      #expect(a.key == b.key && worst.value <= 1e-5, "\(a.key): \(worst)")
    }
    let one = try TrainingSession(model: model(false), pool: ThreadPool(threads: 1))
    try Self.train(one, input)
    for (a, b) in zip(fused.weights + fused.buffers, one.weights + one.buffers) {
      #expect(a.update.elements(as: Float.self) == b.update.elements(as: Float.self), "\(a.key)")
    }
  }
}
