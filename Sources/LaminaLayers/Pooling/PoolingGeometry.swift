import LaminaCore
import LaminaKernels

/// A window that slides over the spatial axes of [N, C, …].
///
/// Output extent: ⌊(input + padding − (dilation·(kernel − 1) + 1)) / stride⌋ + 1. `ceil_mode` rounds up, but leaves
/// out a window that would start in the padding behind the input (PyTorch, ONNX). "same_upper" and "same_lower"
/// give ⌈input/stride⌉, with the odd element of padding behind or before the input.
struct PoolingGeometry: Sendable {
  private let spatial: SpatialWindow
  private let ceilMode: Bool

  /// - Throws: `graph` for what `SpatialWindow` refuses, and for padding that could hold a whole window.
  init(attributes: inout AttributeReader) throws {
    spatial = try SpatialWindow(attributes: &attributes)
    ceilMode = try attributes.bool("ceil_mode", default: false)
    guard case .explicit(let pads) = spatial.padding else { return }
    for (pad, span) in zip(pads, spatial.spans + spatial.spans) where pad >= span {
      throw LaminaError(.graph, "expected padding below the window's extent \(span), found \(pad)")
    }
  }

  func encode(into attributes: inout AttributeWriter) {
    spatial.encode(into: &attributes)
    if ceilMode { attributes.bool("ceil_mode", true) }
  }

  var window: Window { spatial.described(roundsUp: ceilMode) }

  /// The window along depth, height and width; axes that the input lacks are trivial.
  ///
  /// - Throws: `shape` for another number of axes, an empty map, or a window larger than the padded input.
  func axes(for input: Shape) throws -> [lk_window_axis] {
    try input.expectMap(spatialAxes: spatial.rank)
    let extents = Array(input.dimensions[2...])
    let (begins, outputs) = try spatial.resolve(extents)
    let axes = extents.indices.map { i in
      let (extent, stride, span) = (extents[i], spatial.strides[i], spatial.spans[i])
      var (output, after) = (outputs[i], 0)
      switch spatial.padding {
      case .explicit(let pads): after = pads[i + spatial.rank]
      case .automatic(.valid): break
      case .automatic: after = max(0, (output - 1) * stride + span - extent) - begins[i]
      }
      if ceilMode {
        let padded = begins[i] + extent + after
        output = (padded - span + stride - 1) / stride + 1
        if (output - 1) * stride >= begins[i] + extent { output -= 1 }
      }
      return lk_window_axis(
        input: extent, output: output, kernel: spatial.kernel[i], stride: stride,
        dilation: spatial.dilations[i], before: begins[i], after: after)
    }
    let trivial = lk_window_axis(
      input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0)
    return [lk_window_axis](repeating: trivial, count: 3 - axes.count) + axes
  }

  func outputShape(for input: Shape) throws -> Shape {
    let outputs = try axes(for: input).suffix(spatial.rank).map(\.output)
    return try Shape(input.dimensions.prefix(2) + outputs)
  }
}

extension Shape {
  /// - Throws: `shape` unless this is [N, C, …] with so many spatial axes, none of them empty.
  func expectMap(spatialAxes: Int) throws {
    guard rank == spatialAxes + 2 else {
      throw LaminaError(.shape, "expected \(spatialAxes + 2) axes, found \(self)")
    }
    try expectNonEmptyMap()
  }

  /// - Throws: `shape` unless this is [N, C, …] with 1 to 3 spatial axes, none of them empty.
  func expectMap() throws {
    guard (3...5).contains(rank) else {
      throw LaminaError(.shape, "expected 3 to 5 axes, found \(self)")
    }
    try expectNonEmptyMap()
  }

  private func expectNonEmptyMap() throws {
    guard !dimensions[2...].contains(0) else {
      throw LaminaError(.shape, "expected spatial extents above 0, found \(self)")
    }
  }

  /// Depth, height and width of [N, C, …], 1 where they lack.
  var spatial: [Int] {
    [Int](repeating: 1, count: max(5 - rank, 0)) + dimensions.dropFirst(2)
  }

  /// N·C.
  var planes: Int { self[0] * self[1] }
}
