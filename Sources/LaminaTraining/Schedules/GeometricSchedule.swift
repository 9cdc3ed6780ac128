/// first·(last / first)^(step / (steps − 1)): what a search for a learning rate goes through.
public struct GeometricSchedule: Schedule {
  /// The factor of the first step.
  public var first: Double
  /// The factor of the last step.
  public var last: Double
  /// Steps from the first to the last.
  public var steps: Int

  /// The schedule.
  public init(from first: Double, to last: Double, steps: Int) {
    self.first = first
    self.last = last
    self.steps = steps
  }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double {
    first * power(last / first, Double(time.step) / Double(max(steps - 1, 1)))
  }
}
