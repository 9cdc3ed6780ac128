import LaminaCore

/// y = x repeated `repeats[k]` times along each axis k.
///
/// - Output: the extents times `repeats`, an attribute or the second input.
package struct Tile: MovementLayer {
  package static let kind: LayerKind = "lamina.tile"
  package static var arity: ClosedRange<Int> { 1...2 }
  let repeats: [Int]?

  package init(attributes: inout AttributeReader) throws {
    repeats = try attributes.optionalInts("repeats", in: 0...Shape.maximumExtent)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("repeats", repeats)
  }

  private func counts(_ inputs: [TensorSpec]) throws -> [Int] {
    let counts = try requiredInts(
      "repeats", attribute: repeats, input: 1, of: inputs, in: 0...Shape.maximumExtent)
    guard counts.count == inputs[0].shape.rank else {
      throw LaminaError(
        .shape,
        "expected \(inputs[0].shape.rank) 'repeats' for input \(inputs[0].shape), found \(counts.count)"
      )
    }
    return counts
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    // Both factors are below 2^31.
    let extents = zip(inputs[0].shape.dimensions, try counts(inputs)).map { $0 * $1 }
    return [TensorSpec(try Shape(extents), inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let (shape, counts) = (inputs[0].shape, try counts(inputs))
    let (source, target) = (shape.strides, try outputs(for: inputs)[0].shape.strides)
    return StridedCopies([
      StridedCopy(
        type: inputs[0].type,
        extents: shape.dimensions.indices.flatMap { [counts[$0], shape[$0]] },
        sourceStrides: source.flatMap { [0, $0] },
        targetStrides: shape.dimensions.indices.flatMap { [shape[$0] * target[$0], target[$0]] })
    ])
  }
}
