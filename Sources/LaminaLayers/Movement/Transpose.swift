import LaminaCore

/// y[i_{p₀}, i_{p₁}, …] = x[i₀, i₁, …] for the permutation p, by default the reverse of the axes.
///
/// - Output: axis k has the extent of the input's axis `permutation[k]`.
package struct Transpose: MovementLayer {
  package static let kind: LayerKind = "lamina.transpose"
  let permutation: [Int]?

  package init(attributes: inout AttributeReader) throws {
    permutation = try attributes.optionalInts("permutation")
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("permutation", permutation)
  }

  private func axes(of shape: Shape) throws -> [Int] {
    guard let permutation else { return shape.dimensions.indices.reversed() }
    guard permutation.sorted() == Array(0..<shape.rank) else {
      throw LaminaError(
        .shape, "expected a permutation of the \(shape.rank) axes of \(shape), found \(permutation)"
      )
    }
    return permutation
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = inputs[0].shape
    return [TensorSpec(try Shape(axes(of: shape).map { shape[$0] }), inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let output = try outputs(for: inputs)[0]
    let strides = inputs[0].shape.strides
    return StridedCopies([
      StridedCopy(
        type: output.type, extents: output.shape.dimensions,
        sourceStrides: try axes(of: inputs[0].shape).map { strides[$0] },
        targetStrides: output.shape.strides)
    ])
  }
}
