import LaminaCore

/// y[n, d, h, w] = x[n, c, h·b + i, w·b + j] with b = `block_size` and
/// d = (i·b + j)·C + c for `mode` "dcr" (the default), c·b² + i·b + j for "crd".
///
/// - Input: [N, C, H, W], H and W multiples of b. Output: [N, C·b², H/b, W/b].
package struct SpaceToDepth: MovementLayer {
  package static let kind: LayerKind = "lamina.space_to_depth"
  let blockSize: Int
  let mode: DepthToSpace.Mode

  package init(attributes: inout AttributeReader) throws {
    blockSize = try attributes.int("block_size", in: 1...32_768)
    mode = try attributes.choice("mode", default: .dcr)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.int("block_size", blockSize)
    if mode != .dcr { attributes.choice("mode", mode) }
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = inputs[0].shape
    guard shape.rank == 4, shape[2] % blockSize == 0, shape[3] % blockSize == 0 else {
      throw LaminaError(
        .shape, "expected [N, C, H, W] with H and W multiples of \(blockSize), found \(shape)")
    }
    let output = try Shape([
      shape[0], shape[1] * blockSize * blockSize, shape[2] / blockSize, shape[3] / blockSize,
    ])
    return [TensorSpec(output, inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let output = try outputs(for: inputs)[0]
    let (b, shape, x) = (blockSize, inputs[0].shape, inputs[0].shape.strides)
    let (height, width) = (output.shape[2], output.shape[3])
    let blocks = [(b, x[2]), (b, x[3])]
    let channels = [(shape[1], x[1])]
    let axes =
      [(shape[0], x[0])] + (mode == .dcr ? blocks + channels : channels + blocks)
      + [(height, b * x[2]), (width, b * x[3])]
    let extents = axes.map(\.0)
    return StridedCopies([
      StridedCopy(
        type: output.type, extents: extents,
        sourceStrides: axes.map(\.1),
        targetStrides: try Shape(extents).strides)
    ])
  }
}
