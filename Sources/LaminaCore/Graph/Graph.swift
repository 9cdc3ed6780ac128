/// A value of a graph: an input or an output of a node.
public struct ValueID: Sendable, Hashable {
  /// Position in the graph's list of values.
  public let index: Int

  init(_ index: Int) { self.index = index }
}

/// Named operations and the values that flow between them. Nodes are in an order in which they can run.
public struct Graph: Sendable {
  /// An input of the graph.
  public struct Input: Sendable, Hashable {
    /// Name of the input and of its value.
    public var name: String
    /// Extents, symbolic where they may vary.
    public var dimensions: [Dimension]
    /// Element type.
    public var type: ElementType

    /// An input.
    public init(_ name: String, _ dimensions: [Dimension], _ type: ElementType = .float32) {
      self.name = name
      self.dimensions = dimensions
      self.type = type
    }

    /// The spec with each symbol at its default.
    public func defaultSpec() throws -> TensorSpec {
      TensorSpec(try Shape(dimensions.map(\.defaultExtent)), type)
    }
  }

  /// Where a node finds a parameter when it is not under the usual key `<node>.<parameter>`.
  public enum ParameterBinding: Sendable, Hashable {
    /// The model's tensor of this key, which several nodes may share.
    case tensor(String)
    /// A value computed by the graph.
    case value(ValueID)
  }

  /// One operation.
  public struct Node: Sendable {
    /// Unique name; by torchvision's module paths where there are such: `layer1.0.conv1`.
    public var name: String
    /// What the registry knows of its kind.
    public var definition: LayerDefinition
    /// The operation with its attributes.
    public var layer: any Layer
    /// Values it reads.
    public var inputs: [ValueID]
    /// Values it writes.
    public internal(set) var outputs: [ValueID]
    /// Parameters that are not under their usual key.
    public var bindings: [String: ParameterBinding] = [:]

    /// `layer1.0.conv1 (lamina.conv2d)`, for messages.
    public var path: String { "\(name.escapedForDisplay()) (\(definition.kind))" }

    /// Where `parameter` is found.
    public func binding(of parameter: String) -> ParameterBinding {
      bindings[parameter] ?? .tensor("\(name).\(parameter)")
    }

    /// The layer's attributes.
    public var attributes: Attributes {
      var writer = AttributeWriter()
      layer.encode(into: &writer)
      return writer.attributes
    }
  }

  /// Name of the graph: `resnet50`.
  public var name: String
  /// Inputs.
  public private(set) var inputs: [Input] = []
  /// The inputs' values, in the same order.
  public private(set) var inputValues: [ValueID] = []
  /// Nodes in an order in which they can run.
  public internal(set) var nodes: [Node] = []
  /// Values the graph is computed for, and the names under which they are known.
  public internal(set) var outputs: [(name: String, value: ValueID)] = []
  private var valueNames: [String] = []
  private var valuesByName: [String: ValueID] = [:]

  /// An empty graph.
  public init(name: String) { self.name = name }

  /// Number of values.
  public var valueCount: Int { valueNames.count }

  /// Name of a value: that of the input, or of the node; `node:1` for a second output.
  public func name(of value: ValueID) -> String { valueNames[value.index] }

  /// The value of a name: an input, a node, or a graph output.
  public func value(named name: String) -> ValueID? {
    valuesByName[name] ?? outputs.first { $0.name == name }?.value
  }

  /// The value of a name.
  ///
  /// - Throws: `notFound` with the nearest name.
  public func requireValue(named name: String) throws -> ValueID {
    if let value = value(named: name) { return value }
    let hint =
      nearestName(to: name, in: valueNames).map { ", nearest is '\($0.escapedForDisplay())'" } ?? ""
    throw LaminaError(.notFound, "no value named '\(name.escapedForDisplay())'\(hint)")
  }

  /// All names of values, inputs first.
  public var allValueNames: [String] { valueNames }

  /// The position of the node of that name.
  public func nodeIndex(named name: String) -> Int? { nodes.firstIndex { $0.name == name } }

  mutating func makeValue(_ name: String) throws -> ValueID {
    guard !name.isEmpty else { throw LaminaError(.graph, "a value has an empty name") }
    guard valuesByName[name] == nil else {
      throw LaminaError(.graph, "two values are named '\(name.escapedForDisplay())'")
    }
    let value = ValueID(valueNames.count)
    valueNames.append(name)
    valuesByName[name] = value
    return value
  }

  /// Adds an input.
  ///
  /// - Throws: `graph` when the name is taken or a fixed extent is negative.
  @discardableResult
  public mutating func addInput(_ input: Input) throws -> ValueID {
    _ = try withErrorPath("input \(input.name.escapedForDisplay())") { try input.defaultSpec() }
    let value = try makeValue(input.name)
    inputs.append(input)
    inputValues.append(value)
    return value
  }

