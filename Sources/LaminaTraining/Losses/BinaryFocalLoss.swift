import LaminaCore

/// αₜ·(1 − pₜ)^γ·b, the mean over all elements of the logits x: b is the binary cross-entropy, pₜ is σ(x) for label
/// 1 and 1 − σ(x) for label 0, αₜ is α and 1 − α. Labels as for `BinaryCrossEntropy`.
///
/// Lin et al. 2017, arxiv.org/abs/1708.02002; as torchvision's `sigmoid_focal_loss`.
public struct BinaryFocalLoss: Loss {
  /// α, from 0 to 1.
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
    let targets = try BinaryTargets(output, labels)
    let count = output.shape.count
    var sum = 0.0
    for index in 0..<count {
      let (x, t) = (Double(output.floats[index]), targets[index])
      let (p, q) = (sigmoid(x), sigmoid(-x))
      let factor = alpha * t + (1 - alpha) * (1 - t)
      let rest = q * t + p * (1 - t)
      let entropy = t * softplus(-x) + (1 - t) * softplus(x)
      sum += factor * power(rest, gamma) * entropy
      let inner =
        rest > 0 ? entropy * gamma * power(rest, gamma - 1) * (2 * t - 1) * p * q : 0
      let slope = factor * ((p - t) * power(rest, gamma) - inner)
      gradient?[index] = Float(weight * slope / Double(count))
    }
    return sum / Double(count)
  }
}
