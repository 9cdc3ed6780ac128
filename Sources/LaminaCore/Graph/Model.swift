/// What belongs to a model beside graph and parameters.
public struct ModelMetadata: Sendable, Hashable {
  /// One name per class, in the order of the output; empty when there are none.
  public var labels: [String] = []
  /// How a picture becomes the input.
  public var preprocessing: Preprocessing?
  /// Whether the output holds logits or probabilities, where that is known.
  public var outputKind: OutputKind?
  /// Free text: source, licence, hash of the weights.
  public var provenance: [String: String] = [:]

  /// What the first output holds.
  public enum OutputKind: String, Sendable, CaseIterable {
    case logits, probabilities, features
  }

  /// Nothing.
  public init() {}
}

/// A graph with its parameters and metadata. Immutable once made; many threads share one.
public struct Model: Sendable {
  /// The operations.
  public let graph: Graph
  /// Tensors by key: `layer1.0.conv1.weight`.
  public let parameters: [String: Tensor]
  /// Labels, preprocessing, provenance.
  public let metadata: ModelMetadata
  /// The kinds and rewrites it was made with.
  public let registry: LayerRegistry
  let plans = PlanCache()

  /// A model.
  ///
  /// - Parameter checkingShapes: off for graphs whose shapes follow from input values, such as a `shape`
  ///   input; they are checked when a session runs. Those of a graph with `missingKinds` cannot be.
  /// - Throws: `weights` listing every tensor that is missing or of a wrong shape; `graph` and `shape` when
  ///   the graph does not fit its inputs' default shapes.
  public init(
    graph: Graph, parameters: [String: Tensor], metadata: ModelMetadata = ModelMetadata(),
    registry: LayerRegistry, checkingShapes: Bool = true
  ) throws {
    self.init(unchecked: graph, parameters, metadata, registry)
    guard checkingShapes, graph.missingKinds.isEmpty else { return }
    var problems: [LaminaError] = []
    for slot in try graph.parameterSlots(parameters: parameters) {
      guard case .tensor(let key) = slot.binding else { continue }
      guard let tensor = parameters[key] else {
        problems.append(
          LaminaError(
            .weights, "tensor '\(key.escapedForDisplay())' is missing", path: slot.nodePath))
        continue
      }
      if tensor.spec != slot.spec.spec {
        problems.append(
          LaminaError(
            .weights,
            "expected tensor '\(key.escapedForDisplay())' to be \(slot.spec.spec), found \(tensor.spec)",
            path: slot.nodePath))
      }
    }
    if let error = LaminaError.combining(problems) { throw error }
  }

  private init(
    unchecked graph: Graph, _ parameters: [String: Tensor], _ metadata: ModelMetadata,
    _ registry: LayerRegistry
  ) {
    self.graph = graph
    self.parameters = parameters
    self.metadata = metadata
    self.registry = registry
  }

  /// The model with its first output alone: layers and parameters that only the others need, auxiliary heads, are left
  /// out, and the weights of their losses.
  public func withoutAuxiliaryOutputs() throws -> Model {
    guard graph.outputs.count > 1 else { return self }
    var graph = graph
    graph.outputs = Array(graph.outputs.prefix(1))
    graph.removeDeadNodes(keeping: graph.outputs.map(\.value))
    var kept: [String: Tensor] = [:]
    for slot in try graph.parameterSlots(parameters: parameters) {
      if case .tensor(let key) = slot.binding { kept[key] = parameters[key] }
    }
    var metadata = metadata
    metadata.provenance = metadata.provenance.filter { !$0.key.hasPrefix("loss_weight.") }
    return try Model(graph: graph, parameters: kept, metadata: metadata, registry: registry)
  }

  /// A model with freshly initialised parameters. Each tensor's numbers depend on `seed` and its key alone.
  ///
  /// - Parameter initializer: of the weights of convolutions and dense layers, whose biases then start at 0; nil: what
  ///   each layer asks for.
  public init(
    initializing graph: Graph, seed: UInt64 = 0, initializer: Initializer? = nil,
    metadata: ModelMetadata = ModelMetadata(), registry: LayerRegistry
  ) throws {
    var parameters: [String: Tensor] = [:]
    for slot in try graph.parameterSlots(parameters: [:]) {
      guard case .tensor(let key) = slot.binding, parameters[key] == nil else { continue }
      var spec = slot.spec
      if let initializer, spec.role == .weight {
        if spec.spec.shape.rank > 1 { spec.initializer = initializer }
        if spec.name == "bias" { spec.initializer = .zeros }
      }
      parameters[key] = try spec.makeTensor(seed: seed, key: key)
    }
    self.init(unchecked: graph, parameters, metadata, registry)
  }

