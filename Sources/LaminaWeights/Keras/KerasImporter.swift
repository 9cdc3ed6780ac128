import LaminaCore

/// Makes models of Keras files that hold a configuration: Sequential and Functional models, and
/// models within them, of the layers of CNNs.
///
/// Maps are [batch, height, width, channels] in Keras and [batch, channels, height, width] here.
/// Every value keeps the name of its layer; a layer's activation is a node of its own. Where
/// elements are flattened in the other order, the rows of the dense weight behind are permuted, or
/// the map is transposed.
enum KerasImporter {
  /// - Throws: `unsupported` listing every layer that has no counterpart; `format`, `graph`,
  ///   `shape`, `weights`.
  static func load(_ file: KerasFile, name: String, registry: LayerRegistry, limits: Limits) throws
    -> Model
  {
    guard let json = file.config else {
      throw LaminaError(.unsupported, ModelFile.weightsOnly, path: name)
    }
    let config = try KerasConfig(json, path: "\(name): model config", limits: limits)
    do {
      try refuse(config)
      var converter = KerasConverter(config, file, registry: registry, limits: limits)
      return try converter.model()
    } catch let error as LaminaError where !error.path.hasPrefix(name) {
      let path = error.path.isEmpty ? name : "\(name): \(error.path)"
      throw LaminaError(error.code, error.message, path: path)
    }
  }

  /// Classes that run code which a file brings along.
  private static let codeClasses = [
    "Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer",
  ]

  /// Refuses layers that hold code, and lists those without a counterpart.
  private static func refuse(_ config: KerasConfig) throws {
    var problems: [LaminaError] = []
    var pending = [config]
    while let model = pending.popLast() {
      for layer in model.layers {
        if let inner = layer.model {
          pending.append(inner)
        } else if codeClasses.contains(layer.className) {
          problems.append(
            LaminaError(
              .unsupported,
              "layer '\(layer.name.escapedForDisplay())' of class \(layer.className) holds code, which is never run"
            ))
        } else if !KerasConverter.classes.contains(layer.className) {
          problems.append(
            LaminaError(
              .unsupported,
              "layer '\(layer.name.escapedForDisplay())' of class \(layer.className.escapedForDisplay()) is not supported"
            ))
        }
        if problems.count == 64 { break }
      }
    }
    if let error = LaminaError.combining(problems) { throw error }
  }
}

/// Builds the graph of one file.
struct KerasConverter {
  /// A value of the graph.
  struct Value {
    var id: ValueID
    /// In Lamina's order: a map is [batch, channels, height, width].
    var shape: Shape
    /// Channels, height and width of the map whose flattening this is, channels first.
    var flattened: [Int]?

    var isMap: Bool { shape.rank == 4 }
  }

  let config: KerasConfig
  let file: KerasFile
  let limits: Limits
  private let keys: Set<String>
  private(set) var builder: GraphBuilder
  private(set) var parameters: [String: Tensor] = [:]
  private var usedKeys: Set<String> = []
  private var usedNames: Set<String> = []
  /// For each module with parameters, the layer that has them.
  private var owners: [String: String] = [:]

  init(_ config: KerasConfig, _ file: KerasFile, registry: LayerRegistry, limits: Limits) {
    self.config = config
    self.file = file
    self.limits = limits
    keys = Set(file.keys)
    builder = GraphBuilder(name: config.name, registry: registry)
  }

  mutating func model() throws -> Model {
    let outputs = try inline(config, inputs: nil, scope: "")
    guard !outputs.isEmpty else { throw LaminaError(.format, "expected outputs, found none") }
    var named: Set<Int> = []
    for output in outputs {
      let value = try inKerasOrder(output)
      guard named.insert(value.id.index).inserted else { continue }
      try builder.output(value.id)
    }
    let unused = file.keys.filter { !usedKeys.contains($0) }.prefix(64).map {
      LaminaError(.weights, "tensor '\($0.escapedForDisplay())' belongs to no layer")
    }
    if let error = LaminaError.combining(Array(unused)) { throw error }
    var metadata = ModelMetadata()
    if let last = builder.graph.nodes.first(where: { $0.outputs.contains(outputs[0].id) }),
      last.definition.kind == "lamina.softmax"
    {
      metadata.outputKind = .probabilities
    }
    metadata.provenance["imported_from"] = "Keras"
    return try Model(
      graph: builder.graph, parameters: parameters, metadata: metadata, registry: builder.registry)
  }

