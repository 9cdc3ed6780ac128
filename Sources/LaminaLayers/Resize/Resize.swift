import LaminaCore

/// y = x sampled on another grid along `axes` (all): `mode` "nearest" (the default), "linear" or "cubic",
/// separable over the axes, by the rules of ONNX's Resize up to opset 19.
///
/// `scales` or `sizes` state the grid, `roi` [starts…, ends…] what "tf_crop_and_resize" crops; attributes, or
/// the inputs 2 (roi), 3 (scales) and 4 (sizes), known when planning, where one without elements counts as
/// absent. With `sizes`, `aspect` "not_larger" and "not_smaller" keep the ratio of the axes.
///
/// - Input: x, any type for "nearest", else `float32`. Output: ⌊extent·scale⌋, or the sizes.
package struct Resize: MovementLayer {
  enum Mode: String, Sendable, CaseIterable { case nearest, linear, cubic }

  enum Aspect: String, Sendable, CaseIterable {
    case stretch
    case notLarger = "not_larger"
    case notSmaller = "not_smaller"
  }

  package static let kind: LayerKind = "lamina.resize"
  package static var arity: ClosedRange<Int> { 1...4 }
  let mode: Mode
  let sampling: AxisSampling.Options
  let extrapolation: Float
  let aspect: Aspect
  let axes: [Int]?
  let scales: [Float]?
  let sizes: [Int]?
  let roi: [Float]?

  package init(attributes: inout AttributeReader) throws {
    mode = try attributes.choice("mode", default: .nearest)
    sampling = try AxisSampling.Options(attributes: &attributes)
    extrapolation = try attributes.float("extrapolation_value", default: 0)
    aspect = try attributes.choice("aspect", default: .stretch)
    axes = try attributes.optionalInts("axes")
    scales = try attributes.optionalFloats("scales")
    sizes = try attributes.optionalInts("sizes", in: 0...Shape.maximumExtent)
    roi = try attributes.optionalFloats("roi")
    guard scales == nil || sizes == nil else {
      throw LaminaError(.graph, "expected 'scales' or 'sizes', found both")
    }
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.choice("mode", mode)
    sampling.encode(into: &attributes)
    if extrapolation != 0 { attributes.float("extrapolation_value", extrapolation) }
    if aspect != .stretch { attributes.choice("aspect", aspect) }
    attributes.ints("axes", axes)
    if let scales { attributes.floats("scales", scales) }
    attributes.ints("sizes", sizes)
    if let roi { attributes.floats("roi", roi) }
  }

  // MARK: Grid

  /// The new extent and the scale of every axis, and the cropped section as fractions of it.
  private struct Grid {
    var extents: [Int]
    var scales: [Double]
    var sections: [(start: Double, end: Double)]
  }

  private func grid(_ inputs: [TensorSpec]) throws -> Grid {
    let shape = inputs[0].shape
    func isGiven(_ index: Int) -> Bool { index < inputs.count && inputs[index].shape.count > 0 }
    let axes = try shape.distinctAxes(axes ?? Array(0..<shape.rank))
    let scales =
      try isGiven(2) ? plannedFloats("scales", attribute: scales, input: 2, of: inputs) : scales
    let sizes =
      try isGiven(3)
      ? plannedInts("sizes", attribute: sizes, input: 3, of: inputs, in: 0...Shape.maximumExtent)
      : sizes
    let roi = try isGiven(1) ? plannedFloats("roi", attribute: roi, input: 1, of: inputs) : roi
    guard (scales == nil) != (sizes == nil) else {
      throw LaminaError(
        .shape, "expected 'scales' or 'sizes', found \(scales == nil ? "neither" : "both")")
    }
    func check(_ name: String, _ found: Int?, _ expected: Int) throws {
      if let found, found != expected {
        throw LaminaError(
          .shape, "expected \(expected) '\(name)' for \(axes.count) axes, found \(found)")
      }
    }
    try check("scales", scales?.count, axes.count)
    try check("sizes", sizes?.count, axes.count)
    var grid = Grid(
      extents: shape.dimensions, scales: shape.dimensions.map { _ in 1 },
      sections: shape.dimensions.map { _ in (0, 1) })
    if sampling.coordinates == .tfCropAndResize {
      guard let roi else {
        throw LaminaError(.shape, "expected 'roi' for 'tf_crop_and_resize', found none")
      }
      try check("roi", roi.count, 2 * axes.count)
      guard roi.allSatisfy(\.isFinite) else {
        throw LaminaError(.shape, "expected finite numbers for 'roi', found \(roi)")
      }
      for (index, axis) in axes.enumerated() {
        grid.sections[axis] = (Double(roi[index]), Double(roi[index + axes.count]))
      }
    }
    if let scales {
      for (scale, axis) in zip(scales, axes) {
        guard scale > 0, scale.isFinite else {
          throw LaminaError(.shape, "expected finite scales above 0, found \(scale)")
        }
        grid.scales[axis] = Double(scale)
        grid.extents[axis] = try extent(Double(shape[axis]) * Double(scale), axis)
      }
    } else if let sizes {
      for (size, axis) in zip(sizes, axes) {
        guard shape[axis] > 0 || size == 0 else {
          throw LaminaError(.shape, "expected elements on axis \(axis) to resize, found none")
        }
        grid.extents[axis] = size
        grid.scales[axis] = shape[axis] == 0 ? 1 : Double(size) / Double(shape[axis])
      }
      let candidates = axes.map { grid.scales[$0] }
      if aspect != .stretch,
        let scale = aspect == .notLarger ? candidates.min() : candidates.max()
      {
        for axis in axes {
          grid.scales[axis] = scale
          grid.extents[axis] = try extent(Double(shape[axis]) * scale + 0.5, axis)
        }
      }
    }
    return grid
  }

  private func extent(_ number: Double, _ axis: Int) throws -> Int {
    guard number < Double(Shape.maximumExtent) + 1 else {
      throw LaminaError(
        .shape,
        "expected an extent of at most \(Shape.maximumExtent) on axis \(axis), found \(number)")
    }
    return Int(number)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    guard mode == .nearest || inputs[0].type == .float32 else {
      throw LaminaError(
        .shape, "expected float32 for mode '\(mode.rawValue)', found \(inputs[0].type.rawValue)")
    }
    return [TensorSpec(try Shape(grid(inputs).extents), inputs[0].type)]
  }

  // MARK: Running

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let (shape, grid) = (inputs[0].shape, try grid(inputs))
    let samplings = shape.dimensions.indices.map { axis in
      AxisSampling(
        sampling, extent: shape[axis], newExtent: grid.extents[axis], scale: grid.scales[axis],
        section: grid.sections[axis])
    }
    guard try Shape(grid.extents).count > 0, mode != .nearest else {
      return IndexedCopy(
        samplings.map { $0.nearest() }, shape: shape, type: inputs[0].type,
        fill: .number(.float(extrapolation)))
    }
    return SeparableFilter(
      shape, filters: samplings.map { $0.isIdentity ? nil : $0.filter(isCubic: mode == .cubic) },
      outside: samplings.map { $0.outside() }, extrapolation: extrapolation)
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    (try? movement(for: inputs).scratchBytes) ?? 0
  }
}

/// Numbers that a node states as an attribute, or as a `float32` or `float64` input whose value must be known
/// when planning.
private func plannedFloats(
  _ name: String, attribute: [Float]?, input index: Int, of inputs: [TensorSpec]
) throws -> [Float]? {
  guard attribute == nil else {
    throw LaminaError(.graph, "expected '\(name)' as an attribute or as an input, found both")
  }
  let value = try plannedValue(name, input: index, of: inputs)
  switch value.type {
  case .float32: return value.elements(as: Float.self)
  case .float64: return value.elements(as: Double.self).map { Float($0) }
  default:
    throw LaminaError(
      .shape, "expected float32 or float64 for '\(name)', found \(value.type.rawValue)")
  }
}

extension AttributeReader {
  /// Numbers, or nil where the attribute is absent.
  fileprivate mutating func optionalFloats(_ name: String) throws -> [Float]? {
    try value(name) == nil ? nil : floats(name)
  }
}
