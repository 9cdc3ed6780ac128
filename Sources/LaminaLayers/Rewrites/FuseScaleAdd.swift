import LaminaCore

/// `s·x + r` with a number s for each channel becomes one pass: the end of a squeeze-and-excitation block.
struct FuseScaleAdd: GraphRewrite {
  let name = "fuse-scale-add"
  let level = OptimizationLevel.full

  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices {
      let node = graph.node(index)
      guard node.definition.kind == "lamina.mul", node.inputs.count == 2,
        let next = graph.soleConsumer(of: node.outputs[0])
      else { continue }
      let sum = graph.node(next)
      guard sum.definition.kind == "lamina.add", sum.inputs.count == 2,
        let residual = sum.inputs.first(where: { $0 != node.outputs[0] }),
        let inputs = [node.inputs, node.inputs.reversed()].first(where: {
          fits($0 + [residual], graph)
        })
      else { continue }
      var attributes = AttributeReader([:])
      graph.replaceLayer(
        of: index, with: try ScaleAdd(attributes: &attributes), inputs: inputs + [residual])
      changes.append("\(sum.name) into \(node.name)")
      graph.absorb(next, into: index)
    }
    return changes
  }

  /// Whether the values are what `ScaleAdd` takes, none of them constant.
  private func fits(_ values: [ValueID], _ graph: RewritableGraph) -> Bool {
    let specs = values.map { graph.inference[$0] }
    let map = specs[0]
    return map.type == .float32 && map.shape.rank == 4 && specs.allSatisfy { $0.value == nil }
      && specs[1].shape.dimensions == [map.shape[0], map.shape[1], 1, 1]
      && specs[2].shape == map.shape
  }
}
