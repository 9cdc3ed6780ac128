/// From 1 / divisor by half a cosine up to 1 in the first share of all steps, then down to 1 / finalDivisor.
///
/// Smith and Topin 2018, arxiv.org/abs/1708.07120; defaults as fastai's `fit_one_cycle`. The momentum stays.
public struct OneCycleSchedule: Schedule {
  /// The share of steps in which it rises, from 0 to 1.
  public var risingShare: Double
  /// What it begins with, as a part of the highest.
  public var divisor: Double
  /// What it ends with, as a part of the highest.
  public var finalDivisor: Double

  /// The schedule.
  public init(risingShare: Double = 0.25, divisor: Double = 25, finalDivisor: Double = 1e5) {
    self.risingShare = risingShare
    self.divisor = divisor
    self.finalDivisor = finalDivisor
  }

  /// The factor.
  public func factor(at time: TrainingTime) -> Double {
    let progress = time.progress
    return progress < risingShare
      ? cosine(from: 1 / divisor, to: 1, at: progress / risingShare)
      : cosine(
        from: 1, to: 1 / finalDivisor, at: (progress - risingShare) / max(1 - risingShare, 1e-12))
  }
}