  // MARK: - Models

  /// Adds the nodes of a model and returns its outputs.
  ///
  /// - Parameter inputs: what stands for its inputs; nil makes inputs of the graph.
  private mutating func inline(_ model: KerasConfig, inputs: [Value]?, scope: String) throws
    -> [Value]
  {
    if model.isSequential {
      var value = inputs?.first
      for layer in model.layers {
        if value == nil {
          value = try addInput(layer)
          if layer.className == "InputLayer" { continue }
        }
        guard layer.className != "InputLayer", let input = value else { continue }
        value = try call(layer, [input], scope: scope).first
      }
      return value.map { [$0] } ?? []
    }
    var values: [KerasLayer.Origin: Value] = [:]
    var isInput: Set<String> = []
    for (index, origin) in model.inputs.enumerated() {
      guard let layer = model.layers.first(where: { $0.name == origin.layer }) else {
        throw unknown(origin)
      }
      isInput.insert(layer.name)
      if let inputs {
        guard index < inputs.count else {
          throw LaminaError(
            .graph, "expected \(model.inputs.count) inputs, found \(inputs.count)",
            path: model.name.escapedForDisplay())
        }
        values[origin] = inputs[index]
      } else {
        values[origin] = try addInput(layer)
      }
    }
    let callCounts = Dictionary(model.layers.map { ($0.name, $0.calls.count) }) { first, _ in first
    }
    guard callCounts.count == model.layers.count else {
      throw LaminaError(
        .format, "two layers have one name", path: model.name.escapedForDisplay())
    }
    // A model within a model may count its calls from 1.
    func normalized(_ origin: KerasLayer.Origin) -> KerasLayer.Origin {
      var origin = origin
      if callCounts[origin.layer] == 1 { origin.call = 0 }
      return origin
    }
    var pending = model.layers.filter { !isInput.contains($0.name) }.flatMap { layer in
      layer.calls.indices.map { (layer: layer, call: $0) }
    }
    var passes = 0
    while !pending.isEmpty {
      var waiting: [(layer: KerasLayer, call: Int)] = []
      for (layer, number) in pending {
        let origins = layer.calls[number].map(normalized)
        let found = origins.compactMap { values[$0] }
        guard found.count == origins.count else {
          waiting.append((layer, number))
          continue
        }
        for (index, value) in try call(layer, found, scope: scope).enumerated() {
          values[KerasLayer.Origin(layer: layer.name, call: number, output: index)] = value
        }
      }
      passes += 1
      guard waiting.count < pending.count, passes < 1000 else {
        let first = waiting[0].layer
        throw LaminaError(
          .graph, "expected inputs from layers before it, found a cycle or an unknown layer",
          path: first.name.escapedForDisplay())
      }
      pending = waiting
    }
    return try model.outputs.map { origin in
      guard let value = values[normalized(origin)] else { throw unknown(origin) }
      return value
    }
  }

  private func unknown(_ origin: KerasLayer.Origin) -> LaminaError {
    LaminaError(
      .graph, "no layer gives output \(origin.output) of '\(origin.layer.escapedForDisplay())'")
  }

