/// The optimizers that have a name of one word, for command lines and other languages.
public enum OptimizerName: String, Sendable, CaseIterable {
  case sgd, rmsprop, adam, adamw, nadam

  /// The rule with its usual numbers where none are given: a learning rate of 0.01 for SGD and 0.001 for the others, a
  /// momentum of 0.9 for SGD and none for RMSProp, a decoupled weight decay of 0.01 for AdamW.
  ///
  /// - Parameters:
  ///   - momentum: of SGD and RMSProp; the others have β₁ in its place, which stays.
  ///   - rho: of RMSProp, by default 0.9.
  ///   - weightDecay: coupled but for AdamW; 0: none, and for AdamW its usual one.
  public func optimizer(
    learningRate: Double? = nil, momentum: Double? = nil, rho: Double? = nil,
    weightDecay: Double = 0
  ) -> any Optimizer {
    let rate = learningRate ?? (self == .sgd ? 0.01 : 0.001)
    let coupled = weightDecay > 0 ? WeightDecay.coupled(weightDecay) : .none
    return switch self {
    case .sgd: SGD(learningRate: rate, momentum: momentum ?? 0.9, weightDecay: coupled)
    case .rmsprop:
      RMSProp(
        learningRate: rate, rho: rho, momentum: momentum ?? 0, weightDecay: coupled)
    case .adam: Adam(learningRate: rate, weightDecay: coupled)
    case .adamw:
      Adam(learningRate: rate, weightDecay: .decoupled(weightDecay > 0 ? weightDecay : 0.01))
    case .nadam: Nadam(learningRate: rate, weightDecay: coupled)
    }
  }
}
