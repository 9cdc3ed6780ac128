/// How far a plan may change the graph.
public enum OptimizationLevel: String, Sendable, CaseIterable, Comparable {
  /// Every node runs as it stands, through `forward`.
  case none
  /// Constants are folded, no-ops removed, layers prepared.
  case basic
  /// Layers are fused as well.
  case full

  private var order: Int {
    switch self {
    case .none: 0
    case .basic: 1
    case .full: 2
    }
  }

  /// `none < basic < full`.
  public static func < (a: OptimizationLevel, b: OptimizationLevel) -> Bool { a.order < b.order }
}

/// A change of the graph that leaves its requested values as they are: fold, fuse, remove.
public protocol GraphRewrite: Sendable {
  /// Stable name, for `explain()`: `fold-batch-norm`.
  var name: String { get }
  /// The lowest level at which it runs.
  var level: OptimizationLevel { get }
  /// Changes `graph` and returns a line for each change: `layer1.0.bn1 folded into layer1.0.conv1`.
  func apply(to graph: inout RewritableGraph) throws -> [String]
}

/// A graph that a rewrite may change, with the specs of its values and the constants it may fold.
public struct RewritableGraph {
  /// The graph.
  public private(set) var graph: Graph
  /// Specs of values and parameters before any rewrite.
  public let inference: Graph.Inference
  /// Tensors by key, folded ones included.
  public private(set) var parameters: [String: Tensor]
  /// Kinds that rewrites may create.
  public let registry: LayerRegistry
  private var requested: Set<ValueID>
  private var removed: Set<Int> = []
  private var readers: [[Int]]

  init(
    graph: Graph, inference: Graph.Inference, parameters: [String: Tensor],
    registry: LayerRegistry, requested: [ValueID]
  ) {
    self.graph = graph
    self.inference = inference
    self.parameters = parameters
    self.registry = registry
    self.requested = Set(requested)
    readers = graph.consumers()
  }

  /// Positions of the nodes that are still there, in order.
  public var nodeIndices: [Int] { graph.nodes.indices.filter { !removed.contains($0) } }

  /// A node. One whose layer somebody else supplies for a kind of Lamina's goes by `provider:kind`: what rewrites know of
  /// the kind does not hold for it, and who put it there wants it to run.
  public func node(_ index: Int) -> Graph.Node {
    var node = graph.nodes[index]
    if node.definition.isReplacement {
      node.definition.kind = LayerKind("\(node.definition.provider):\(node.definition.kind)")
    }
    return node
  }

  /// The node that computes `value`; nil for inputs.
  public func producer(of value: ValueID) -> Int? {
    // Nodes keep their outputs when they are rewritten, so a search backwards is exact.
    graph.nodes.indices.last { !removed.contains($0) && graph.nodes[$0].outputs.contains(value) }
  }

  /// The nodes that read `value`.
  public func consumers(of value: ValueID) -> [Int] {
    readers[value.index].filter { !removed.contains($0) }
  }

  /// The only reader of `value`, when it is read once and nobody asked for it by name.
  public func soleConsumer(of value: ValueID) -> Int? {
    guard !requested.contains(value) else { return nil }
    let nodes = consumers(of: value)
    return nodes.count == 1 ? nodes[0] : nil
  }

  /// Whether a caller asked for `value`, or it is an output of the graph.
  public func isRequested(_ value: ValueID) -> Bool { requested.contains(value) }

  /// The constant value of a node's parameter; nil when it is computed at run time.
  public func parameter(_ name: String, of index: Int) -> Tensor? {
    switch graph.nodes[index].binding(of: name) {
    case .tensor(let key): parameters[key]
    case .value(let value): inference[value].value
    }
  }

  /// Gives a node its own constant as parameter; the model's tensor stays as it is.
  public mutating func setParameter(_ name: String, of index: Int, to tensor: Tensor) {
    let key = "\(graph.nodes[index].name).\(name)#rewritten"
    parameters[key] = tensor
    graph.nodes[index].bindings[name] = .tensor(key)
  }