  /// Adds a node behind all others.
  ///
  /// - Parameter outputNames: names of its values, by default `name`, `name:1`, …
  /// - Throws: `graph` when a name is taken, the number of inputs does not fit, or an input is unknown.
  @discardableResult
  public mutating func addNode(
    _ name: String, _ definition: LayerDefinition, _ layer: any Layer, inputs: [ValueID],
    outputNames: [String]? = nil, bindings: [String: ParameterBinding] = [:]
  ) throws -> [ValueID] {
    let path = "\(name.escapedForDisplay()) (\(definition.kind))"
    guard definition.arity.contains(inputs.count) else {
      let range = definition.arity
      let expected =
        range.count == 1
        ? "\(range.lowerBound)"
        : "\(range.lowerBound) to \(range.upperBound == .max ? "any" : String(range.upperBound))"
      throw LaminaError(.graph, "expected \(expected) inputs, found \(inputs.count)", path: path)
    }
    for value in inputs where value.index >= valueNames.count {
      throw LaminaError(.graph, "an input comes from another graph", path: path)
    }
    let count = layer.outputCount
    let names = outputNames ?? (0..<count).map { $0 == 0 ? name : "\(name):\($0)" }
    guard names.count == count else {
      throw LaminaError(.graph, "expected \(count) output names, found \(names.count)", path: path)
    }
    let outputs = try names.map { name in try withErrorPath(path) { try makeValue(name) } }
    nodes.append(
      Node(
        name: name, definition: definition, layer: layer, inputs: inputs, outputs: outputs,
        bindings: bindings))
    return outputs
  }

  /// Names a value as an output of the graph.
  public mutating func addOutput(_ value: ValueID, name: String? = nil) throws {
    let name = name ?? self.name(of: value)
    guard !outputs.contains(where: { $0.name == name }) else {
      throw LaminaError(.graph, "two outputs are named '\(name.escapedForDisplay())'")
    }
    outputs.append((name, value))
  }

  /// The same graph with the layer of one node made anew from other attributes.
  ///
  /// - Throws: what the layer throws about its attributes.
  public func remakingLayer(of index: Int, attributes: Attributes, registry: LayerRegistry) throws
    -> Graph
  {
    var result = self
    try withErrorPath(nodes[index].path) {
      result.nodes[index].layer = try registry.makeLayer(
        nodes[index].definition.kind, attributes
      ).layer
    }
    return result
  }

  /// For each value, the nodes that read it, as input or as parameter.
  public func consumers() -> [[Int]] {
    var result = [[Int]](repeating: [], count: valueCount)
    for (index, node) in nodes.enumerated() {
      for value in node.readValues { result[value.index].append(index) }
    }
    return result
  }
}

extension Graph.Node {
  /// Inputs and values bound to parameters.
  var readValues: [ValueID] {
    inputs
      + bindings.sorted { $0.key < $1.key }.compactMap {
        if case .value(let value) = $0.value { value } else { nil }
      }
  }
}

/// Builds a graph by kind strings, so that a plugin's layer can take the place of a standard one.
public struct GraphBuilder {
  /// Where kinds are looked up.
  public let registry: LayerRegistry
  /// What was built so far.
  public private(set) var graph: Graph
  private var scopes: [String] = []

  /// An empty graph.
  public init(name: String, registry: LayerRegistry) {
    self.registry = registry
    graph = Graph(name: name)
  }

  /// Adds an input.
  public mutating func input(
    _ name: String, _ dimensions: [Dimension], _ type: ElementType = .float32
  ) throws -> ValueID {
    try graph.addInput(Graph.Input(name, dimensions, type))
  }

  /// Adds a node and returns its first output.
  ///
  /// - Parameter name: within the current scope: `conv1` in scope `layer1.0` is `layer1.0.conv1`.
  @discardableResult
  public mutating func add(
    _ kind: LayerKind, _ name: String, _ inputs: ValueID..., attributes: Attributes = [:]
  ) throws -> ValueID {
    try addNode(kind, name, inputs, attributes: attributes)[0]
  }

  /// Adds a node and returns all its outputs.
  @discardableResult
  public mutating func addNode(
    _ kind: LayerKind, _ name: String, _ inputs: [ValueID], attributes: Attributes = [:],
    outputNames: [String]? = nil, bindings: [String: Graph.ParameterBinding] = [:]
  ) throws -> [ValueID] {
    let fullName = (scopes + [name]).joined(separator: ".")
    let (layer, definition) = try withErrorPath("\(fullName) (\(kind))") {
      try registry.makeLayer(kind, attributes)
    }
    return try graph.addNode(
      fullName, definition, layer, inputs: inputs, outputNames: outputNames, bindings: bindings)
  }

  /// Runs `body` with `name` in front of every node's name.
  public mutating func scope<T>(_ name: String, _ body: (inout GraphBuilder) throws -> T) rethrows
    -> T
  {
    scopes.append(name)
    defer { scopes.removeLast() }
    return try body(&self)
  }

  /// Names a value as an output.
  public mutating func output(_ value: ValueID, name: String? = nil) throws {
    try graph.addOutput(value, name: name)
  }
}
