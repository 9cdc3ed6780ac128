/// How a model is trained.
public struct TrainingOptions: Sendable {
  /// Threads, by default as many as the process may use.
  public var threads: Int?
  /// What does not change: patterns over the names of nodes and of parameters. A frozen node keeps its weights and
  /// its statistics, bit for bit, and runs as in inference.
  public var frozen: [KeyPattern] = []
  /// Only algorithms with the accuracy of direct evaluation.
  public var isStrict = false
  /// Bounds on memory.
  public var limits = Limits()

  /// Everything learns.
  public init() {}
}

/// What each node and each parameter of a graph does while the model is trained.
struct TrainingRoles: Sendable {
  /// Keys of the weights that learn, in the order of the graph, and their positions.
  private(set) var weights: [String: Int] = [:]
  private(set) var weightKeys: [String] = []
  /// The same for the statistics that layers keep.
  private(set) var buffers: [String: Int] = [:]
  private(set) var bufferKeys: [String] = []
  /// Tensors that stay as they are.
  private(set) var fixed: [String: Tensor]
  /// By node: whether it uses statistics of the batch and random numbers.
  private(set) var isTraining: [Bool] = []
  /// By node: whether a weight that learns is at it or above it.
  private(set) var wantsGradient: [Bool] = []
  /// By node: whether it is computed as in inference, with nothing above it that changes.
  private(set) var isTrunk: [Bool] = []

  /// - Throws: `unsupported` listing every node that a gradient must pass and that has none; `argument` when a
  ///   pattern matches nothing, or nothing is left to learn.
  init(_ graph: Graph, _ model: Model, frozen patterns: [KeyPattern]) throws {
    fixed = model.parameters
    let slots = Dictionary(
      grouping: try graph.parameterSlots(parameters: model.parameters), by: \.nodeIndex)
    var isUsed = [Bool](repeating: false, count: patterns.count)
    func isFrozen(_ name: String) -> Bool {
      var result = false
      for (index, pattern) in patterns.enumerated() where pattern.matches(name) {
        isUsed[index] = true
        result = true
      }
      return result
    }
    var frozenKeys: Set<String> = []
    var keysOfNode: [[(key: String, role: ParameterRole)]] = []
    var isFrozenNode: [Bool] = []
    for (index, node) in graph.nodes.enumerated() {
      let isNode = isFrozen(node.name)
      var keys: [(String, ParameterRole)] = []
      for slot in slots[index] ?? [] {
        guard case .tensor(let key) = slot.binding else { continue }
        keys.append((key, slot.spec.role))
        if isFrozen(key) || isNode || slot.spec.spec.type != .float32 { frozenKeys.insert(key) }
      }
      isFrozenNode.append(isNode)
      keysOfNode.append(keys)
    }
    if let unused = zip(patterns, isUsed).first(where: { !$0.1 })?.0 {
      throw LaminaError(
        .argument, "no node or parameter matches '\(unused.text.escapedForDisplay())'")
    }
    var isReached = [Bool](repeating: false, count: graph.valueCount)
    var isChanging = [Bool](repeating: false, count: graph.valueCount)
    var problems: [LaminaError] = []
    for (index, node) in graph.nodes.enumerated() {
      var learns = false
      var keeps = false
      for (key, role) in keysOfNode[index] where !frozenKeys.contains(key) {
        fixed[key] = nil
        switch role {
        case .weight:
          learns = true
          if weights[key] == nil {
            weights[key] = weightKeys.count
            weightKeys.append(key)
          }
        case .buffer:
          keeps = true
          if buffers[key] == nil {
            buffers[key] = bufferKeys.count
            bufferKeys.append(key)
          }
        }
      }
      let trains = learns || keeps || node.definition.isRandom && !isFrozenNode[index]
      let isBelow = node.readValues.contains { isReached[$0.index] }
      let wants = learns || isBelow
      let changes = trains || wants || node.readValues.contains { isChanging[$0.index] }
      for value in node.outputs {
        isReached[value.index] = wants
        isChanging[value.index] = changes
      }
      isTraining.append(trains)
      wantsGradient.append(wants)
      isTrunk.append(!changes)
      if wants, node.definition.gradient == .unsupported {
        problems.append(LaminaError(.unsupported, "this layer has no gradient", path: node.path))
      }
    }
    if let error = LaminaError.combining(problems) { throw error }
    guard !weights.isEmpty else {
      throw LaminaError(.argument, "expected parameters that learn, found all of them frozen")
    }
  }
}
