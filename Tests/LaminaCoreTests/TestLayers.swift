import LaminaCore

/// y = 2·x, in place where that is safe.
struct Double2: Layer {
  static let kind: LayerKind = "test.double"
  static let outputMemory = OutputMemory.mayOverwriteInput
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = 2 * call.inputs[0].floats[i]
    }
  }
}

/// y = Σ inputs.
struct Sum: Layer {
  static let kind: LayerKind = "test.sum"
  static let arity = 1...Int.max
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    for other in inputs where other != inputs[0] {
      throw LaminaError(.shape, "expected \(inputs[0]), found \(other)")
    }
    return [TensorSpec(inputs[0].shape)]
  }
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = call.inputs.reduce(0) { $0 + $1.floats[i] }
    }
  }
}

/// y = Σ inputs, accumulated in the output: wrong when it overwrites an input that is read again.
struct Accumulate: Layer {
  static let kind: LayerKind = "test.accumulate"
  static let arity = 1...Int.max
  static let outputMemory = OutputMemory.mayOverwriteInput
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    let output = call.outputs[0].floats
    for (number, input) in call.inputs.enumerated() {
      for i in 0..<input.shape.count {
        output[i] = (number == 0 ? 0 : output[i]) + input.floats[i]
      }
    }
  }
}

/// y = x + offset, with `offset` a parameter of one element.
struct Offset: Layer {
  static let kind: LayerKind = "test.offset"
  let scale: Float
  init(attributes: inout AttributeReader) throws {
    scale = try attributes.float("scale", default: 1)
  }
  func encode(into attributes: inout AttributeWriter) { attributes.float("scale", scale) }
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("offset", [1], initializer: .ones)]
  }
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = call.inputs[0].floats[i] + scale * call.parameters[0].floats[0]
    }
  }
}

/// The same elements as a matrix [first extent, rest].
struct Matrix: Layer {
  static let kind: LayerKind = "test.matrix"
  static let outputMemory = OutputMemory.aliasesInput
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try Shape([inputs[0].shape[0], inputs[0].shape.count(from: 1)]), inputs[0].type)]
  }
  func forward(_ call: ForwardCall) throws {
    throw LaminaError(.internal, "an alias was run")
  }
}

/// y = x shaped by the value of the second input.
struct ShapeBy: Layer {
  static let kind: LayerKind = "test.shape_by"
  static let arity = 2...2
  static let outputMemory = OutputMemory.aliasesInput
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    guard let value = inputs[1].value else {
      throw LaminaError(.shape, "expected a value known when planning for 'shape'")
    }
    return [TensorSpec(try Shape(value.elements(as: Int64.self).map { Int($0) }), inputs[0].type)]
  }
  func forward(_ call: ForwardCall) throws {
    throw LaminaError(.internal, "an alias was run")
  }
}

/// y = −x, prepared for blocks of 8 channels with a halo of 1.
struct BlockedNegate: Layer {
  static let kind: LayerKind = "test.blocked_negate"
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = -call.inputs[0].floats[i]
    }
  }
  func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    Prepared(byteCount: Self.layout.byteCount(context.inputs[0]))
  }
  static let layout = TensorLayout.blocked(channels: 8, halo: 1)
  struct Prepared: PreparedLayer {
    let byteCount: Int
    var inputLayouts: [TensorLayout]? { [BlockedNegate.layout] }
    var outputLayouts: [TensorLayout]? { [BlockedNegate.layout] }
    var scratchBytes: Int { 0 }
    var packedBytes: Int { 12 }
    var summary: String { "negate c8" }
    func run(_ call: ForwardCall) throws {
      for i in 0..<byteCount / 4 { call.outputs[0].floats[i] = -call.inputs[0].floats[i] }
    }
  }
}

/// Folds `double → double` into one node: the plan must keep names that are asked for.
struct Quadruple: Layer {
  static let kind: LayerKind = "test.quadruple"
  init() {}
  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func forward(_ call: ForwardCall) throws {
    for i in 0..<call.outputs[0].shape.count {
      call.outputs[0].floats[i] = 4 * call.inputs[0].floats[i]
    }
  }
}

struct FuseDoubles: GraphRewrite {
  let name = "fuse-doubles"
  let level = OptimizationLevel.full
  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices where graph.node(index).definition.kind == Double2.kind {
      guard let next = graph.soleConsumer(of: graph.node(index).outputs[0]),
        graph.node(next).definition.kind == Double2.kind
      else { continue }
      graph.replaceLayer(of: index, with: Quadruple())
      changes.append("\(graph.node(next).name) into \(graph.node(index).name)")
      graph.absorb(next, into: index)
    }
    return changes
  }
}

func testRegistry() throws -> LayerRegistry {
  var registry = LayerRegistry()
  try registry.register(Accumulate.self, provider: "test")
  try registry.register(BlockedNegate.self, provider: "test")
  try registry.register(Double2.self, provider: "test")
  try registry.register(Matrix.self, provider: "test")
  try registry.register(Offset.self, provider: "test")
  try registry.register(ShapeBy.self, provider: "test")
  try registry.register(Sum.self, provider: "test")
  try registry.register(rewrite: FuseDoubles())
  return registry
}
