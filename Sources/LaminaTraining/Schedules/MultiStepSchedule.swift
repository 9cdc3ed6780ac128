/// γ to the number of milestones that are behind: PyTorch's `MultiStepLR`.
public struct MultiStepSchedule: Schedule {
  /// Epochs.
  public var milestones: [Int]
  /// γ.
  public var gamma: Double

  /// The schedule.
  public init(milestones: [Int], gamma: Double = 0.1) {
    self.milestones = milestones
    self.gamma = gamma
  }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double {
    power(gamma, Double(milestones.count { $0 <= time.epoch }))
  }
}
