import LaminaCore

/// y[n, c, h·b + i, w·b + j] = x[n, d, h, w] with b = `block_size` and
/// d = (i·b + j)·C/b² + c for `mode` "dcr" (the default), c·b² + i·b + j for "crd".
///
/// - Input: [N, C, H, W], C a multiple of b². Output: [N, C/b², H·b, W·b].
package struct DepthToSpace: MovementLayer {
  enum Mode: String, Sendable, CaseIterable { case dcr, crd }

  package static let kind: LayerKind = "lamina.depth_to_space"
  let blockSize: Int
  let mode: Mode

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
    guard shape.rank == 4, shape[1] % (blockSize * blockSize) == 0 else {
      throw LaminaError(
        .shape,
        "expected [N, C, H, W] with C a multiple of \(blockSize * blockSize), found \(shape)")
    }
    let output = try Shape([
      shape[0], shape[1] / (blockSize * blockSize), shape[2] * blockSize, shape[3] * blockSize,
    ])
    return [TensorSpec(output, inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let output = try outputs(for: inputs)[0]
    let (b, x, y) = (blockSize, inputs[0].shape.strides, output.shape.strides)
    let channels = output.shape[1]
    let (channel, row, column) =
      mode == .dcr ? (x[1], b * channels * x[1], channels * x[1]) : (b * b * x[1], b * x[1], x[1])
    let (height, width) = (inputs[0].shape[2], inputs[0].shape[3])
    return StridedCopies([
      StridedCopy(
        type: output.type, extents: [output.shape[0], channels, height, b, width, b],
        sourceStrides: [x[0], channel, x[2], row, x[3], column],
        targetStrides: [y[0], y[1], b * y[2], y[2], b * y[3], y[3]])
    ])
  }
}
