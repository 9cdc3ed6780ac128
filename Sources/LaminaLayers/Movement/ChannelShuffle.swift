import LaminaCore

/// y[n, c·g + k, …] = x[n, k·C/g + c, …] with g = `groups`: channels of all groups interleaved
/// (ShuffleNet, Zhang et al. 2018).
///
/// - Input: [N, C, …], C a multiple of g. Output: the same shape.
package struct ChannelShuffle: MovementLayer {
  package static let kind: LayerKind = "lamina.channel_shuffle"
  let groups: Int

  package init(attributes: inout AttributeReader) throws {
    groups = try attributes.int("groups", in: 1...Shape.maximumExtent)
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.int("groups", groups) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = inputs[0].shape
    guard shape.rank >= 2, shape[1] % groups == 0 else {
      throw LaminaError(
        .shape, "expected [N, C, …] with C a multiple of \(groups), found \(shape)")
    }
    return [TensorSpec(shape, inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let shape = inputs[0].shape
    let (plane, perGroup) = (shape.strides[1], shape[1] / groups)
    return StridedCopies([
      StridedCopy(
        type: inputs[0].type, extents: [shape[0], perGroup, groups, plane],
        sourceStrides: [shape[1] * plane, plane, perGroup * plane, 1],
        targetStrides: [shape[1] * plane, groups * plane, plane, 1])
    ])
  }
}
