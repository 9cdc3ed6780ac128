import LaminaCore

/// −Σ tₖ·ln softmax(x)ₖ, by logits x of shape `[batch, classes]`.
///
/// With a smoothing of ε, t is (1 − ε)·t + ε / classes. With class weights w the terms of class k count wₖ; by
/// classes the sum over the batch is then divided by Σ w of the labels, by distributions by the batch. All as in
/// PyTorch's `CrossEntropyLoss`.
public struct SoftmaxCrossEntropy: Loss {
  /// ε, from 0 to 1.
  public var labelSmoothing: Double
  /// One number for each class; nil: ones.
  public var classWeights: [Double]?

  /// The loss.
  public init(labelSmoothing: Double = 0, classWeights: [Double]? = nil) {
    self.labelSmoothing = labelSmoothing
    self.classWeights = classWeights
  }

  /// The loss of one output.
  public func evaluate(
    _ output: TensorView, _ labels: Labels, gradient: MutableTensorView?, weight: Double
  ) throws -> Double {
    let rows = try Rows(output)
    let classes = rows.classes
    if let classWeights, classWeights.count != classes {
      throw LaminaError(
        .argument, "expected \(classes) class weights, found \(classWeights.count)")
    }
    let weights = classWeights ?? [Double](repeating: 1, count: classes)
    let divisor: Double
    let values: TensorView?
    switch labels {
    case .classes(let labels):
      try rows.check(labels)
      divisor = labels.reduce(0) { $0 + weights[$1] }
      values = nil
    case .values(let tensor):
      divisor = Double(rows.count)
      values = try output.elements(of: tensor)
    }
    guard divisor > 0 else {
      throw LaminaError(.argument, "expected class weights above 0, found none among the labels")
    }
    var sum = 0.0
    var targets = [Double](repeating: 0, count: classes)
    for row in 0..<rows.count {
      for k in 0..<classes {
        var target = values.map { Double($0.floats[row * classes + k]) } ?? 0
        if case .classes(let labels) = labels, labels[row] == k { target = 1 }
        targets[k] = weights[k] * ((1 - labelSmoothing) * target + labelSmoothing / Double(classes))
      }
      let softmax = Softmax(rows[row])
      let total = targets.reduce(0, +)
      for k in 0..<classes {
        if targets[k] != 0 { sum -= targets[k] * softmax.logarithms[k] }
        gradient?[row * classes + k] = Float(
          weight * (total * softmax.probabilities[k] - targets[k]) / divisor)
      }
    }
    return sum / divisor
  }
}
