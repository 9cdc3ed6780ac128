import LaminaCore

/// `conv(x) + r` becomes one convolution that adds `r` in its epilogue.
struct FuseResidual: GraphRewrite {
  let name = "fuse-residual"
  let level = OptimizationLevel.full

  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices.reversed() {
      let node = graph.node(index)
      guard node.definition.kind == "lamina.conv2d",
        let next = graph.soleConsumer(of: node.outputs[0])
      else { continue }
      let sum = graph.node(next)
      var attributes = node.attributes
      guard sum.definition.kind == "lamina.add", sum.inputs.count == 2,
        attributes["activation"] ?? "none" == "none", attributes["residual"] != true,
        let residual = sum.inputs.first(where: { $0 != node.outputs[0] }),
        graph.inference[residual] == graph.inference[node.outputs[0]],
        graph.inference[residual].value == nil
      else { continue }
      attributes["residual"] = true
      try graph.remakeLayer(of: index, attributes: attributes, inputs: node.inputs + [residual])
      changes.append("\(sum.name) into \(node.name)")
      graph.absorb(next, into: index)
    }
    return changes
  }
}
