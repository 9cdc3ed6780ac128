/// γ^⌊epoch / every⌋: PyTorch's `StepLR`.
public struct StepSchedule: Schedule {
  /// Epochs between steps, at least 1.
  public var every: Int
  /// γ.
  public var gamma: Double

  /// The schedule.
  public init(every: Int, gamma: Double = 0.1) {
    self.every = max(every, 1)
    self.gamma = gamma
  }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double {
    power(gamma, Double(time.epoch / every))
  }
}
