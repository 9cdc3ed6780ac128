import LaminaCore

extension KeyMap.Transform {
  /// The shape after the change.
  ///
  /// - Throws: `weights` when the tensor does not have the axes or elements that the change needs.
  func shape(of shape: Shape, for expected: Shape) throws -> Shape {
    switch self {
    case .transpose(let permutation):
      guard permutation.sorted() == Array(0..<shape.rank) else {
        throw LaminaError(
          .weights, "expected a permutation of \(shape.rank) axes, found \(permutation)")
      }
      return try Shape(permutation.map { shape[$0] })
    case .reshape(let dimensions):
      guard let free = dimensions.firstIndex(of: -1) else {
        return try checked(try Shape(dimensions), shape)
      }
      var result = dimensions
      result[free] = 1
      let others = try Shape(result).count
      guard others > 0, shape.count % others == 0 else {
        throw LaminaError(
          .weights, "expected a shape of \(shape.count) elements, found \(dimensions)")
      }
      result[free] = shape.count / others
      return try Shape(result)
    case .permuteAfterFlatten(let channels, let height, let width):
      let (plane, overflow) = height.multipliedReportingOverflow(by: width)
      let (columns, overflow2) = plane.multipliedReportingOverflow(by: channels)
      guard !overflow, !overflow2, shape.rank == 2, shape[1] == columns else {
        throw LaminaError(
          .weights, "expected [out, \(channels)·\(height)·\(width)] to permute, found \(shape)")
      }
      return shape
    case .matchUnitAxes:
      func trimmed(_ shape: Shape) -> [Int] { shape.dimensions.filter { $0 != 1 } }
      return trimmed(shape) == trimmed(expected) ? expected : shape
    }
  }

  private func checked(_ result: Shape, _ shape: Shape) throws -> Shape {
    guard result.count == shape.count else {
      throw LaminaError(.weights, "expected a shape of \(shape.count) elements, found \(result)")
    }
    return result
  }

  /// The changed tensor, of the shape that `shape(of:for:)` gave.
  func apply(to tensor: Tensor, shape: Shape) throws -> Tensor {
    switch self {
    case .transpose(let permutation): return try tensor.permuted(permutation)
    case .reshape, .matchUnitAxes: return try tensor.reshaped(shape)
    case .permuteAfterFlatten(let channels, let height, let width):
      return try tensor.reshaped(Shape([shape[0], height, width, channels]))
        .permuted([0, 3, 1, 2]).reshaped(shape)
    }
  }
}

extension Tensor {
  /// A copy whose axis `k` is axis `permutation[k]` of this tensor; `permutation` must be one.
  func permuted(_ permutation: [Int]) throws -> Tensor {
    let result = try Tensor(uninitialized: Shape(permutation.map { shape[$0] }), type)
    let strides = shape.strides
    let view = PickleTensor(
      storage: 0, offset: 0, shape: result.shape, strides: permutation.map { strides[$0] })
    withBytes { source in
      result.withMutableBytes { view.gather(from: source, elementBytes: type.byteCount, into: $0) }
    }
    return result
  }
}
