/// Multiplies the learning rate by a factor when a number has not got better for some epochs. Names and defaults as in
/// Keras.
public final class ReduceLROnPlateau: TrainingCallback {
  private let monitor: Monitor
  private let factor: Double
  private let patience: Int
  private let minimumDelta: Double
  private let cooldown: Int
  private let minimumRate: Double
  private var best: Double?
  private var wait = 0
  private var coolingEpochs = 0

  /// - Parameters:
  ///   - cooldown: epochs behind a reduction in which nothing is waited for.
  ///   - minimumRate: the lowest learning rate: Keras's `min_lr`.
  public init(
    monitor: String = "val_loss", factor: Double = 0.1, patience: Int = 10,
    mode: Monitor.Mode = .auto, minimumDelta: Double = 1e-4, cooldown: Int = 0,
    minimumRate: Double = 0
  ) {
    self.monitor = Monitor(monitor, mode)
    self.factor = factor
    self.patience = patience
    self.minimumDelta = minimumDelta
    self.cooldown = cooldown
    self.minimumRate = minimumRate
  }

  /// Looks at the number.
  public func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    let value = try monitor.value(in: logs)
    if coolingEpochs > 0 {
      coolingEpochs -= 1
      wait = 0
    }
    if monitor.isBetter(value, than: best, by: minimumDelta) {
      best = value
      wait = 0
    } else if coolingEpochs == 0 {
      wait += 1
      let rate = trainer.learningRate
      guard wait >= patience, rate > minimumRate else { return }
      trainer.learningRateScale *= max(rate * factor, minimumRate) / rate
      coolingEpochs = cooldown
      wait = 0
    }
  }

  /// Its numbers.
  public func saveState() -> CallbackState {
    var state = CallbackState()
    state.numbers = ["wait": Double(wait), "cooling_epochs": Double(coolingEpochs)]
    state.numbers["best"] = best
    return state
  }

  /// Takes them over.
  public func restoreState(_ state: CallbackState) {
    wait = Int(exactly: state.numbers["wait"] ?? 0) ?? 0
    coolingEpochs = Int(exactly: state.numbers["cooling_epochs"] ?? 0) ?? 0
    best = state.numbers["best"]
  }
}
