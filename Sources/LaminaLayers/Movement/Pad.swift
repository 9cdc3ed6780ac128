import LaminaCore

/// y = x with elements added at (or, for negative numbers, taken from) both ends of axes.
///
/// `mode`: "constant" adds `value` (0), "edge" the outermost element, "reflect" x mirrored at its outermost
/// element, "wrap" x repeated; what is taken away goes first. `pads` [begins…, ends…] on all axes or on
/// `axes`. All are attributes; pads, value and axes may be the inputs 2 to 4, where one without elements
/// counts as absent.
package struct Pad: MovementLayer {
  enum Mode: String, Sendable, CaseIterable { case constant, reflect, edge, wrap }

  package static let kind: LayerKind = "lamina.pad"
  package static var arity: ClosedRange<Int> { 1...4 }
  let pads: [Int]?
  let axes: [Int]?
  let mode: Mode
  let value: Number

  package init(attributes: inout AttributeReader) throws {
    pads = try attributes.optionalInts("pads")
    axes = try attributes.optionalInts("axes")
    mode = try attributes.choice("mode", default: .constant)
    value = try attributes.number("value", default: .int(0))
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("pads", pads)
    attributes.ints("axes", axes)
    if mode != .constant { attributes.choice("mode", mode) }
    if value != .int(0) { attributes.number("value", value) }
  }

  /// Elements added before and behind each axis.
  private func amounts(_ inputs: [TensorSpec]) throws -> [(begin: Int, end: Int)] {
    let shape = inputs[0].shape
    let pads = try requiredInts("pads", attribute: pads, input: 1, of: inputs)
    let listed = try plannedInts("axes", attribute: axes, input: 3, of: inputs)
    let axes = try shape.distinctAxes(
      listed.flatMap { $0.isEmpty ? nil : $0 } ?? Array(0..<shape.rank))
    guard pads.count == 2 * axes.count else {
      throw LaminaError(
        .shape, "expected \(2 * axes.count) 'pads' for \(axes.count) axes, found \(pads.count)")
    }
    if inputs.count > 2, inputs[2].shape.count > 0 {
      guard inputs[2].shape.count == 1, inputs[2].type == inputs[0].type else {
        throw LaminaError(
          .shape, "expected one \(inputs[0].type.rawValue) number for 'value', found \(inputs[2])")
      }
    }
    var amounts = shape.dimensions.map { _ in (begin: 0, end: 0) }
    for (index, axis) in axes.enumerated() {
      let amount = (begin: pads[index], end: pads[index + axes.count])
      let cropped = -min(amount.begin, 0) - min(amount.end, 0)
      guard cropped <= shape[axis] else {
        throw LaminaError(
          .shape,
          "expected to crop at most \(shape[axis]) elements on axis \(axis), found \(cropped)")
      }
      guard mode == .constant || cropped < shape[axis] || (amount.begin <= 0 && amount.end <= 0)
      else {
        throw LaminaError(
          .shape, "expected elements on axis \(axis) for mode '\(mode.rawValue)', found none")
      }
      amounts[axis] = amount
    }
    return amounts
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let extents = zip(inputs[0].shape.dimensions, try amounts(inputs)).map {
      $0 + $1.begin + $1.end
    }
    return [TensorSpec(try Shape(extents), inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let shape = inputs[0].shape
    let tables = zip(shape.dimensions, try amounts(inputs)).map { extent, amount in
      let first = -min(amount.begin, 0)
      let count = extent - first + min(amount.end, 0)
      return (-max(amount.begin, 0)..<count + max(amount.end, 0)).map { position in
        Int32(truncatingIfNeeded: source(of: position, count: count).map { $0 + first } ?? -1)
      }
    }
    let hasValue = inputs.count > 2 && inputs[2].shape.count > 0
    return IndexedCopy(
      tables, shape: shape, type: inputs[0].type, fill: hasValue ? .input(2) : .number(value))
  }

  /// The element that stands at `position` of an axis of `count` elements; nil for the constant.
  private func source(of position: Int, count: Int) -> Int? {
    if (0..<count).contains(position) { return position }
    func modulo(_ period: Int) -> Int {
      let rest = position % period
      return rest < 0 ? rest + period : rest
    }
    switch mode {
    case .constant: return nil
    case .edge: return min(max(position, 0), count - 1)
    case .wrap: return modulo(count)
    case .reflect:
      guard count > 1 else { return 0 }
      let period = 2 * (count - 1)
      let phase = modulo(period)
      return min(phase, period - phase)
    }
  }
}
