import LaminaCore
import LaminaTestSupport
import Testing

/// y = w·x.
private struct Scaled: Layer {
  static let kind: LayerKind = "test.scaled"
  static let gradient = Gradient.supported(inputs: true, outputs: false)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("w", [1], initializer: .uniform(bound: 1))]
  }
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = call.parameters[0].floats[0] * call.inputs[0].floats[i]
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let x = call.inputs[0] else { return }
    for i in 0..<x.shape.count {
      call.inputGradients[0]?.floats[i] += call.parameters[0].floats[0] * dy.floats[i]
      call.parameterGradients[0]?.floats[0] += dy.floats[i] * x.floats[i]
    }
  }
}

/// y = eˣ, in place where that is safe; its gradient reads y.
private struct Exponential: Layer {
  static let kind: LayerKind = "test.exp"
  static let outputMemory = OutputMemory.mayOverwriteInput
  static let gradient = Gradient.supported(inputs: false, outputs: true)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = Float.exp(call.inputs[0].floats[i])
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let y = call.outputs[0] else { return }
    #expect(call.inputs[0] == nil)
    for i in 0..<y.shape.count { call.inputGradients[0]?.floats[i] += dy.floats[i] * y.floats[i] }
  }
}

/// y = a·b.
private struct Product: Layer {
  static let kind: LayerKind = "test.product"
  static let arity = 2...2
  static let outputMemory = OutputMemory.mayOverwriteInput
  static let gradient = Gradient.supported(inputs: true, outputs: false)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = call.inputs[0].floats[i] * call.inputs[1].floats[i]
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let a = call.inputs[0], let b = call.inputs[1] else {
      return
    }
    for i in 0..<a.shape.count {
      call.inputGradients[0]?.floats[i] += dy.floats[i] * b.floats[i]
      call.inputGradients[1]?.floats[i] += dy.floats[i] * a.floats[i]
    }
  }
}

/// The same elements as a matrix.
private struct Rows: Layer {
  static let kind: LayerKind = "test.rows"
  static let outputMemory = OutputMemory.aliasesInput
  static let gradient = Gradient.supported(inputs: false, outputs: false)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try Shape([inputs[0].shape[0], inputs[0].shape.count(from: 1)]))]
  }
  func forward(_ call: ForwardCall) throws {
    throw LaminaError(.internal, "an alias was run")
  }
}

/// y = x·m with m ∈ {0, 2} at random.
private struct Random: Layer {
  static let kind: LayerKind = "test.random"
  static let outputMemory = OutputMemory.aliasesInput
  static let gradient = Gradient.supported(inputs: false, outputs: false)
  static let isRandom = true
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  private func factor(_ seed: UInt64, _ index: Int) -> Float {
    CounterRandom(seed: seed).uniform(UInt64(index)) < 0.5 ? 0 : 2
  }
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      let factor = call.isTraining ? factor(call.seed, i) : 1
      call.outputs[0].floats[i] = factor * call.inputs[0].floats[i]
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0] else { return }
    for i in 0..<dy.shape.count {
      call.inputGradients[0]?.floats[i] += factor(call.seed, i) * dy.floats[i]
    }
  }
}

/// y = x − m, m the mean of the batch, or outside training a statistic that follows it. The mean is constant to
/// the gradient of x, and a weight scales it.
private struct Centred: Layer {
  static let kind: LayerKind = "test.centred"
  static let gradient = Gradient.supported(inputs: false, outputs: false)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [
      ParameterSpec("scale", [1], initializer: .ones),
      ParameterSpec("mean", [1], role: .buffer, initializer: .zeros),
    ]
  }
  func savedBytes(for inputs: [TensorSpec]) -> Int { 4 }
  func forward(_ call: ForwardCall) throws {
    let count = call.inputs[0].shape.count
    var mean = call.parameters[1].floats[0]
    if call.isTraining {
      mean = (0..<count).reduce(0) { $0 + call.inputs[0].floats[$1] } / Float(count)
      if !call.saved.isEmpty { call.saved.storeBytes(of: mean, as: Float.self) }
      call.bufferUpdates[1]?.floats[0] = (call.parameters[1].floats[0] + mean) / 2
    }
    for i in 0..<count {
      call.outputs[0].floats[i] = call.inputs[0].floats[i] - call.parameters[0].floats[0] * mean
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0] else { return }
    let mean = call.isTraining ? call.saved.load(as: Float.self) : call.parameters[1].floats[0]
    let total = (0..<dy.shape.count).reduce(0) { $0 + dy.floats[$1] }
    let shared =
      call.isTraining ? call.parameters[0].floats[0] * total / Float(dy.shape.count) : 0
    for i in 0..<dy.shape.count {
      call.inputGradients[0]?.floats[i] += dy.floats[i] - shared
    }
    call.parameterGradients[0]?.floats[0] -= mean * total
  }
}

