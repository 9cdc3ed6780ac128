import LaminaCore

/// `x → identity → y` becomes `x → y`: dropout and identity do nothing in inference, and pools nothing where each of
/// their windows is one element.
struct RemoveIdentities: GraphRewrite {
  let name = "remove-identities"
  let level = OptimizationLevel.basic
  private static let kinds: Set<LayerKind> = ["lamina.dropout", "lamina.identity"]
  private static let pools: Set<LayerKind> = [
    "lamina.adaptive_average_pool", "lamina.adaptive_max_pool", "lamina.average_pool",
    "lamina.global_average_pool", "lamina.global_max_pool", "lamina.max_pool", "lamina.min_pool",
  ]

  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices {
      let node = graph.node(index)
      guard Self.kinds.contains(node.definition.kind) || Self.isTrivialPool(node, graph),
        node.outputs.dropFirst().allSatisfy({
          graph.consumers(of: $0).isEmpty && !graph.isRequested($0)
        }), graph.bypass(index, with: node.inputs[0])
      else { continue }
      changes.append("\(node.name)")
    }
    return changes
  }

  /// Adaptive and global pools of a map to its own extents, and windows of 1×1 at every position.
  private static func isTrivialPool(_ node: Graph.Node, _ graph: RewritableGraph) -> Bool {
    pools.contains(node.definition.kind)
      && graph.inference[node.outputs[0]].shape == graph.inference[node.inputs[0]].shape
      && node.layer.window?.kernel.allSatisfy { $0 == 1 } ?? true
  }
}
