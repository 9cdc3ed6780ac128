import LaminaCore
import LaminaKernels

/// Averages of the weights of a session: a ← d·a + (1 − d)·w behind each step, at first w.
public final class MovingAverage {
  /// d.
  public let decay: Double
  /// By weight of the session.
  public let tensors: [Tensor]
  private let weights: [TrainedParameter]
  private let pool: ThreadPool

  /// Averages that begin with the weights as they are.
  ///
  /// - Throws: `argument` for a decay outside 0 ..< 1, `limit` when there is no memory.
  public init(decay: Double, of session: TrainingSession) throws {
    guard decay >= 0, decay < 1 else {
      throw LaminaError(.argument, "expected a decay from 0 to below 1, found \(decay)")
    }
    self.decay = decay
    weights = session.weights
    pool = session.pool
    tensors = try weights.map { try Tensor(copying: $0.value.view) }
  }

  /// Follows the weights.
  public func update() {
    for (weight, average) in zip(weights, tensors) {
      lk_f32_moving_average(
        pool.handle, Float(decay), weight.value.view.floats, average.mutableView.floats,
        average.shape.count)
    }
  }
}
