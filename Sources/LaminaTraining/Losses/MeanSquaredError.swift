import LaminaCore

/// (x − t)², the mean over all elements. Labels are values of the output's shape.
public struct MeanSquaredError: Loss {
  /// The loss.
  public init() {}

  /// The loss of one output.
  public func evaluate(
    _ output: TensorView, _ labels: Labels, gradient: MutableTensorView?, weight: Double
  ) throws -> Double {
    guard case .values(let tensor) = labels else {
      throw LaminaError(.argument, "expected values as labels, found classes")
    }
    let targets = try output.elements(of: tensor)
    let count = output.shape.count
    var sum = 0.0
    for index in 0..<count {
      let difference = Double(output.floats[index]) - Double(targets.floats[index])
      sum += difference * difference
      gradient?[index] = Float(weight * 2 * difference / Double(count))
    }
    return sum / Double(count)
  }
}
