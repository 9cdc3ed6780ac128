import LaminaCore

/// y = x[start : end : step] on some axes, by NumPy's rules: negative positions count from the end, positions
/// beyond the ends are clamped, a negative step walks backwards.
///
/// `starts`, `ends`, `axes` (the first ones) and `steps` (1) are attributes or the inputs 2 to 5; an input
/// without elements counts as absent.
package struct Slice: MovementLayer {
  package static let kind: LayerKind = "lamina.slice"
  package static var arity: ClosedRange<Int> { 1...5 }
  private static let anyInt = Int.min...Int.max
  let starts: [Int]?
  let ends: [Int]?
  let axes: [Int]?
  let steps: [Int]?

  package init(attributes: inout AttributeReader) throws {
    starts = try attributes.optionalInts("starts", in: Self.anyInt)
    ends = try attributes.optionalInts("ends", in: Self.anyInt)
    axes = try attributes.optionalInts("axes")
    steps = try attributes.optionalInts("steps", in: Self.anyInt)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("starts", starts)
    attributes.ints("ends", ends)
    attributes.ints("axes", axes)
    attributes.ints("steps", steps)
  }

  /// What is taken of one axis.
  private struct Section {
    var start = 0
    var step = 1
    var count: Int

    init(count: Int) { self.count = count }

    init(start: Int, end: Int, step: Int, extent: Int) {
      func position(_ index: Int, _ range: ClosedRange<Int>) -> Int {
        let resolved = index < 0 ? index + extent : index
        return min(max(resolved, range.lowerBound), range.upperBound)
      }
      // A step beyond the extent takes one element, whatever its size.
      let stride = min(max(step, -max(extent, 1)), max(extent, 1))
      if stride > 0 {
        let (first, last) = (position(start, 0...extent), position(end, 0...extent))
        self.start = first
        count = last > first ? (last - first - 1) / stride + 1 : 0
      } else {
        let bounds = -1...max(extent - 1, -1)
        let (first, last) = (position(start, bounds), position(end, bounds))
        self.start = max(first, 0)
        count = first > last ? (first - last - 1) / -stride + 1 : 0
      }
      self.step = stride
    }
  }

  private func sections(of inputs: [TensorSpec]) throws -> [Section] {
    let shape = inputs[0].shape
    let starts = try requiredInts(
      "starts", attribute: starts, input: 1, of: inputs, in: Self.anyInt)
    let ends = try requiredInts("ends", attribute: ends, input: 2, of: inputs, in: Self.anyInt)
    let leading = Array(0..<starts.count)
    let axes = try plannedInts("axes", attribute: axes, input: 3, of: inputs)
    let steps = try plannedInts("steps", attribute: steps, input: 4, of: inputs, in: Self.anyInt)
    let listed = axes.flatMap { $0.isEmpty ? nil : $0 } ?? leading
    let strides = steps.flatMap { $0.isEmpty ? nil : $0 } ?? leading.map { _ in 1 }
    for (name, list) in [("ends", ends), ("axes", listed), ("steps", strides)] {
      guard list.count == starts.count else {
        throw LaminaError(
          .shape, "expected as many '\(name)' as 'starts' (\(starts.count)), found \(list.count)")
      }
    }
    let resolved = try shape.distinctAxes(listed)
    var sections = shape.dimensions.map { Section(count: $0) }
    for (index, axis) in resolved.enumerated() {
      guard strides[index] != 0 else {
        throw LaminaError(.shape, "expected a step other than 0 on axis \(axis), found 0")
      }
      sections[axis] = Section(
        start: starts[index], end: ends[index], step: strides[index], extent: shape[axis])
    }
    return sections
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try Shape(sections(of: inputs).map(\.count)), inputs[0].type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let sections = try sections(of: inputs)
    let strides = inputs[0].shape.strides
    return StridedCopies([
      StridedCopy(
        type: inputs[0].type, extents: sections.map(\.count),
        sourceStrides: zip(sections, strides).map { $0.step * $1 },
        targetStrides: try Shape(sections.map(\.count)).strides,
        sourceOffset: zip(sections, strides).reduce(0) { $0 + $1.0.start * $1.1 })
    ])
  }
}
