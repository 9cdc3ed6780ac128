import LaminaCore
import LaminaKernels

/// A window that slides over the spatial axes of [N, C, …]: kernel, strides, dilations, padding, rounding.
///
/// Output extent: ⌊(input + padding − (dilation·(kernel − 1) + 1)) / stride⌋ + 1. `ceil_mode` rounds up, but leaves
/// out a window that would start in the padding behind the input (PyTorch, ONNX). "same_upper" and "same_lower"
/// give ⌈input/stride⌉, with the odd element of padding behind or before the input.
package struct PoolingGeometry: Sendable {
  enum Padding: Sendable {
    /// Begins of all axes, then ends.
    case explicit([Int])
    case valid, sameUpper, sameLower
  }

  let kernel: [Int]
  let strides: [Int]
  let dilations: [Int]
  let padding: Padding
  let ceilMode: Bool

  /// - Throws: `graph` for a kernel, stride or dilation of 0, negative padding, or lists of wrong lengths.
  init(attributes: inout AttributeReader) throws {
    kernel = try attributes.ints("kernel_size", in: 1...Int(Int32.max))
    guard (1...3).contains(kernel.count) else {
      throw LaminaError(
        .graph, "expected 1 to 3 integers in attribute 'kernel_size', found \(kernel.count)")
    }
    let (count, ones) = (kernel.count, kernel.map { _ in 1 })
    strides = try attributes.ints("strides", count: count, default: ones, in: 1...Int(Int32.max))
    dilations = try attributes.ints("dilations", count: count, default: ones, in: 1...Int(Int32.max))
    switch attributes.value("padding") {
    case .string("valid"): padding = .valid
    case .string("same_upper"): padding = .sameUpper
    case .string("same_lower"): padding = .sameLower
    case .string(let text):
      throw LaminaError(
        .graph,
        "expected attribute 'padding' to be integers, valid, same_upper or same_lower, found "
          + "'\(text.escapedForDisplay())'")
    default:
      let pads = try attributes.ints(
        "padding", count: 2 * count, default: [Int](repeating: 0, count: 2 * count),
        in: 0...Int(Int32.max))
      let extents = zip(kernel, dilations).map { ($0 - 1) * $1 + 1 }
      for (i, pad) in pads.enumerated() where pad >= extents[i % count] {
        throw LaminaError(
          .graph, "expected padding below the window's extent \(extents[i % count]), found \(pad)")
      }
      padding = .explicit(pads)
    }
    ceilMode = try attributes.bool("ceil_mode", default: false)
  }

  func encode(into attributes: inout AttributeWriter) {
    attributes.ints("kernel_size", kernel)
    attributes.ints("strides", strides)
    attributes.ints("dilations", dilations)
    switch padding {
    case .explicit(let pads): attributes.ints("padding", pads)
    case .valid: attributes.string("padding", "valid")
    case .sameUpper: attributes.string("padding", "same_upper")
    case .sameLower: attributes.string("padding", "same_lower")
    }
    attributes.bool("ceil_mode", ceilMode)
  }

  var window: Window { Window(kernel: kernel, stride: strides, dilation: dilations) }

  /// The window along depth, height and width; axes that the input lacks are trivial.
  ///
  /// - Throws: `shape` for another number of axes, an empty map, or a window larger than the padded input.
  func axes(for input: Shape) throws -> [lk_window_axis] {
    try input.expectMap(spatialAxes: kernel.count)
    let spatial = try kernel.indices.map { i in
      let (extent, reach) = (input[i + 2], (kernel[i] - 1) * dilations[i] + 1)
      var (before, after) = (0, 0)
      var output = (extent + strides[i] - 1) / strides[i]
      let total = max((output - 1) * strides[i] + reach - extent, 0)
      switch padding {
      case .sameUpper: (before, after) = (total / 2, total - total / 2)
      case .sameLower: (before, after) = (total - total / 2, total / 2)
      case .explicit(let pads): (before, after) = (pads[i], pads[i + kernel.count])
      case .valid: break
      }
      let room = extent + before + after - reach
      guard room >= 0 else {
        throw LaminaError(
          .shape,
          "expected a window within the padded extent \(extent + before + after) of axis \(i + 2), "
            + "found extent \(reach)")
      }
      switch padding {
      case .sameUpper, .sameLower: break
      case .explicit, .valid:
        output = (room + (ceilMode ? strides[i] - 1 : 0)) / strides[i] + 1
        if ceilMode, (output - 1) * strides[i] >= extent + before { output -= 1 }
      }
      return lk_window_axis(
        input: extent, output: output, kernel: kernel[i], stride: strides[i],
        dilation: dilations[i], before: before, after: after)
    }
    let trivial = lk_window_axis(
      input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0)
    return [lk_window_axis](repeating: trivial, count: 3 - spatial.count) + spatial
  }

  func outputShape(for input: Shape) throws -> Shape {
    let outputs = try axes(for: input).suffix(kernel.count).map(\.output)
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
