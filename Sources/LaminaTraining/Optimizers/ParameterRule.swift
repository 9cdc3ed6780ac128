import LaminaCore

/// What is particular to the weights whose keys match a pattern. Of several rules that match, each changes what it
/// names; a later one wins.
public struct ParameterRule: Sendable {
  /// Over the keys of weights: `layer1.*`.
  public var pattern: KeyPattern
  /// What the learning rate is multiplied by.
  public var learningRateFactor: Double?
  /// How these weights shrink, in place of the optimizer's `weightDecay`.
  public var weightDecay: WeightDecay?

  /// A rule.
  public init(
    _ pattern: KeyPattern, learningRateFactor: Double? = nil, weightDecay: WeightDecay? = nil
  ) {
    self.pattern = pattern
    self.learningRateFactor = learningRateFactor
    self.weightDecay = weightDecay
  }

  /// Factors that rise geometrically from `lowest` for the first group of patterns to 1 for the last, as fastai's
  /// `slice(rate·lowest, rate)` over groups of layers.
  public static func geometric(_ groups: [[KeyPattern]], lowest: Double) -> [ParameterRule] {
    groups.enumerated().flatMap { index, patterns in
      let share = groups.count < 2 ? 1 : Double(index) / Double(groups.count - 1)
      return patterns.map { ParameterRule($0, learningRateFactor: power(lowest, 1 - share)) }
    }
  }
}