  /// An input of the graph from an InputLayer, or from the first layer of a Sequential model.
  private mutating func addInput(_ layer: KerasLayer) throws -> Value {
    if let model = layer.model {
      // The input of a model that stands first.
      let name = model.isSequential ? model.layers.first?.name : model.inputs.first?.layer
      if let first = model.layers.first(where: { $0.name == name }) { return try addInput(first) }
    }
    let path = layer.name.escapedForDisplay()
    let options = KerasOptions(json: layer.config, path: path)
    guard let list = (options.value("batch_shape") ?? options.value("batch_input_shape"))?.array
    else { throw LaminaError(.format, "expected an input shape, found none", path: path) }
    guard (2...4).contains(list.count) else {
      throw LaminaError(
        .unsupported, "expected an input of 2 to 4 axes, found \(list.count)", path: path)
    }
    let order = list.count == 4 ? [0, 3, 1, 2] : Array(list.indices)
    let names = list.count == 4 ? ["batch", "channels", "height", "width"] : ["batch", "x", "y"]
    let dimensions: [Dimension] = try order.enumerated().map { place, axis in
      if list[axis] == .null {
        if place == 0 { return .batch }
        guard list.count == 4, place > 1 else {
          throw LaminaError(.unsupported, "expected known channels of the input", path: path)
        }
        return .symbol(names[place], default: 224)
      }
      guard let extent = list[axis].int, extent > 0 else {
        throw LaminaError(
          .format, "expected extents from 1, found \(list[axis].text())", path: path)
      }
      return .fixed(extent)
    }
    let isInput = layer.className == "InputLayer"
    let name = uniqueName(isInput && !layer.name.isEmpty ? layer.name : "input", scope: "")
    let id = try builder.input(name, dimensions)
    return Value(id: id, shape: try Shape(dimensions.map(\.defaultExtent)))
  }

  private mutating func uniqueName(_ base: String, scope: String) -> String {
    if usedNames.insert(base).inserted { return base }
    let longer = scope.isEmpty ? base : "\(scope).\(base)"
    var name = longer
    var number = 1
    while !usedNames.insert(name).inserted {
      number += 1
      name = "\(longer)#\(number)"
    }
    return name
  }

  /// Adds the nodes of one call of a layer.
  private mutating func call(_ layer: KerasLayer, _ inputs: [Value], scope: String) throws
    -> [Value]
  {
    let inner = scope.isEmpty ? layer.name : "\(scope)/\(layer.name)"
    if let model = layer.model { return try inline(model, inputs: inputs, scope: inner) }
    guard builder.graph.nodes.count < limits.nodes else {
      throw LaminaError(.limit, "expected at most \(limits.nodes) nodes, found more")
    }
    let shown = "\(layer.name.escapedForDisplay()) (\(layer.className.escapedForDisplay()))"
    return try withErrorPath(shown) {
      guard let first = inputs.first else {
        throw LaminaError(.graph, "expected an input, found none")
      }
      let name = uniqueName(
        layer.name.isEmpty ? layer.snakeName : layer.name,
        scope: scope.split(separator: "/").last.map(String.init) ?? "")
      return [
        try convert(
          layer, KerasOptions(json: layer.config, path: shown), first, inputs, name: name,
          owner: inner)
      ]
    }
  }

  // MARK: - Nodes

  /// Adds a node; its value's name is `output`, by default the node's.
  mutating func emit(
    _ kind: LayerKind, _ name: String, _ inputs: [Value], _ attributes: Attributes = [:],
    output: String? = nil, bindings: [String: Graph.ParameterBinding] = [:]
  ) throws -> Value {
    let values = try builder.addNode(
      kind, name, inputs.map(\.id), attributes: attributes, outputNames: output.map { [$0] },
      bindings: bindings)
    guard let node = builder.graph.nodes.last, let value = values.first else {
      throw LaminaError(.internal, "a node was not added")
    }
    let specs = try node.layer.outputs(for: inputs.map { TensorSpec($0.shape) })
    return Value(id: value, shape: specs[0].shape)
  }

  /// Adds a constant that broadcasts to maps or rows.
  mutating func constant(_ name: String, _ numbers: [Float], like value: Value) throws -> Value {
    let axis = value.isMap ? 1 : value.shape.rank - 1
    var dimensions = [Int](repeating: 1, count: value.shape.rank)
    if numbers.count > 1 {
      guard axis >= 0, numbers.count == value.shape[axis] else {
        throw LaminaError(
          .shape, "expected one number for each channel of \(value.shape), found \(numbers.count)")
      }
      dimensions[axis] = numbers.count
    }
    let shape = try Shape(dimensions)
    parameters["\(name).value"] = try Tensor(shape, numbers)
    return try emit(
      "lamina.constant", name, [], ["shape": .ints(dimensions), "type": "float32"])
  }

