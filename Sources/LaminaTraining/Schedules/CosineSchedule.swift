/// lowest + (1 − lowest)·½·(1 + cos(π·p)): p from 0 to 1, by steps over all steps, or by epochs over all epochs as
/// PyTorch's `CosineAnnealingLR` of that many.
///
/// Loshchilov and Hutter 2017, arxiv.org/abs/1608.03983, without restarts.
public struct CosineSchedule: Schedule {
  /// The factor at the end.
  public var lowest: Double
  /// Whether it changes at epochs alone.
  public var isByEpoch: Bool

  /// The schedule.
  public init(lowest: Double = 0, isByEpoch: Bool = false) {
    self.lowest = lowest
    self.isByEpoch = isByEpoch
  }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double {
    let progress =
      isByEpoch ? min(Double(time.epoch) / Double(max(time.epochs, 1)), 1) : time.progress
    return cosine(from: 1, to: lowest, at: progress)
  }
}
