/// Another schedule, in the first steps times a factor that rises in a line from `start` to 1.
///
/// Goyal et al. 2017, arxiv.org/abs/1706.02677, gradual warm-up.
public struct WarmUpSchedule: Schedule {
  /// Steps until 1.
  public var steps: Int
  /// The factor of the first step.
  public var start: Double
  /// The other schedule.
  public var schedule: any Schedule

  /// The schedule.
  public init(steps: Int, start: Double = 0.1, then schedule: any Schedule = ConstantSchedule()) {
    self.steps = steps
    self.start = start
    self.schedule = schedule
  }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double {
    let factor = schedule.factor(at: time)
    guard time.step < steps else { return factor }
    return factor * (start + (1 - start) * Double(time.step) / Double(steps))
  }
}
