/// How the learning rate changes by time alone: a factor on that of the optimizer.
public protocol Schedule: Sendable {
  /// The factor of the step that comes next.
  func factor(at time: TrainingTime) -> Double
}

/// How far training is.
public struct TrainingTime: Sendable, Hashable {
  /// Steps of the optimizer so far.
  public var step: Int
  /// Epochs that are complete.
  public var epoch: Int
  /// Steps of an epoch.
  public var stepsPerEpoch: Int
  /// Epochs in all.
  public var epochs: Int

  /// A time.
  public init(step: Int, epoch: Int, stepsPerEpoch: Int, epochs: Int) {
    self.step = step
    self.epoch = epoch
    self.stepsPerEpoch = stepsPerEpoch
    self.epochs = epochs
  }

  /// Steps over all steps, at most 1.
  var progress: Double {
    min(Double(step) / Double(max(stepsPerEpoch.multipliedReportingOverflow(by: epochs).0, 1)), 1)
  }
}