/// y = 3·x, prepared for blocks of 8 channels with a halo of 1.
private struct BlockedTriple: Layer {
  static let kind: LayerKind = "test.blocked_triple"
  static let gradient = Gradient.supported(inputs: false, outputs: false)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    throw LaminaError(.internal, "a prepared layer runs as it stands")
  }
  func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    Prepared(count: Self.layout.byteCount(context.inputs[0]) / 4)
  }
  static let layout = TensorLayout.blocked(channels: 8, halo: 1)
  struct Prepared: PreparedTraining {
    let count: Int
    var inputLayouts: [TensorLayout]? { [BlockedTriple.layout] }
    var outputLayouts: [TensorLayout]? { [BlockedTriple.layout] }
    var gradient: Gradient { .supported(inputs: false, outputs: false) }
    var scratchBytes: Int { 0 }
    func forward(_ call: ForwardCall) throws {
      for i in 0..<count { call.outputs[0].floats[i] = 3 * call.inputs[0].floats[i] }
    }
    func backward(_ call: BackwardCall) throws {
      guard let dy = call.outputGradients[0], let dx = call.inputGradients[0] else { return }
      for i in 0..<count {
        dx.floats[i] = 3 * dy.floats[i] + (call.setsInputGradients[0] ? 0 : dx.floats[i])
      }
    }
  }
}

extension Float {
  fileprivate static func exp(_ x: Float) -> Float {
    // The series, exact to float32 for the small numbers of these tests.
    var (sum, term) = (1.0, 1.0)
    for n in 1..<30 {
      term *= Double(x) / Double(n)
      sum += term
    }
    return Float(sum)
  }
}

struct TrainingSessionTests {
  private static func registry() throws -> LayerRegistry {
    var registry = LayerRegistry()
    for type in [
      Scaled.self, Exponential.self, Product.self, Rows.self, Random.self, Centred.self,
      BlockedTriple.self,
    ] as [any Layer.Type] {
      try registry.register(definition(type))
    }
    return registry
  }

  private static func definition<L: Layer>(_ type: L.Type) -> LayerDefinition {
    LayerDefinition(type, provider: "tests")
  }

  /// Branches, layouts, an alias, overwriting, a square, a shared weight, statistics and random numbers.
  private static func model() throws -> Model {
    var builder = GraphBuilder(name: "net", registry: try registry())
    let x = try builder.input("x", [.batch, .fixed(3), .fixed(2), .fixed(2)])
    let a = try builder.add("test.scaled", "a", x)
    let b = try builder.add("test.exp", "b", builder.add("test.scaled", "b0", a))
    let c = try builder.add("test.blocked_triple", "c", b)
    let d = try builder.add("test.blocked_triple", "d", c)
    let e = try builder.add("test.product", "e", c, builder.add("test.centred", "f", b))
    let g = try builder.add("test.product", "g", e, e)
    let h = try builder.add("test.random", "h", builder.add("test.product", "i", g, d))
    let j = try builder.addNode(
      "test.scaled", "j", [h], bindings: ["w": .tensor("a.w")])[0]
    try builder.output(builder.add("test.rows", "y", j))
    return try Model(initializing: builder.graph, seed: 3, registry: builder.registry)
  }

  private static let shape: Shape = [2, 3, 2, 2]

  private static func input() throws -> Tensor {
    try Tensor(random: shape, .float32, in: -0.5...0.5, seed: 5)
  }

  /// Σ (0.1 + i/10)·yᵢ.
  @discardableResult private static func step(
    _ session: TrainingSession, _ input: Tensor, seed: UInt64 = 9, accumulating: Bool = false
  ) throws -> Double {
    try session.step([input.view], seed: seed, accumulating: accumulating, loss: loss)
  }

  private static func loss(_ outputs: [TensorView], _ gradients: [MutableTensorView]) -> Double {
    #expect(outputs[0].shape == gradients[0].shape)
    var sum = 0.0
    for i in 0..<outputs[0].shape.count {
      let factor = 0.1 + Float(i) / 10
      gradients[0].floats[i] = factor
      sum += Double(factor * outputs[0].floats[i])
    }
    return sum
  }

