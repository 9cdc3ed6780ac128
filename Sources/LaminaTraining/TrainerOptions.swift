import LaminaCore

/// How a trainer trains.
public struct TrainerOptions: Sendable {
  /// What the outputs add to the loss; nil: `SoftmaxCrossEntropy` by every output, as `Model.lossTerms` weighs them.
  public var losses: [LossTerm]?
  /// How weights follow their gradients.
  public var optimizer: any Optimizer = SGD()
  /// How the learning rate changes by time.
  public var schedule: any Schedule = ConstantSchedule()
  /// What is particular to some weights.
  public var rules: [ParameterRule] = []
  /// How gradients are limited.
  public var clipping = GradientClipping.none
  /// Batches whose gradients are averaged for one step of the optimizer.
  public var accumulatedBatches = 1
  /// Keeps averages of the weights with this decay, for validation and for `makeModel`; nil: none.
  public var averageDecay: Double?
  /// Items of a batch.
  public var batchSize = 32
  /// Epochs.
  public var epochs = 1
  /// Key of all random numbers: order of the items, dropout.
  public var seed: UInt64 = 0
  /// Whether each epoch has an order of its own.
  public var shuffles = true
  /// Whether the last batch of an epoch is left out when it is smaller.
  public var dropsPartialBatch = false
  /// What happens when a loss, a gradient or a statistic is NaN or infinite.
  public var nonFinite = NonFiniteAction.stop
  /// Where training is saved; nil: nowhere.
  public var checkpoints: CheckpointOptions?

  /// Stochastic gradient descent with rate 0.01, for one epoch of batches of 32.
  public init() {}
}

/// What happens when a loss, a gradient or a statistic is NaN or infinite. Neither weights nor statistics take
/// anything of that batch over.
public enum NonFiniteAction: String, Sendable, CaseIterable {
  /// Training ends.
  case stop
  /// Training goes on with the next batch.
  case skip
  /// Weights, statistics and optimizer are again what they were at the last checkpoint or, without one, at the start of
  /// the epoch; the learning rate is halved from there on, and training goes on with the next batch. The fourth time
  /// in an epoch it ends.
  case rollback
}

/// Where and when training is saved.
public struct CheckpointOptions: Sendable {
  /// The folder; it is made when it is not there.
  public var folder: String
  /// How many are kept, at least 2.
  public var keptCount = 2
  /// Steps of the optimizer between checkpoints; nil: at the end of every epoch only.
  public var everySteps: Int?
  /// Whether training goes on where the newest checkpoint is; else the folder must hold none.
  public var resumes = false
  /// Whether training goes on, with a message, when a checkpoint cannot be written; else it ends with the error.
  public var goesOnWithout = false

  /// At the end of every epoch.
  public init(folder: String) { self.folder = folder }
}