  /// The same graph with other parameters.
  public func replacingParameters(_ parameters: [String: Tensor]) throws -> Model {
    try Model(graph: graph, parameters: parameters, metadata: metadata, registry: registry)
  }

  /// The same model with other metadata.
  public func replacingMetadata(_ metadata: ModelMetadata) -> Model {
    Model(unchecked: graph, parameters, metadata, registry)
  }

  /// Number of learned parameters: the elements of all tensors in the role `.weight`, each tensor once. Where
  /// shapes follow from input values or layers are missing, so that roles are not known, all tensors count.
  public func weightCount() throws -> Int {
    var seen: Set<String> = []
    var count = 0
    let slots: [ParameterSlot]
    guard graph.missingKinds.isEmpty else {
      return parameters.values.reduce(0) { $0.saturatingSum($1.shape.count) }
    }
    do {
      slots = try graph.parameterSlots(parameters: parameters)
    } catch let error as LaminaError where error.code == .shape {
      return parameters.values.reduce(0) { $0 + $1.shape.count }
    }
    for slot in slots where slot.spec.role == .weight {
      if case .tensor(let key) = slot.binding, seen.insert(key).inserted {
        count += slot.spec.spec.shape.count
      }
    }
    return count
  }
}

/// One parameter of one node and where it is found.
public struct ParameterSlot: Sendable {
  /// Position of the node.
  public var nodeIndex: Int
  /// The node, for messages.
  public var nodePath: String
  /// Name, shape, role, initialiser.
  public var spec: ParameterSpec
  /// The model's tensor or a computed value.
  public var binding: Graph.ParameterBinding
}

extension Graph {
  /// Every parameter of every node, with inputs at their default extents.
  public func parameterSlots(parameters: [String: Tensor]) throws -> [ParameterSlot] {
    let specs = try inputs.map { try $0.defaultSpec() }
    let inference = try inferSpecs(inputs: specs, parameters: parameters)
    return nodes.indices.flatMap { index in
      inference.parameters[index].map { spec in
        ParameterSlot(
          nodeIndex: index, nodePath: nodes[index].path, spec: spec,
          binding: nodes[index].binding(of: spec.name))
      }
    }
  }

  /// The specs of all values and parameters for given input specs.
  public struct Inference: Sendable {
    /// By value index; nil for values that no node has computed yet, and for those that depend on a missing layer.
    public var values: [TensorSpec?]
    /// By node.
    public var parameters: [[ParameterSpec]]

    /// The spec of a value.
    public subscript(value: ValueID) -> TensorSpec {
      values[value.index] ?? TensorSpec(.scalar)
    }
  }

  /// Nodes with more elements of output are not folded while shapes are inferred.
  package static let defaultFoldingLimit = 4096

  /// Infers the shape and type of every value, and the values that follow from shapes and constants alone.
  ///
  /// - Parameters:
  ///   - foldingLimit: most elements of a value to compute.
  ///   - passingMissing: leaves out nodes whose layers are missing, and those that depend on them, instead of throwing.
  /// - Throws: the layer's error with the node's path; `limit` when a value, or all that are computed
  ///   together, exceed the memory of `limits`.
  public func inferSpecs(
    inputs: [TensorSpec], parameters: [String: Tensor], foldingLimit: Int? = nil,
    limits: Limits = Limits(), passingMissing: Bool = false
  ) throws -> Inference {
    let foldingLimit = foldingLimit ?? Graph.defaultFoldingLimit
    let pool = ThreadPool(threads: 1)
    guard inputs.count == self.inputs.count else {
      throw LaminaError(.argument, "expected \(self.inputs.count) inputs, found \(inputs.count)")
    }
    var values = [TensorSpec?](repeating: nil, count: valueCount)
    var parameterSpecs: [[ParameterSpec]] = []
    parameterSpecs.reserveCapacity(nodes.count)
    for (value, spec) in zip(inputValues, inputs) { values[value.index] = spec }
    var foldedBytes = 0
    for node in nodes {
      if passingMissing,
        node.missing != nil || node.readValues.contains(where: { values[$0.index] == nil })
      {
        parameterSpecs.append([])
        continue
      }
      let inferred = try infer(
        node, values: values, parameters: parameters,
        foldingLimit: min(foldingLimit, (limits.memoryBytes - foldedBytes) / 8), pool: pool)
      try withErrorPath(node.path) {
        for spec in inferred.outputs {
          try limits.checkMemory(spec.byteCount, for: "an output \(spec)")
          if spec.value != nil { foldedBytes += spec.byteCount }
        }
        try limits.checkMemory(foldedBytes, for: "constants computed from others")
      }
      for (value, spec) in zip(node.outputs, inferred.outputs) { values[value.index] = spec }
      parameterSpecs.append(inferred.parameters)
    }
    return Inference(values: values, parameters: parameterSpecs)
  }

