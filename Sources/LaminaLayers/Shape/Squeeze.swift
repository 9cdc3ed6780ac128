import LaminaCore

/// y = x without axes of extent 1: those in `axes`, an attribute or the second input, else all of them.
package struct Squeeze: Layer {
  package static let kind: LayerKind = "lamina.squeeze"
  package static var arity: ClosedRange<Int> { 1...2 }
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let axes: [Int]?

  package init(attributes: inout AttributeReader) throws {
    axes = try attributes.optionalInts("axes")
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.ints("axes", axes) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = inputs[0].shape
    let axes = try plannedInts("axes", attribute: axes, input: 1, of: inputs)
    let removed =
      try axes.map { try shape.distinctAxes($0) }
      ?? shape.dimensions.indices.filter { shape[$0] == 1 }
    if let axis = removed.first(where: { shape[$0] != 1 }) {
      throw LaminaError(
        .shape, "expected extent 1 on axis \(axis) to squeeze, found shape \(shape)")
    }
    let kept = shape.dimensions.indices.filter { !removed.contains($0) }
    return [TensorSpec(try Shape(kept.map { shape[$0] }), inputs[0].type)]
  }

  package func forward(_ call: ForwardCall) throws { call.copyFirstInput() }

  package func backward(_ call: BackwardCall) throws { call.addFirstGradient() }
}
