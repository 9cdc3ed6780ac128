import CLamina
import LaminaCore
import LaminaTraining

/// What a C caller says of how a model is trained.
struct CallerTraining {
  var trainer = TrainerOptions()
  var frozen: [KeyPattern] = []
  var augments = false
  var isStrict = false
  /// nil: the default; 0: none.
  var epochs: Int?

  init(_ pointer: UnsafePointer<lamina_trainer_options>?) throws {
    let given =
      try pointer.map { try LaminaC.options($0, lamina_trainer_options(), "options") }
      ?? lamina_trainer_options()
    func fail(_ expected: String, _ found: some CustomStringConvertible, _ field: String)
      -> LaminaError
    {
      LaminaError(.argument, "expected \(expected), found \(found)", path: "options.\(field)")
    }
    func check(_ value: Double, _ field: String, below bound: Double = .infinity) throws -> Double {
      guard value >= 0, value < bound else {
        throw fail(
          bound == .infinity ? "a number from 0" : "a number from 0 and below \(bound)", value,
          field)
      }
      return value
    }
    func flag(_ value: Int32, _ field: String) throws -> Bool {
      guard value == 0 || value == 1 else { throw fail("0 or 1", value, field) }
      return value == 1
    }
    let names: [OptimizerName] = [.adam, .sgd, .rmsprop, .adamw, .nadam]
    guard names.indices.contains(Int(given.optimizer)) else {
      throw fail("an optimizer of lamina_training.h", given.optimizer, "optimizer")
    }
    let schedules: [ScheduleName] = [.constant, .cosine, .oneCycle]
    guard schedules.indices.contains(Int(given.schedule)) else {
      throw fail("a schedule of lamina_training.h", given.schedule, "schedule")
    }
    let rate = try check(given.learning_rate, "learning_rate")
    let momentum =
      given.momentum == -1
      ? 0
      : given.momentum == 0
        ? nil : try check(given.momentum, "momentum", below: 1)
    trainer.optimizer = names[Int(given.optimizer)].optimizer(
      learningRate: rate == 0 ? nil : rate, momentum: momentum,
      weightDecay: try check(given.weight_decay, "weight_decay"))
    trainer.schedule = schedules[Int(given.schedule)].schedule
    smoothing = try check(given.label_smoothing, "label_smoothing", below: 1)
    let norm = try check(given.gradient_norm, "gradient_norm")
    if norm > 0 { trainer.clipping = .globalNorm(norm) }
    guard (-1...1_000_000).contains(given.epochs) else {
      throw fail("-1...1000000", given.epochs, "epochs")
    }
    if given.epochs != 0 { epochs = max(Int(given.epochs), 0) }
    guard (0...65_536).contains(given.batch_size) else {
      throw fail("0...65536", UInt(bitPattern: given.batch_size), "batch_size")
    }
    if given.batch_size > 0 { trainer.batchSize = given.batch_size }
    trainer.seed = given.seed
    augments = try flag(given.augment, "augment")
    isStrict = try flag(given.strict, "strict")
    let resumes = try flag(given.resume, "resume")
    try checkReserved(given.reserved)
    if let folder = try given.checkpoints.map({ try text($0, "checkpoints") }) {
      trainer.checkpoints = CheckpointOptions(folder: folder)
      trainer.checkpoints?.resumes = resumes
    } else if resumes {
      throw fail("a folder of checkpoints to resume from", "NULL", "checkpoints")
    }
    frozen = try array(given.frozen, given.frozen_count, "frozen").map {
      KeyPattern(try text($0, "frozen"))
    }
  }

  private var smoothing = 0.0

  /// The loss by the outputs of a model.
  func losses(of model: Model) throws -> [LossTerm] {
    try model.lossTerms(SoftmaxCrossEntropy(labelSmoothing: smoothing))
  }
}

