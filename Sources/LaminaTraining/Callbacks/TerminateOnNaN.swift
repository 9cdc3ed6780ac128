/// Ends training when the loss of a batch is NaN or infinite, also where such batches are left out
/// (`NonFiniteAction.skip`).
public final class TerminateOnNaN: TrainingCallback {
  /// The callback.
  public init() {}

  /// Looks at the loss.
  public func batchEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    if let loss = logs["loss"], !loss.isFinite { trainer.stop(by: "TerminateOnNaN") }
  }
}