  /// Puts another layer in the node's place: same outputs, and `inputs` where they change.
  public mutating func replaceLayer<L: Layer>(
    of index: Int, with layer: L, inputs: [ValueID]? = nil
  ) {
    let provider = graph.nodes[index].definition.provider
    graph.nodes[index].definition = LayerDefinition(L.self, provider: provider)
    graph.nodes[index].layer = layer
    if let inputs { setInputs(of: index, to: inputs) }
  }

  /// Makes the node's layer again from changed attributes, and gives it other inputs where there are such.
  ///
  /// - Throws: what the layer throws about its attributes; the graph is unchanged then.
  public mutating func remakeLayer(
    of index: Int, attributes: Attributes, inputs: [ValueID]? = nil
  ) throws {
    let kind = graph.nodes[index].definition.kind
    graph.nodes[index].layer = try registry.makeLayer(kind, attributes).layer
    if let inputs { setInputs(of: index, to: inputs) }
  }

  private mutating func setInputs(of index: Int, to inputs: [ValueID]) {
    for value in graph.nodes[index].inputs { readers[value.index].removeAll { $0 == index } }
    graph.nodes[index].inputs = inputs
    for value in inputs { readers[value.index].append(index) }
  }

  /// Removes node `index`, whose first output becomes an output of `producer` in place of `value`, the first
  /// output of `producer`: `conv → relu` becomes `conv` under the name of `relu`.
  public mutating func absorb(_ index: Int, into producer: Int) {
    let output = graph.nodes[index].outputs[0]
    for value in graph.nodes[index].readValues { readers[value.index].removeAll { $0 == index } }
    removed.insert(index)
    graph.nodes[producer].outputs[0] = output
  }

  /// Removes node `index`; those that read its first output read `value` instead.
  ///
  /// - Returns: false, and nothing is changed, when a caller asked for the output.
  public mutating func bypass(_ index: Int, with value: ValueID) -> Bool {
    let output = graph.nodes[index].outputs[0]
    guard !requested.contains(output) else { return false }
    for reader in consumers(of: output) {
      graph.nodes[reader].inputs = graph.nodes[reader].inputs.map { $0 == output ? value : $0 }
      for (name, binding) in graph.nodes[reader].bindings where binding == .value(output) {
        graph.nodes[reader].bindings[name] = .value(value)
      }
      readers[value.index].append(reader)
    }
    readers[output.index] = []
    readers[value.index].removeAll { $0 == index }
    removed.insert(index)
    return true
  }

  /// The rewritten graph: without removed nodes, in an order in which it can run.
  func finished() throws -> Graph {
    var result = graph
    result.nodes = nodeIndices.map { graph.nodes[$0] }
    try result.sortNodes()
    return result
  }
}

extension Graph {
  /// Puts nodes behind those they read, keeping their order where it is free.
  ///
  /// - Throws: `graph` naming a node on a cycle.
  mutating func sortNodes() throws {
    var producer = [Int?](repeating: nil, count: valueCount)
    for (index, node) in nodes.enumerated() {
      for value in node.outputs { producer[value.index] = index }
    }
    var done = [Bool](repeating: false, count: nodes.count)
    var open = [Bool](repeating: false, count: nodes.count)
    var sorted: [Node] = []
    sorted.reserveCapacity(nodes.count)
    for start in nodes.indices where !done[start] {
      var stack = [start]
      while let index = stack.last {
        if done[index] {
          stack.removeLast()
          continue
        }
        let missing = nodes[index].readValues.compactMap { producer[$0.index] }.filter { !done[$0] }
        if missing.isEmpty {
          done[index] = true
          open[index] = false
          sorted.append(nodes[index])
          stack.removeLast()
        } else {
          open[index] = true
          if let cyclic = missing.first(where: { open[$0] }) {
            throw LaminaError(.graph, "the graph has a cycle", path: nodes[cyclic].path)
          }
          stack.append(contentsOf: missing.reversed())
        }
      }
    }
    nodes = sorted
  }
}
