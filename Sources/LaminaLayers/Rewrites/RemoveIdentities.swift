import LaminaCore

/// `x → identity → y` becomes `x → y`: dropout and identity do nothing in inference.
struct RemoveIdentities: GraphRewrite {
  let name = "remove-identities"
  let level = OptimizationLevel.basic
  private static let kinds: Set<LayerKind> = ["lamina.dropout", "lamina.identity"]

  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices {
      let node = graph.node(index)
      guard Self.kinds.contains(node.definition.kind),
        node.outputs.dropFirst().allSatisfy({
          graph.consumers(of: $0).isEmpty && !graph.isRequested($0)
        }), graph.bypass(index, with: node.inputs[0])
      else { continue }
      changes.append("\(node.name)")
    }
    return changes
  }
}
