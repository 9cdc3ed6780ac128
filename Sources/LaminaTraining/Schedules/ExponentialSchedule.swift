/// γ^epoch: PyTorch's `ExponentialLR`.
public struct ExponentialSchedule: Schedule {
  /// γ.
  public var gamma: Double

  /// The schedule.
  public init(gamma: Double) { self.gamma = gamma }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double { power(gamma, Double(time.epoch)) }
}
