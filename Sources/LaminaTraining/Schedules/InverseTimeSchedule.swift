/// 1 / (1 + decay·step): the `decay` of Keras's optimizers before version 2.11.
public struct InverseTimeSchedule: Schedule {
  /// The decay.
  public var decay: Double

  /// The schedule.
  public init(decay: Double) { self.decay = decay }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double { 1 / (1 + decay * Double(time.step)) }
}
