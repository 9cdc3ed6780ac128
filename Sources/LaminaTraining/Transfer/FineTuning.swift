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
  /// Where the features of the frozen layers are kept for other trainings; nil: with the checkpoints, for the one that is
  /// resumed, where there are such.
  public var cacheFolder: String?
  /// For data that change from epoch to epoch: how many variants of each item the head learns from, by features that are
  /// computed once; nil: new ones in every epoch.
  public var featureVariants: Int?
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
  /// What each phase did.
  public var phases: [TrainingReport.Phase] = []
  /// The file that keeps the features of the frozen layers, where there is one, and whether they come from it.
  public var featureFile: (path: String, byteCount: Int, wasRead: Bool)?
  /// Why it ended.
  public var ending = TrainingEnding.completed
  /// `Model.checksum` of the parameters and statistics that a phase freezes, before and behind it.
  public var frozenChecksums: [(phase: FineTuningPhase, before: String, after: String)] = []
  /// What was noted on the way.
  public var messages: [String] = []

  /// The logs of every epoch.
  public var history: [(phase: FineTuningPhase, logs: TrainingLogs)] {
    phases.flatMap { part in
      part.history.map { (FineTuningPhase(rawValue: part.name) ?? .all, $0) }
    }
  }
}

extension Model {
  /// The model for other classes: a new head is trained alone, and then all layers at a part of the learning rate.
  ///
  /// Where items are the same in every epoch, or a number of variants is given, the frozen layers compute their features
  /// once and the head learns on these.
  ///
  /// - Parameters:
  ///   - labels: names of the classes, as the labels of the data count them.
  ///   - callbacks: those of a phase.
  ///   - progress: is called behind each batch; returns whether to go on.
  /// - Throws: what `replacingHead`, `FeatureCache` and `Trainer` throw; `unsupported` for a layer without a gradient,
  ///   before anything is trained.
  public func fineTuning(
    to labels: [String], on data: any TrainingData, validation: (any TrainingData)? = nil,
    options: FineTuningOptions = FineTuningOptions(), pool: ThreadPool? = nil,
    callbacks: (FineTuningPhase) -> [any TrainingCallback] = { _ in [] },
    progress: ((FineTuningProgress) throws -> Bool)? = nil
  ) throws -> FineTuningResult {
    let pool = pool ?? ThreadPool()
    let (model, head) = try replacingHead(labels: labels, seed: options.trainer.seed)
    if options.epochs > 0 {
      var training = TrainingOptions()
      training.frozen = options.frozen
      try model.checkTrainable(training)
    }
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
      let variants = data.isSameInEveryEpoch ? 1 : options.featureVariants
      if phase == .head, let variants {
        do {
          let session = try TrainingSession(model: model, options: training, pool: pool)
          let features = try FeatureCache(
            session, data, batchSize: settings.batchSize, variants: variants,
            folder: options.cacheFolder
              ?? options.trainer.checkpoints.map { "\($0.folder)/features" }
          ) { done in
            let total = data.count * variants
            if try progress?(.features(done: done, total: total)) == false {
              throw LaminaError(.cancelled, "the caller asked to stop")
            }
          }
          result.messages += features.messages
          result.featureFile = features.file
          items = features
        } catch let error as LaminaError where error.code == .cancelled {
          result.ending = .cancelled
          return result
        }
      }
      let trainer = try Trainer(
        model: result.model, data: items, validation: validation, options: settings,
        training: training, callbacks: callbacks(phase), pool: pool)
      let learned = Set((trainer.session.weights + trainer.session.buffers).map(\.key))
      let before = result.model.checksum { !learned.contains($0) }
      result.ending = try trainer.fit { try progress?(.batch(phase, $0)) ?? true }
      result.model = try trainer.makeModel()
      if learned.count < result.model.parameters.count {
        let after = result.model.checksum { !learned.contains($0) }
        result.frozenChecksums.append((phase, before, after))
      }
      result.phases.append(TrainingReport.Phase(phase.rawValue, trainer))
      result.messages += trainer.messages
    }
    return result
  }
}
