import LaminaCore

/// Is called while a trainer trains. Default of everything: nothing.
public protocol TrainingCallback: AnyObject {
  /// Before the first batch, also when training is resumed.
  func trainingBegins(_ trainer: Trainer) throws
  /// Before the first batch of an epoch.
  func epochBegins(_ trainer: Trainer) throws
  /// Behind each batch.
  func batchEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws
  /// Behind each epoch and its validation; `trainer.epoch` is still the number of this one, from 0.
  func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws
  /// However training ends.
  func trainingEnds(_ trainer: Trainer) throws
  /// What it must know to go on elsewhere.
  func saveState() throws -> CallbackState
  /// Takes that over.
  func restoreState(_ state: CallbackState) throws
}

extension TrainingCallback {
  /// Nothing.
  public func trainingBegins(_ trainer: Trainer) throws {}
  /// Nothing.
  public func epochBegins(_ trainer: Trainer) throws {}
  /// Nothing.
  public func batchEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {}
  /// Nothing.
  public func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {}
  /// Nothing.
  public func trainingEnds(_ trainer: Trainer) throws {}
  /// Nothing.
  public func saveState() throws -> CallbackState { CallbackState() }
  /// Nothing.
  public func restoreState(_ state: CallbackState) throws {}
}

/// Numbers of a batch or an epoch, by Keras's names: `loss`, `accuracy`, `learning_rate`, `val_loss`, `val_accuracy`.
public typealias TrainingLogs = [String: Double]

/// What a callback keeps in checkpoints.
public struct CallbackState: Sendable {
  /// Numbers by name; they may be NaN or infinite.
  public var numbers: [String: Double] = [:]
  /// Tensors of `float32` by name.
  public var tensors: [String: Tensor] = [:]

  /// Nothing.
  public init() {}
}

/// A number of the logs that tells better from worse.
public struct Monitor: Sendable {
  /// Its name.
  public let name: String
  /// Whether more is better.
  public let isRising: Bool

  /// What is better.
  public enum Mode: String, Sendable, CaseIterable {
    /// More of an accuracy, less of anything else.
    case auto
    case min, max
  }

  /// A number by its name.
  public init(_ name: String, _ mode: Mode = .auto) {
    self.name = name
    isRising = mode == .max || mode == .auto && name.split(separator: "_").contains("accuracy")
  }

  /// The number.
  ///
  /// - Throws: `argument` when the logs do not have it.
  public func value(in logs: TrainingLogs) throws -> Double {
    guard let value = logs[name] else {
      throw LaminaError(
        .argument,
        "expected a monitor among \(logs.keys.sorted().joined(separator: ", ")), found '\(name.escapedForDisplay())'"
      )
    }
    return value
  }

  /// Whether `value` is better than `other` by more than `delta`; NaN is not, and anything is better than nil.
  public func isBetter(_ value: Double, than other: Double?, by delta: Double = 0) -> Bool {
    guard !value.isNaN else { return false }
    guard let other else { return true }
    return isRising ? value - delta > other : value + delta < other
  }
}