  /// Infers the outputs and parameters of one node from `values`, the specs by value index.
  ///
  /// - Throws: the layer's error with the node's path.
  package func infer(
    _ node: Node, values: [TensorSpec?], parameters: [String: Tensor],
    foldingLimit: Int = Graph.defaultFoldingLimit, pool: ThreadPool
  ) throws -> (outputs: [TensorSpec], parameters: [ParameterSpec]) {
    try withErrorPath(node.path) {
      let specs = try node.inputs.map { value in
        guard let spec = values[value.index] else {
          throw LaminaError(.graph, "input '\(name(of: value))' is computed after this node")
        }
        return spec
      }
      var wanted = try node.layer.parameters(for: specs)
      for (index, parameter) in wanted.enumerated() {
        switch node.binding(of: parameter.name) {
        case .tensor(let key):
          if let tensor = parameters[key], tensor.spec == parameter.spec {
            wanted[index].spec.value = tensor
          }
        case .value(let value):
          guard let spec = values[value.index] else {
            throw LaminaError(.graph, "parameter '\(name(of: value))' is computed after this node")
          }
          guard spec == parameter.spec else {
            throw LaminaError(
              .shape,
              "expected parameter '\(parameter.name)' to be \(parameter.spec), found \(spec)")
          }
          wanted[index].spec.value = spec.value
        }
      }
      for name in node.bindings.keys.sorted() where !wanted.contains(where: { $0.name == name }) {
        throw LaminaError(.graph, "no parameter is named '\(name.escapedForDisplay())'")
      }
      var results = try node.layer.outputs(for: specs)
      guard results.count == node.outputs.count else {
        throw LaminaError(
          .internal, "expected \(node.outputs.count) output specs, found \(results.count)")
      }
      let constants = specs.compactMap(\.value)
      let weights = wanted.compactMap(\.spec.value)
      if constants.count == specs.count, weights.count == wanted.count,
        results.contains(where: { $0.value == nil }),
        results.allSatisfy({ $0.shape.count <= foldingLimit })
      {
        if node.definition.outputMemory == .aliasesInput, results.count == 1 {
          results[0].value = try constants[0].reshaped(results[0].shape)
        } else {
          let computed = try evaluate(
            node.layer, inputs: constants, parameters: weights, outputs: results, pool: pool)
          for index in results.indices { results[index].value = computed[index] }
        }
      }
      return (results, wanted)
    }
  }

  /// Binds input shapes to the declared dimensions: fixed extents must match, and symbols must agree.
  ///
  /// - Throws: `shape` naming the input and axis.
  public func checkInputs(_ specs: [TensorSpec]) throws {
    guard specs.count == inputs.count else {
      throw LaminaError(.argument, "expected \(inputs.count) inputs, found \(specs.count)")
    }
    var bound: [String: Int] = [:]
    for (input, spec) in zip(inputs, specs) {
      let path = "input \(input.name.escapedForDisplay())"
      let declared = "[" + input.dimensions.map(\.description).joined(separator: ", ") + "]"
      guard spec.type == input.type else {
        throw LaminaError(
          .shape, "expected \(input.type.rawValue), found \(spec.type.rawValue)", path: path)
      }
      guard spec.shape.rank == input.dimensions.count else {
        throw LaminaError(.shape, "expected shape \(declared), found \(spec.shape)", path: path)
      }
      for (axis, dimension) in input.dimensions.enumerated() {
        switch dimension {
        case .fixed(let extent):
          guard spec.shape[axis] == extent else {
            throw LaminaError(.shape, "expected shape \(declared), found \(spec.shape)", path: path)
          }
        case .symbol(let name, _):
          if let other = bound[name], other != spec.shape[axis] {
            throw LaminaError(
              .shape, "expected \(name) = \(other) on axis \(axis), found \(spec.shape[axis])",
              path: path)
          }
          bound[name] = spec.shape[axis]
        }
      }
    }
  }
}
