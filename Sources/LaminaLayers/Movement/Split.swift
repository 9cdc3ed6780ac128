import LaminaCore

/// y₀, y₁, … = sections of x along `axis` (0).
///
/// `sizes`, an attribute or the second input, are their extents; `num_outputs` shares the extent evenly and
/// leaves the last what remains. Otherwise `outputs` states how many equal ones there are.
package struct Split: MovementLayer {
  package static let kind: LayerKind = "lamina.split"
  package static var arity: ClosedRange<Int> { 1...2 }
  let axis: Int
  let sizes: [Int]?
  let count: Int
  let isUneven: Bool

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: 0)
    sizes = try attributes.optionalInts("sizes", in: 0...Shape.maximumExtent)
    isUneven = attributes.has("num_outputs")
    let range = 1...65_536
    let shared = try attributes.int(
      "num_outputs", default: sizes.map { max($0.count, 1) } ?? 0, in: range)
    count = try attributes.int("outputs", default: shared == 0 ? nil : shared, in: range)
    guard shared == 0 || count == shared else {
      throw LaminaError(.graph, "expected \(shared) outputs, found \(count) in attribute 'outputs'")
    }
  }

  package func encode(into attributes: inout AttributeWriter) {
    if axis != 0 { attributes.int("axis", axis) }
    attributes.ints("sizes", sizes)
    attributes.int(isUneven ? "num_outputs" : "outputs", count)
  }

  package var outputCount: Int { count }

  private func sections(of inputs: [TensorSpec]) throws -> (axis: Int, extents: [Int]) {
    let shape = inputs[0].shape
    let axis = try shape.axis(axis)
    let extent = shape[axis]
    if let sizes = try plannedInts("sizes", attribute: sizes, input: 1, of: inputs) {
      guard sizes.count == count else {
        throw LaminaError(.shape, "expected \(count) 'sizes', found \(sizes.count)")
      }
      guard sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, +) == extent else {
        throw LaminaError(
          .shape, "expected 'sizes' that add up to \(extent) on axis \(axis), found \(sizes)")
      }
      return (axis, sizes)
    }
    let size = (extent + count - 1) / count
    let last = extent - size * (count - 1)
    guard last >= 0, isUneven || last == size else {
      throw LaminaError(
        .shape,
        "expected an extent that \(count) outputs share on axis \(axis), found shape \(shape)")
    }
    return (axis, [Int](repeating: size, count: count - 1) + [last])
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let (axis, extents) = try sections(of: inputs)
    return try extents.map {
      TensorSpec(try inputs[0].shape.replacing(axis, with: $0), inputs[0].type)
    }
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let (axis, extents) = try sections(of: inputs)
    let shape = inputs[0].shape
    let (rows, width) = (shape.count(before: axis), shape.count(from: axis))
    let inner = axis + 1 < shape.rank ? shape.count(from: axis + 1) : 1
    var offset = 0
    return StridedCopies(
      extents.enumerated().map { index, extent in
        defer { offset += extent * inner }
        return StridedCopy(
          output: index, type: inputs[0].type, extents: [rows, extent * inner],
          sourceStrides: [width, 1], targetStrides: [extent * inner, 1], sourceOffset: offset)
      })
  }
}