/// Tells a C caller how far training is.
struct ProgressReporter {
  private let function: lamina_on_progress?
  private let user: UnsafeMutableRawPointer?

  init(_ function: lamina_on_progress?, _ user: UnsafeMutableRawPointer?) {
    self.function = function
    self.user = user
  }

  /// Names of the stages, which live as long as the process.
  private static nonisolated(unsafe) let stages = ["train", "head", "all"].map { immortal($0) }

  /// A part of training.
  enum Stage: Int {
    case train, head, all

    init(_ phase: FineTuningPhase) { self = phase == .head ? .head : .all }
  }

  private func tell(
    _ stage: Stage, _ event: Int, _ fill: (inout lamina_progress) -> Void
  ) -> Bool {
    guard let function else { return true }
    var progress = lamina_progress()
    progress.struct_size = UInt32(MemoryLayout<lamina_progress>.size)
    progress.event = Int32(truncatingIfNeeded: event)
    progress.stage = Self.stages[stage.rawValue]
    for field in [
      \lamina_progress.loss, \.accuracy, \.validation_loss, \.validation_accuracy, \.learning_rate,
      \.items_per_second,
    ] { progress[keyPath: field] = .nan }
    fill(&progress)
    return function(user, &progress) == 0
  }

  /// A batch is done; returns whether to go on.
  func batch(_ stage: Stage, _ done: TrainingProgress) -> Bool {
    tell(stage, LAMINA_PROGRESS_BATCH) { progress in
      progress.epoch = done.epoch + 1
      progress.epochs = done.epochs
      progress.step = done.batch
      progress.steps = done.batches
      progress.loss = done.measured.loss
      progress.accuracy = done.measured.accuracy ?? .nan
      progress.learning_rate = done.learningRate
      progress.items_per_second = done.itemsPerSecond
    }
  }

  /// An epoch is done; returns whether to go on.
  func epoch(_ stage: Stage, _ trainer: Trainer, _ logs: TrainingLogs) -> Bool {
    tell(stage, LAMINA_PROGRESS_EPOCH) { progress in
      progress.epoch = trainer.epoch + 1
      progress.epochs = trainer.options.epochs
      progress.step = trainer.batchesPerEpoch
      progress.steps = trainer.batchesPerEpoch
      progress.loss = logs["loss"] ?? .nan
      progress.accuracy = logs["accuracy"] ?? .nan
      progress.validation_loss = logs["val_loss"] ?? .nan
      progress.validation_accuracy = logs["val_accuracy"] ?? .nan
      progress.learning_rate = logs["learning_rate"] ?? .nan
    }
  }

  /// Features of some items are there; returns whether to go on.
  func features(_ done: Int, of total: Int) -> Bool {
    tell(.head, LAMINA_PROGRESS_FEATURES) { progress in
      progress.step = done
      progress.steps = total
    }
  }
}

/// Tells a C caller of the end of each epoch.
final class EpochReporter: TrainingCallback {
  private let stage: ProgressReporter.Stage
  /// Who is told; nil: nobody.
  var reporter: ProgressReporter?

  init(_ stage: ProgressReporter.Stage, _ reporter: ProgressReporter? = nil) {
    self.stage = stage
    self.reporter = reporter
  }

  func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    if reporter?.epoch(stage, trainer, logs) == false { trainer.cancel() }
  }
}

extension TrainingEnding {
  /// The number in the header.
  var code: Int32 {
    let code =
      switch self {
      case .completed, .stopped: LAMINA_ENDING_COMPLETED
      case .cancelled: LAMINA_ENDING_CANCELLED
      case .notFinite: LAMINA_ENDING_NOT_FINITE
      }
    return Int32(truncatingIfNeeded: code)
  }
}

extension TrainingScore {
  /// The struct of the header.
  var facts: lamina_score {
    var facts = lamina_score()
    facts.count = count
    facts.loss = loss
    facts.accuracy = accuracy ?? .nan
    return facts
  }
}