  /// Takes the tensor `module.parameter` of the file as a parameter, changed by `change`.
  mutating func take(
    _ module: String, _ parameter: String, owner: String,
    _ change: (Tensor) throws -> Tensor = { $0 }
  ) throws -> Graph.ParameterBinding {
    let key = "\(module).\(parameter)"
    guard owners[module, default: owner] == owner else {
      throw LaminaError(
        .unsupported, "two layers with weights are named '\(module.escapedForDisplay())'")
    }
    owners[module] = owner
    guard keys.contains(key) else {
      throw LaminaError(.weights, "expected tensor '\(key.escapedForDisplay())', found none")
    }
    usedKeys.insert(key)
    if parameters[key] == nil {
      let tensor = try withErrorPath(key.escapedForDisplay()) {
        try file.tensor(key, limits: limits).convertedToFloat32()
      }
      parameters[key] = try change(tensor)
    }
    return .tensor(key)
  }

  /// Reads numbers that a layer computes with before it runs.
  mutating func numbers(_ module: String, _ parameter: String) throws -> [Float]? {
    let key = "\(module).\(parameter)"
    guard keys.contains(key) else { return nil }
    usedKeys.insert(key)
    return try file.tensor(key, limits: limits).convertedToFloat32().elements()
  }

  func shapeOfTensor(_ module: String, _ parameter: String) throws -> Shape {
    try file.spec("\(module).\(parameter)").shape
  }

  // MARK: - Order of elements

  /// The value with its elements in Keras' order, where it is a map that was flattened.
  mutating func inKerasOrder(_ value: Value) throws -> Value {
    guard let map = value.flattened else { return value }
    let name = uniqueName("\(builder.graph.name(of: value.id)).order", scope: "")
    let restored = try emit(
      "lamina.reshape", "\(name).map", [value], ["shape": .ints([0] + map)])
    return try flattened(restored, name: name)
  }

  /// [batch, height · width · channels] in Keras' order from a map.
  private mutating func flattened(_ map: Value, name: String, output: String? = nil) throws -> Value
  {
    let last = try emit(
      "lamina.transpose", "\(name).channels_last", [map], ["permutation": [0, 2, 3, 1]])
    return try emit("lamina.flatten", name, [last], output: output)
  }

  /// Whether both orders of a map are one.
  private func ordersAgree(_ map: [Int]) -> Bool { map[0] == 1 || map[1...].allSatisfy { $0 == 1 } }

  mutating func flatten(_ value: Value, name: String) throws -> Value {
    guard value.isMap else { return try emit("lamina.flatten", name, [inKerasOrder(value)]) }
    var result = try emit("lamina.flatten", name, [value])
    let map = Array(value.shape.dimensions[1...])
    if !ordersAgree(map) { result.flattened = map }
    return result
  }

  mutating func reshape(_ value: Value, to target: [Int], name: String) throws -> Value {
    var input = try inKerasOrder(value)
    var count = 1
    for extent in target where extent != -1 {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard extent > 0, !overflow else {
        throw LaminaError(.format, "expected a target shape, found \(target)")
      }
      count = product
    }
    let total = input.shape.count(from: 1)
    guard target.count(where: { $0 == -1 }) <= 1, total % count == 0,
      target.contains(-1) || count == total
    else { throw LaminaError(.shape, "expected a shape of \(total) elements, found \(target)") }
    let extents = target.map { $0 == -1 ? total / count : $0 }
    if input.isMap, !ordersAgree(Array(input.shape.dimensions[1...])) {
      input = try emit(
        "lamina.transpose", "\(name).channels_last", [input], ["permutation": [0, 2, 3, 1]])
    }
    guard extents.count == 3 else {
      return try emit("lamina.reshape", name, [input], ["shape": .ints([0] + extents)])
    }
    let map = [extents[2], extents[0], extents[1]]
    if ordersAgree(map) {
      return try emit("lamina.reshape", name, [input], ["shape": .ints([0] + map)])
    }
    let last = try emit(
      "lamina.reshape", "\(name).channels_last_map", [input], ["shape": .ints([0] + extents)])
    return try emit("lamina.transpose", name, [last], ["permutation": [0, 3, 1, 2]])
  }

  /// Keras' axis as Lamina's.
  func axis(_ axis: Int, of value: Value) throws -> Int {
    let resolved = try value.shape.axis(axis)
    return value.isMap ? [0, 2, 3, 1][resolved] : resolved
  }
}
