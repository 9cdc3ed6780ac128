/// 1.
public struct ConstantSchedule: Schedule {
  /// The schedule.
  public init() {}

  /// The factor.
  public func factor(at time: TrainingTime) -> Double { 1 }
}
