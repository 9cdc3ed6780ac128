import LaminaCore

/// −t·ln σ(x) − (1 − t)·ln(1 − σ(x)), the mean over all elements of the logits x.
///
/// With a positive weight p the first term counts p times, as `pos_weight` of PyTorch's `BCEWithLogitsLoss`; with a
/// smoothing of ε, t is (1 − ε)·t + ε / 2, as in Keras. Labels are bits or probabilities of the output's shape; for
/// outputs with one number for each item also classes 0 and 1.
public struct BinaryCrossEntropy: Loss {
  /// How often a positive counts.
  public var positiveWeight: Double
  /// ε, from 0 to 1.
  public var labelSmoothing: Double

  /// The loss.
  public init(positiveWeight: Double = 1, labelSmoothing: Double = 0) {
    self.positiveWeight = positiveWeight
    self.labelSmoothing = labelSmoothing
  }

  /// The loss of one output.
  public func evaluate(
    _ output: TensorView, _ labels: Labels, gradient: MutableTensorView?, weight: Double
  ) throws -> Double {
    let targets = try BinaryTargets(output, labels)
    let count = output.shape.count
    var sum = 0.0
    for index in 0..<count {
      let x = Double(output.floats[index])
      let t = (1 - labelSmoothing) * targets[index] + labelSmoothing / 2
      sum += positiveWeight * t * softplus(-x) + (1 - t) * softplus(x)
      let slope = (1 - t) * sigmoid(x) - positiveWeight * t * sigmoid(-x)
      gradient?[index] = Float(weight * slope / Double(count))
    }
    return sum / Double(count)
  }
}

/// Labels of logits that are independent of each other.
struct BinaryTargets {
  private let values: TensorView?
  private let classes: [Int]

  init(_ output: TensorView, _ labels: Labels) throws {
    switch labels {
    case .values(let tensor):
      values = try output.elements(of: tensor)
      classes = []
    case .classes(let labels):
      guard output.type == .float32, output.shape.count == labels.count, !labels.isEmpty else {
        throw LaminaError(
          .shape,
          "expected one float32 logit for each of \(labels.count) labels, found \(output.type.rawValue) \(output.shape)"
        )
      }
      for (index, label) in labels.enumerated() where label != 0 && label != 1 {
        throw LaminaError(
          .argument, "expected a class from 0 to 1, found \(label)", path: "label \(index)")
      }
      values = nil
      classes = labels
    }
  }

  subscript(index: Int) -> Double {
    values.map { Double($0.floats[index]) } ?? Double(classes[index])
  }
}