  private func expectGradients(_ session: TrainingSession, _ input: Tensor) throws {
    try Self.step(session, input)
    let found = session.weights.map { $0.update.elements(as: Float.self) }
    for (weight, found) in zip(session.weights, found) {
      for index in found.indices {
        func loss(_ offset: Float) throws -> Double {
          let old = weight.value.elements(as: Float.self)[index]
          weight.value.withMutableElements(of: Float.self) { $0[index] = old + offset }
          defer { weight.value.withMutableElements(of: Float.self) { $0[index] = old } }
          return try Self.step(session, input)
        }
        let expected = try (loss(0x1p-7) - loss(-0x1p-7)) / 0x1p-6
        #expect(
          abs(Double(found[index]) - expected) <= 1e-2 * max(1, abs(expected)),
          "\(weight.key)[\(index)]: expected \(expected), found \(found[index])")
      }
    }
  }

  @Test func gradientsAreThoseOfFiniteDifferences() throws {
    let session = try TrainingSession(model: Self.model())
    #expect(session.weights.map(\.key) == ["a.w", "b0.w", "f.scale"])
    try expectGradients(session, Self.input())
  }

  @Test func gradientsAddUpWhenTold() throws {
    let session = try TrainingSession(model: Self.model())
    let input = try Self.input()
    try Self.step(session, input)
    let once = session.weights.map { $0.update.elements(as: Float.self) }
    try Self.step(session, input, accumulating: true)
    for (weight, once) in zip(session.weights, once) {
      // Sums in another order.
      for (twice, once) in zip(weight.update.elements(as: Float.self), once) {
        #expect(abs(twice - 2 * once) <= 1e-6 * abs(twice))
      }
    }
    try Self.step(session, input)
    #expect(session.weights.map { $0.update.elements(as: Float.self) } == once)
  }

  @Test func otherBatchesHaveTheirOwnPlan() throws {
    let session = try TrainingSession(model: Self.model())
    let small = try Tensor(random: [1, 3, 2, 2], .float32, in: -0.5...0.5, seed: 6)
    for input in [try Self.input(), small, try Self.input()] { try expectGradients(session, input) }
  }

  @Test func whatIsFrozenStays() throws {
    var options = TrainingOptions()
    options.frozen = ["b*", "f", "h"]
    let model = try Self.model()
    let session = try TrainingSession(model: model, options: options)
    #expect(session.weights.map(\.key) == ["a.w"])
    #expect(session.buffers.isEmpty)
    #expect(!session.hasTrunk)
    try expectGradients(session, Self.input())
    session.commitBuffers()
    let trained = try session.makeModel()
    for key in ["b0.w", "f.scale", "f.mean"] {
      #expect(
        trained.parameters[key]?.elements(as: Float.self)
          == model.parameters[key]?.elements(as: Float.self))
    }
  }

  @Test func layersBelowWhatLearnsRunAhead() throws {
    var builder = GraphBuilder(name: "net", registry: try Self.registry())
    let x = try builder.input("x", [.batch, .fixed(3), .fixed(2), .fixed(2)])
    let trunk = try builder.add(
      "test.exp", "exp", builder.add("test.scaled", "trunk", x))
    let head = try builder.add("test.product", "head", builder.add("test.scaled", "w", trunk), x)
    try builder.output(head)
    let model = try Model(initializing: builder.graph, seed: 1, registry: builder.registry)
    var options = TrainingOptions()
    options.frozen = ["trunk"]
    let session = try TrainingSession(model: model, options: options)
    #expect(session.hasTrunk)
    let input = try Self.input()
    let features = try session.features(of: [input.view])
    #expect(features.count == 2)
    let fromInput = try Self.step(session, input)
    let gradient = session.weights[0].update.elements(as: Float.self)
    let fromFeatures = try session.step(
      features: features.map(\.view), of: [input.spec], seed: 9, loss: Self.loss)
    #expect(fromFeatures == fromInput)
    #expect(session.weights[0].update.elements(as: Float.self) == gradient)
    try expectGradients(session, input)
    let text = try #require(
      errorText {
        _ = try session.step(features: [input.view], of: [input.spec], seed: 9, loss: Self.loss)
      })
    #expect(text.hasPrefix("shape: expected features ["))
  }

  @Test func statisticsAreTakenOverWhenTold() throws {
    let session = try TrainingSession(model: Self.model())
    try Self.step(session, Self.input())
    let mean = try #require(session.buffers.first)
    #expect(mean.key == "f.mean")
    #expect(mean.value.elements(as: Float.self) == [0])
    let update = mean.update.elements(as: Float.self)
    #expect(update[0] > 0)
    session.commitBuffers()
    #expect(mean.value.elements(as: Float.self) == update)
    #expect(try session.makeModel().parameters["f.mean"]?.elements(as: Float.self) == update)
  }

  @Test func seedsDecideRandomNumbers() throws {
    let session = try TrainingSession(model: Self.model())
    let input = try Self.input()
    let first = try Self.step(session, input, seed: 1)
    #expect(try Self.step(session, input, seed: 2) != first)
    #expect(try Self.step(session, input, seed: 1) == first)
  }

  @Test func whatCannotLearnIsRefused() throws {
    func text(_ frozen: [KeyPattern]) throws -> String? {
      var options = TrainingOptions()
      options.frozen = frozen
      let model = try Self.model()
      return errorText { _ = try TrainingSession(model: model, options: options) }
    }
    #expect(
      try text(["*"]) == "argument: expected parameters that learn, found all of them frozen")
    #expect(try text(["layer1.*"]) == "argument: no node or parameter matches 'layer1.*'")
    var builder = GraphBuilder(name: "net", registry: try testRegistry())
    let x = try builder.input("x", [.batch, .fixed(2)])
    try builder.output(
      builder.add("test.double", "b", builder.add("test.offset", "a", x)))
    let model = try Model(initializing: builder.graph, registry: builder.registry)
    #expect(
      errorText { _ = try TrainingSession(model: model) }
        == "unsupported: 2 problems: a (test.offset): this layer has no gradient; b (test.double): this layer has no gradient"
    )
  }

  private func errorText(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch let error as LaminaError {
      return "\(error.code): \(error)"
    } catch { return "\(error)" }
  }
}
