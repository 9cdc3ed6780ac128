import LaminaCore

/// y = x broadcast with `shape`, an attribute or the second input: extents of 1 on either side stretch.
package struct Expand: MovementLayer {
  package static let kind: LayerKind = "lamina.expand"
  package static var arity: ClosedRange<Int> { 1...2 }
  let shape: [Int]?

  package init(attributes: inout AttributeReader) throws {
    shape = try attributes.optionalInts("shape")
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.ints("shape", shape) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let wanted = try requiredInts("shape", attribute: shape, input: 1, of: inputs)
    return [TensorSpec(try inputs[0].shape.broadcast(with: Shape(wanted)), inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let output = try outputs(for: inputs)[0]
    return StridedCopies([
      StridedCopy(
        type: output.type, extents: output.shape.dimensions,
        sourceStrides: inputs[0].shape.strides(broadcastTo: output.shape),
        targetStrides: output.shape.strides)
    ])
  }
}
