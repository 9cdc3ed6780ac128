import LaminaCore

/// `γ (w·x + b − μ) / √(σ² + ε) + β = w'·x + b'` with `w' = w γ / √(σ² + ε)` and `b' = (b − μ) γ / √(σ² + ε) + β`:
/// a batch norm behind a convolution or dense layer becomes part of its weights.
struct FoldBatchNorm: GraphRewrite {
  let name = "fold-batch-norm"
  let level = OptimizationLevel.full
  private static let kinds: Set<LayerKind> = ["lamina.conv", "lamina.conv2d", "lamina.dense"]

  func apply(to graph: inout RewritableGraph) throws -> [String] {
    var changes: [String] = []
    for index in graph.nodeIndices {
      let node = graph.node(index)
      guard Self.kinds.contains(node.definition.kind),
        let next = graph.soleConsumer(of: node.outputs[0]),
        graph.node(next).definition.kind == "lamina.batch_norm",
        graph.node(next).inputs == [node.outputs[0]],
        graph.inference[node.outputs[0]].shape.rank >= 2,
        let weight = graph.parameter("weight", of: index),
        let affine = try Affine(graph, next), affine.scale.count == weight.shape[0]
      else { continue }
      var attributes = node.attributes
      guard attributes["activation"] ?? "none" == "none", attributes["residual"] != true else {
        continue
      }
      let hasBias = attributes["bias"] ?? true == true
      var bias = [Float](repeating: 0, count: affine.scale.count)
      if hasBias {
        guard let constant = graph.parameter("bias", of: index) else { continue }
        bias = constant.elements()
      }
      let folded = try Tensor(copying: weight.view)
      let taps = weight.shape.count / max(affine.scale.count, 1)
      folded.withMutableElements(of: Float.self) { elements in
        for i in elements.indices {
          elements[i] = Float(Double(elements[i]) * affine.scale[i / taps])
        }
      }
      for i in bias.indices {
        bias[i] = Float(Double(bias[i]) * affine.scale[i] + affine.shift[i])
      }
      if !hasBias {
        attributes["bias"] = true
        try graph.remakeLayer(of: index, attributes: attributes)
      }
      graph.setParameter("weight", of: index, to: folded)
      graph.setParameter("bias", of: index, to: try Tensor(try Shape([bias.count]), bias))
      changes.append("\(graph.node(next).name) into \(node.name)")
      graph.absorb(next, into: index)
    }
    return changes
  }

  /// A batch norm with constant statistics as `scale · x + shift` per channel.
  private struct Affine {
    var scale: [Double]
    var shift: [Double]

    init?(_ graph: RewritableGraph, _ index: Int) throws {
      let attributes = graph.node(index).attributes
      func values(_ name: String) -> [Double]? {
        graph.parameter(name, of: index).map { $0.elements(as: Float.self).map(Double.init) }
      }
      var reader = AttributeReader(attributes)
      let epsilon = Double(try reader.float("epsilon", default: 1e-5))
      guard let mean = values("running_mean"), let variance = values("running_var") else {
        return nil
      }
      var gamma = [Double](repeating: 1, count: mean.count)
      var beta = [Double](repeating: 0, count: mean.count)
      if try reader.bool("scale", default: true) {
        guard let weight = values("weight") else { return nil }
        gamma = weight
      }
      if try reader.bool("center", default: true) {
        guard let bias = values("bias") else { return nil }
        beta = bias
      }
      scale = zip(gamma, variance).map { $0 / ($1 + epsilon).squareRoot() }
      shift = zip(zip(beta, mean), scale).map { $0.0 - $0.1 * $1 }
    }
  }
}
