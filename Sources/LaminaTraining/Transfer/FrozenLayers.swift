import LaminaCore

/// Which layers and parameters of a model stay as they are in training: `patterns` goes into `TrainingOptions.frozen`.
public struct FrozenLayers: Sendable {
  private let model: Model
  private let names: [String]
  private let keys: [[String]]
  private var isFrozen: [Bool]
  private var frozenKeys: Set<String> = []

  /// Nothing is frozen.
  public init(_ model: Model) throws {
    self.model = model
    names = model.graph.nodes.map(\.name)
    isFrozen = [Bool](repeating: false, count: names.count)
    var keys = [[String]](repeating: [], count: names.count)
    for slot in try model.graph.parameterSlots(parameters: model.parameters) {
      if case .tensor(let key) = slot.binding { keys[slot.nodeIndex].append(key) }
    }
    self.keys = keys
  }

  /// Freezes what a pattern over the names of layers and parameters matches.
  ///
  /// - Throws: `argument` when that is nothing.
  public mutating func freeze(_ pattern: KeyPattern) throws {
    try change(pattern) {
      $0.isFrozen[$1] = true
    } key: {
      $0.frozenKeys.insert($2)
    }
  }

  /// Lets what a pattern over the names of layers and parameters matches learn again.
  ///
  /// - Throws: `argument` when that is nothing.
  public mutating func unfreeze(_ pattern: KeyPattern) throws {
    try change(pattern) { layers, node in
      layers.isFrozen[node] = false
      layers.frozenKeys.subtract(layers.keys[node])
    } key: { layers, node, key in
      if layers.isFrozen[node] { layers.frozenKeys.formUnion(layers.keys[node]) }
      layers.isFrozen[node] = false
      layers.frozenKeys.remove(key)
    }
  }

  /// Freezes all layers, in the order of the graph, up to the last one that is called `name` or begins with `name` and
  /// a dot.
  ///
  /// - Throws: `notFound` when there is none.
  public mutating func freeze(upTo name: String) throws {
    guard let last = names.lastIndex(where: { $0 == name || $0.hasPrefix("\(name).") }) else {
      let hint = nearestName(to: name, in: names).map { ", nearest is '\($0.escapedForDisplay())'" }
      throw LaminaError(
        .notFound, "no layer is named '\(name.escapedForDisplay())'\(hint ?? "")")
    }
    for node in 0...last { isFrozen[node] = true }
  }

  /// Freezes all layers but those of `Model.headLayers`.
  ///
  /// - Throws: `unsupported`, as that.
  public mutating func freezeTrunk() throws {
    let head = try model.headLayers()
    for node in names.indices where !head.contains(names[node]) { isFrozen[node] = true }
  }

  /// The names of what is frozen.
  public var patterns: [KeyPattern] {
    var result = names.indices.filter { isFrozen[$0] }.map { names[$0] }
    for (node, keys) in keys.enumerated() where !isFrozen[node] {
      result += keys.filter(frozenKeys.contains)
    }
    return result.map { KeyPattern($0) }
  }

  private mutating func change(
    _ pattern: KeyPattern, node changeNode: (inout FrozenLayers, Int) -> Void,
    key changeKey: (inout FrozenLayers, Int, String) -> Void
  ) throws {
    var isUsed = false
    for node in names.indices {
      if pattern.matches(names[node]) {
        changeNode(&self, node)
        isUsed = true
      }
      for key in keys[node] where pattern.matches(key) {
        changeKey(&self, node, key)
        isUsed = true
      }
    }
    guard isUsed else {
      throw LaminaError(
        .argument, "no node or parameter matches '\(pattern.text.escapedForDisplay())'")
    }
  }
}
