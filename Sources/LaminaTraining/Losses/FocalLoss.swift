import LaminaCore

/// −α·(1 − p)^γ·ln p, p the softmax of the logits `[batch, classes]` at the item's class: items that are already
/// right count less. The mean over the batch.
///
/// Lin et al. 2017, arxiv.org/abs/1708.02002; defaults as Keras's `CategoricalFocalCrossentropy`.
public struct FocalLoss: Loss {
  /// α.
  public var alpha: Double
  /// γ, from 0.
  public var gamma: Double

  /// The loss.
  public init(alpha: Double = 0.25, gamma: Double = 2) {
    self.alpha = alpha
    self.gamma = gamma
  }

  /// The loss of one output.
  public func evaluate(
    _ output: TensorView, _ labels: Labels, gradient: MutableTensorView?, weight: Double
  ) throws -> Double {
    let rows = try Rows(output)
    guard case .classes(let labels) = labels else {
      throw LaminaError(.argument, "expected classes as labels, found values")
    }
    try rows.check(labels)
    var sum = 0.0
    for row in 0..<rows.count {
      let label = labels[row]
      let softmax = Softmax(rows[row])
      let (p, rest) = (softmax.probabilities[label], softmax.complement(label))
      let logarithm = softmax.logarithms[label]
      sum -= alpha * power(rest, gamma) * logarithm
      let inner = rest > 0 ? gamma * p * power(rest, gamma - 1) * logarithm : 0
      let slope = alpha * (inner - power(rest, gamma)) * weight / Double(rows.count)
      for k in 0..<rows.classes {
        gradient?[row * rows.classes + k] = Float(
          slope * (k == label ? rest : -softmax.probabilities[k]))
      }
    }
    return sum / Double(rows.count)
  }
}
