import LaminaCore

/// How a trained model is fitted to other classes.
public struct FineTuningOptions: Sendable {
  /// Epochs of the new head alone, all else frozen; 0: none.
  public var headEpochs = 5
  /// Epochs of all layers behind that; 0: none.
  public var epochs = 3
  /// What the learning rate is multiplied by for all layers.
  public var gentleFactor = 0.1
  /// What stays frozen also behind the head's epochs: patterns over the names of nodes and of parameters.
  public var frozen: [KeyPattern] = []
  /// How both phases train; their epochs are those above. The phases keep their checkpoints in the folders `head` and
  /// `all` of the folder given here.
  public var trainer = TrainerOptions()
  /// Only algorithms with the accuracy of direct evaluation.
  public var isStrict = false
  /// Bounds on memory.
  public var limits = Limits()

  /// Adam with a learning rate of 0.001, five epochs of the head and three of all.
  public init() { trainer.optimizer = Adam() }
}

/// A part of fine-tuning.
public enum FineTuningPhase: String, Sendable, CaseIterable {
  /// The new head alone learns.
  case head
  /// Everything learns that is not frozen.
  case all
}

/// How far fine-tuning is.
public enum FineTuningProgress: Sendable {
  /// The frozen layers have computed the features of so many items.
  case features(done: Int, total: Int)
  /// A batch of a phase is done.
  case batch(FineTuningPhase, TrainingProgress)
}

/// What fine-tuning made.
public struct FineTuningResult: Sendable {
  /// The model.
  public var model: Model
  /// The layers that are new.
  public var head: [String]
  /// The logs of every epoch.
  public var history: [(phase: FineTuningPhase, logs: TrainingLogs)] = []
  /// Why it ended.
  public var ending = TrainingEnding.completed
  /// What was noted on the way.
  public var messages: [String] = []
}

extension Model {
  /// The model for other classes: a new head is trained alone, and then all layers at a part of the learning rate.
  ///
  /// Where items are the same in every epoch, the frozen layers compute their features once and the head learns on
  /// these.
  ///
  /// - Parameters:
  ///   - labels: names of the classes, as the labels of the data count them.
  ///   - callbacks: those of a phase.
  ///   - progress: is called behind each batch; returns whether to go on.
  /// - Throws: what `replacingHead`, `FeatureCache` and `Trainer` throw.
  public func fineTuning(
    to labels: [String], on data: any TrainingData, validation: (any TrainingData)? = nil,
    options: FineTuningOptions = FineTuningOptions(), pool: ThreadPool? = nil,
    callbacks: (FineTuningPhase) -> [any TrainingCallback] = { _ in [] },
    progress: ((FineTuningProgress) throws -> Bool)? = nil
  ) throws -> FineTuningResult {
    let pool = pool ?? ThreadPool()
    let (model, head) = try replacingHead(labels: labels, seed: options.trainer.seed)
    var result = FineTuningResult(model: model, head: head)
    var trunk = try FrozenLayers(model)
    try trunk.freezeTrunk()
    for phase in FineTuningPhase.allCases {
      var settings = options.trainer
      settings.epochs = phase == .head ? options.headEpochs : options.epochs
      guard settings.epochs > 0, result.ending == .completed else { continue }
      if phase == .all { settings.optimizer.learningRate *= options.gentleFactor }
      settings.checkpoints?.folder += "/\(phase.rawValue)"
      var training = TrainingOptions()
      training.limits = options.limits
      training.isStrict = options.isStrict
      training.frozen = phase == .all ? options.frozen : trunk.patterns
      var items = data
      if phase == .head, data.isSameInEveryEpoch {
        do {
          let session = try TrainingSession(model: model, options: training, pool: pool)
          items = try FeatureCache(session, data, batchSize: settings.batchSize) { done in
            if try progress?(.features(done: done, total: data.count)) == false {
              throw LaminaError(.cancelled, "the caller asked to stop")
            }
          }
        } catch let error as LaminaError where error.code == .cancelled {
          result.ending = .cancelled
          return result
        }
      }
      let trainer = try Trainer(
        model: result.model, data: items, validation: validation, options: settings,
        training: training, callbacks: callbacks(phase), pool: pool)
      result.ending = try trainer.fit { try progress?(.batch(phase, $0)) ?? true }
      result.model = try trainer.makeModel()
      result.history += trainer.history.map { (phase, $0) }
      result.messages += trainer.messages
    }
    return result
  }
}
