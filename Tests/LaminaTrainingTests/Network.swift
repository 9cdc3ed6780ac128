import Foundation
import Lamina
import LaminaTestSupport

/// y = W·x + b over the last axis.
struct TestLinear: Layer {
  static let kind: LayerKind = "test.linear"
  static let gradient = Gradient.supported(inputs: true, outputs: false)
  let units: Int
  init(attributes: inout AttributeReader) throws { units = try attributes.int("units") }
  func encode(into attributes: inout AttributeWriter) { attributes.int("units", units) }
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [
      ParameterSpec("weight", try Shape([units, inputs[0].shape[1]]), initializer: .glorotUniform),
      ParameterSpec("bias", try Shape([units]), initializer: .zeros),
    ]
  }
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try Shape([inputs[0].shape[0], units]))]
  }
  func forward(_ call: ForwardCall) throws {
    let (batch, inner) = (call.inputs[0].shape[0], call.inputs[0].shape[1])
    let (x, w) = (call.inputs[0].floats, call.parameters[0].floats)
    for n in 0..<batch {
      for o in 0..<units {
        var sum = call.parameters[1].floats[o]
        for i in 0..<inner { sum += w[o * inner + i] * x[n * inner + i] }
        call.outputs[0].floats[n * units + o] = sum
      }
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let x = call.inputs[0] else { return }
    let inner = x.shape[1]
    for n in 0..<x.shape[0] {
      for o in 0..<units {
        let d = dy.floats[n * units + o]
        call.parameterGradients[1]?.floats[o] += d
        for i in 0..<inner {
          call.parameterGradients[0]?.floats[o * inner + i] += d * x.floats[n * inner + i]
          call.inputGradients[0]?.floats[n * inner + i] +=
            d * call.parameters[0].floats[o * inner + i]
        }
      }
    }
  }
}

/// y = tanh x.
struct TestTanh: Layer {
  static let kind: LayerKind = "test.tanh"
  static let gradient = Gradient.supported(inputs: false, outputs: true)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = tanh(call.inputs[0].floats[i])
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let y = call.outputs[0] else { return }
    for i in 0..<y.shape.count {
      call.inputGradients[0]?.floats[i] += dy.floats[i] * (1 - y.floats[i] * y.floats[i])
    }
  }
}

/// y = x·m with m ∈ {0, 4/3} at random.
struct TestDropout: Layer {
  static let kind: LayerKind = "test.dropout"
  static let gradient = Gradient.supported(inputs: false, outputs: false)
  static let isRandom = true
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  private func factor(_ seed: UInt64, _ index: Int) -> Float {
    CounterRandom(seed: seed).uniform(UInt64(index)) < 0.25 ? 0 : 4 / 3
  }
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] =
        (call.isTraining ? factor(call.seed, i) : 1) * call.inputs[0].floats[i]
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0] else { return }
    for i in 0..<dy.shape.count {
      call.inputGradients[0]?.floats[i] +=
        (call.isTraining ? factor(call.seed, i) : 1) * dy.floats[i]
    }
  }
}

/// y = x, beside a running mean of x.
struct TestMean: Layer {
  static let kind: LayerKind = "test.mean"
  static let gradient = Gradient.supported(inputs: false, outputs: false)
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("mean", [1], role: .buffer, initializer: .zeros)]
  }
  func forward(_ call: ForwardCall) throws {
    let count = call.inputs[0].shape.count
    var sum: Float = 0
    for i in 0..<count {
      call.outputs[0].floats[i] = call.inputs[0].floats[i]
      sum += call.inputs[0].floats[i]
    }
    if call.isTraining, !call.bufferUpdates.isEmpty {
      call.bufferUpdates[0]?.floats[0] =
        0.9 * call.parameters[0].floats[0] + 0.1 * sum / Float(count)
    }
  }
  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0] else { return }
    for i in 0..<dy.shape.count { call.inputGradients[0]?.floats[i] += dy.floats[i] }
  }
}

/// A network of two inputs and three classes: mean, linear, tanh, dropout, linear.
func network(hidden: Int = 16, seed: UInt64 = 1, auxiliary: Bool = false) throws -> Model {
  var registry = LayerRegistry()
  try registry.register(LayerDefinition(TestLinear.self, provider: "tests"))
  try registry.register(LayerDefinition(TestTanh.self, provider: "tests"))
  try registry.register(LayerDefinition(TestDropout.self, provider: "tests"))
  try registry.register(LayerDefinition(TestMean.self, provider: "tests"))
  var builder = GraphBuilder(name: "net", registry: registry)
  let x = try builder.input("x", [.batch, .fixed(2)])
  let mean = try builder.add("test.mean", "norm", x)
  let first = try builder.add("test.linear", "first", mean, attributes: ["units": .int(hidden)])
  let tanh = try builder.add("test.tanh", "tanh", first)
  let dropped = try builder.add("test.dropout", "drop", tanh)
  try builder.output(
    builder.add("test.linear", "head", dropped, attributes: ["units": .int(3)]), name: "output")
  var metadata = ModelMetadata()
  if auxiliary {
    try builder.output(
      builder.add("test.linear", "aux", tanh, attributes: ["units": .int(3)]), name: "aux1")
    metadata.provenance["loss_weight.aux1"] = "0.3"
  }
  return try Model(
    initializing: builder.graph, seed: seed, metadata: metadata, registry: registry)
}

extension Batch {
  /// The only input.
  var inputs: Tensor? {
    if case .inputs(let inputs) = content { inputs.first } else { nil }
  }
}

/// Points around three corners.
struct Points: TrainingData {
  let count: Int
  var seed: UInt64 = 7
  /// Whether batches say more at every epoch.
  var jitters = false
  /// The point that is no number.
  var broken: Int?

  var fingerprint: String { "points \(count) \(seed)" }

  func batch(_ indices: [Int], epoch: Int) throws -> Batch {
    let random = CounterRandom(seed: seed, name: "points")
    var elements: [Float] = []
    var classes: [Int] = []
    for index in indices {
      let label = index % 3
      let angle = Float(label) * 2 * .pi / 3
      let key = UInt64(2 * index + (jitters ? 1_000_000 * epoch : 0))
      elements.append(cos(angle) + 0.25 * random.normal(key))
      elements.append(index == broken ? .nan : sin(angle) + 0.25 * random.normal(key + 1))
      classes.append(label)
    }
    return Batch(
      [try Tensor(Shape([indices.count, 2]), elements)], labels: [.classes(classes)])
  }
}
