import LaminaCore

/// `relu(conv(x))` and `clip(conv(x))` become one convolution that bounds its results in the epilogue, and a scaled sum
/// likewise.
struct FuseActivation: GraphRewrite {
  let name = "fuse-activation"
  let level = OptimizationLevel.full
  private static let kinds: Set<LayerKind> = ["lamina.conv2d", "lamina.scale_add"]

  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices {
      let node = graph.node(index)
      var attributes = node.attributes
      guard Self.kinds.contains(node.definition.kind), attributes["activation"] ?? "none" == "none",
        let next = graph.soleConsumer(of: node.outputs[0]),
        graph.node(next).inputs == [node.outputs[0]]
      else { continue }
      let activation = graph.node(next)
      switch activation.definition.kind {
      case "lamina.relu": attributes["activation"] = "relu"
      case "lamina.clip":
        attributes["activation"] = "clip"
        attributes["activation_min"] = activation.attributes["min"]
        attributes["activation_max"] = activation.attributes["max"]
      default: continue
      }
      try graph.remakeLayer(of: index, attributes: attributes)
      changes.append("\(activation.name) into \(node.name)")
      graph.absorb(next, into: index)
    }
    return changes
  }
}
