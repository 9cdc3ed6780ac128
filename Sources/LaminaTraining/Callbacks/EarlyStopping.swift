import LaminaCore

/// Ends training when a number has not got better for some epochs. Names and defaults as in Keras; but the best weights
/// are put back however training ends.
public final class EarlyStopping: TrainingCallback {
  private let monitor: Monitor
  private let minimumDelta: Double
  private let patience: Int
  private let baseline: Double?
  private let restoresBestWeights: Bool
  private let firstEpoch: Int
  private var best: Double?
  private var bestSnapshot: TrainingSnapshot?
  /// The epoch with the best number, from 0.
  public private(set) var bestEpoch = 0
  private var wait = 0

  /// - Parameters:
  ///   - minimumDelta: by how much a number must be better: Keras's `min_delta`.
  ///   - patience: epochs without a better number.
  ///   - baseline: what a number must beat to be waited for.
  ///   - firstEpoch: the epoch, from 0, at which it begins to look: Keras's `start_from_epoch`.
  public init(
    monitor: String = "val_loss", minimumDelta: Double = 0, patience: Int = 0,
    mode: Monitor.Mode = .auto, baseline: Double? = nil, restoresBestWeights: Bool = false,
    firstEpoch: Int = 0
  ) {
    self.monitor = Monitor(monitor, mode)
    self.minimumDelta = abs(minimumDelta)
    self.patience = patience
    self.baseline = baseline
    self.restoresBestWeights = restoresBestWeights
    self.firstEpoch = firstEpoch
  }

  /// Looks at the number.
  public func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    let value = try monitor.value(in: logs)
    guard trainer.epoch >= firstEpoch else { return }
    wait += 1
    if monitor.isBetter(value, than: best, by: minimumDelta) {
      best = value
      bestEpoch = trainer.epoch
      if restoresBestWeights { bestSnapshot = try trainer.makeSnapshot() }
      if monitor.isBetter(value, than: baseline, by: minimumDelta) { wait = 0 }
      return
    }
    if wait >= patience && trainer.epoch > 0 { trainer.stop(by: "EarlyStopping") }
  }

  /// Puts the best weights back.
  public func trainingEnds(_ trainer: Trainer) throws {
    if let bestSnapshot { try trainer.restore(bestSnapshot) }
  }

  /// Its numbers and the best weights.
  public func saveState() -> CallbackState {
    var state = CallbackState()
    state.numbers = ["wait": Double(wait), "best_epoch": Double(bestEpoch)]
    state.numbers["best"] = best
    state.tensors = bestSnapshot?.tensors ?? [:]
    return state
  }

  /// Takes them over.
  public func restoreState(_ state: CallbackState) {
    wait = Int(exactly: state.numbers["wait"] ?? 0) ?? 0
    bestEpoch = Int(exactly: state.numbers["best_epoch"] ?? 0) ?? 0
    best = state.numbers["best"]
    bestSnapshot = state.tensors.isEmpty ? nil : TrainingSnapshot(tensors: state.tensors)
  }
}
