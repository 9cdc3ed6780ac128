import LaminaCore

/// y = the inputs one behind the other along `axis`.
///
/// - Inputs: one or more of one type, equal in all other extents. Output: their sum on `axis`.
package struct Concat: MovementLayer {
  package static let kind: LayerKind = "lamina.concat"
  package static var arity: ClosedRange<Int> { 1...Int.max }
  let axis: Int

  package init(attributes: inout AttributeReader) throws { axis = try attributes.int("axis") }

  package func encode(into attributes: inout AttributeWriter) { attributes.int("axis", axis) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let first = inputs[0]
    let axis = try first.shape.axis(axis)
    _ = try inputs.commonType()
    var extent = 0
    for input in inputs {
      let others = input.shape.dimensions.indices.filter { $0 != axis }
      guard input.shape.rank == first.shape.rank,
        others.allSatisfy({ input.shape[$0] == first.shape[$0] })
      else {
        throw LaminaError(
          .shape,
          "expected shapes that differ on axis \(axis) only, found \(first.shape) and \(input.shape)"
        )
      }
      // Each extent is below 2^31, and a graph holds far fewer than 2^32 values.
      extent += input.shape[axis]
    }
    return [TensorSpec(try first.shape.replacing(axis, with: extent), first.type)]
  }

  func movement(for inputs: [TensorSpec]) throws -> any Movement {
    let axis = try inputs[0].shape.axis(axis)
    let rows = inputs[0].shape.count(before: axis)
    let lengths = inputs.map { $0.shape.count(from: axis) }
    return StridedCopies(
      Self.joins(rows: rows, lengths: lengths, type: inputs[0].type), joinsInputs: rows == 1)
  }

  /// Copies of `rows` rows of `lengths[i]` elements of input i, laid side by side.
  private static func joins(rows: Int, lengths: [Int], type: ElementType) -> [StridedCopy] {
    let width = lengths.reduce(0, +)
    var offset = 0
    return lengths.enumerated().map { index, length in
      defer { offset += length }
      return StridedCopy(
        input: index, type: type, extents: [rows, length], sourceStrides: [length, 1],
        targetStrides: [width, 1], targetOffset: offset)
    }
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool {
    inputs.allSatisfy { ((try? $0.shape.axis(axis)) ?? 0) != 0 }
  }

  /// Feature maps in blocks of channels are joined as they are where the channels fill whole blocks.
  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try movement(for: context.inputs, context.inputLayouts, outputHalo: context.outputHalos[0])
  }

  /// The same.
  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    PreparedMovement(
      movement: try movement(
        for: context.inputs, context.inputLayouts, outputHalo: context.outputHalos[0]))
  }

  private func movement(
    for inputs: [TensorSpec], _ layouts: [TensorLayout], outputHalo: Int
  ) throws -> any Movement {
    let shapes = inputs.map(\.shape)
    guard let blocked = layouts.first(where: { $0 != .plain }),
      case .blocked(let channels, _) = blocked, try shapes[0].axis(axis) == 1,
      shapes.dropLast().allSatisfy({ $0[1] % channels == 0 })
    else { return try movement(for: inputs) }
    let layout = TensorLayout.blocked(channels: channels, halo: outputHalo)
    let lengths = inputs.map { layout.byteCount($0) / $0.type.byteCount }
    return StridedCopies(
      Self.joins(rows: 1, lengths: lengths, type: inputs[0].type),
      inputLayouts: shapes.map { _ in layout }, outputLayouts: [layout], joinsInputs: true)
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { inputs.map { _ in outputHalos[0] } }
}
