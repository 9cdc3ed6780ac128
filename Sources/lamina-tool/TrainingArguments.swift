import Lamina

/// Options that train, finetune and eval have in common.
extension Option {
  static let output = Option(
    name: "output", letter: "o", value: .text("FILE"), help: "the Lamina model to write; required")
  static let epochs = Option(
    name: "epochs", value: .integer(1...100_000), help: "times that all pictures are seen")
  static let batch = Option(
    name: "batch", value: .integer(1...65_536), help: "pictures in a step; default: 32")
  static let optimizer = Option(
    name: "optimizer", value: .text("NAME"),
    help: "sgd, rmsprop, adam, adamw or nadam; default: adam")
  static let learningRate = Option(
    name: "learning-rate", value: .text("X"), help: "default: 0.01 for sgd, 0.001 for the others")
  static let momentum = Option(
    name: "momentum", value: .text("X"),
    help: "share of the last step in the next; default: 0.9 for sgd, 0 for rmsprop")
  static let rho = Option(
    name: "rho", value: .text("X"),
    help: "how much of its mean square rmsprop keeps in a step; default: 0.9")
  static let weightDecay = Option(
    name: "weight-decay", value: .text("X"), help: "how weights shrink; default: 0")
  static let schedule = Option(
    name: "schedule", value: .text("NAME"),
    help:
      "learning rate over time: constant, cosine, one-cycle or plateau, a tenth when val_loss stays; default: constant"
  )
  static let patience = Option(
    name: "patience", value: .integer(1...100_000),
    help: "epochs without a better val_loss that plateau waits for; default: 3")
  static let labelSmoothing = Option(
    name: "label-smoothing", value: .text("X"),
    help: "share of the target that all classes have alike; default: 0")
  static let augment = Option(
    name: "augment", help: "flip, crop and shift the colours of pictures at random")
  static let lighting = Option(
    name: "lighting", value: .text("X"),
    help:
      "shift colours along ImageNet's principal components with this deviation, AlexNet's is 0.1; default: 0"
  )
  static let size = Option(
    name: "size", value: .integer(1...4096),
    help: "side of the input in pixels; default: the model's")
  static let freeze = Option(
    name: "freeze", value: .text("NAMES"),
    help: "layers that stay as they are, joined by ',' and with '*' for any characters")
  static let holdOut = Option(
    name: "hold-out", value: .integer(0...90),
    help: "per cent of each class to check with, where DATA has no val folder; default: 20")
  static let broken = Option(
    name: "broken", value: .text("POLICY"),
    help: "pictures that cannot be decoded: error, skip or replace; default: error")
  static let classNames = Option(
    name: "labels", value: .text("FILE"),
    help: "names of the classes, one a line; default: what DATA and the model call them")
  static let note = Option(
    name: "note", value: .text("TEXT"), help: "kept in the file, as where its weights come from")
  static let checkpoints = Option(
    name: "checkpoints", value: .text("FOLDER"),
    help: "save training there behind each epoch, and go on from what is there")
  static let checkpointSteps = Option(
    name: "checkpoint-steps", value: .integer(1...Int.max),
    help: "save it also behind so many steps")
  static let report = Option(
    name: "report", value: .text("FILE"),
    help: "write a page of HTML: curves, classes, mistakes, how it was made")
  static let seed = Option(
    name: "seed", value: .integer(0...Int.max), help: "of all random numbers; default: 0")
}

/// What training needs of the command line.
struct TrainingArguments {
  let optimizer: any Optimizer
  let schedule: any Schedule
  /// Epochs until the learning rate falls; nil: it does not follow the loss.
  let patience: Int?
  let labelSmoothing: Double
  let lighting: Double
  let frozen: [KeyPattern]
  let batchSize: Int
  let seed: UInt64
  let policy: BrokenPicturePolicy
  let arguments: Arguments

  init(_ arguments: Arguments) throws {
    self.arguments = arguments
    func number(_ option: Option, isShare: Bool = false) throws -> Double? {
      guard let text = arguments.text(option) else { return nil }
      guard let value = Double(text), value.isFinite, value >= 0, !isShare || value < 1 else {
        let bounds = isShare ? "at least 0 and below 1" : "at least 0"
        throw UsageError(
          "expected '--\(option.name)' of \(bounds), found '\(text.escapedForDisplay())'")
      }
      return value
    }
    let rate = try number(.learningRate)
    let decay = try number(.weightDecay) ?? 0
    let name = arguments.text(.optimizer) ?? "adam"
    guard let named = OptimizerName(rawValue: name) else {
      throw Self.unknown(.optimizer, name, OptimizerName.allCases.map(\.rawValue))
    }
    func refuse(_ option: Option, unless names: [OptimizerName]) throws {
      guard arguments.has(option), !names.contains(named) else { return }
      let list = names.map(\.rawValue).joined(separator: " and ")
      throw UsageError("'--\(option.name)' makes no sense with \(name), only with \(list)")
    }
    try refuse(.momentum, unless: [.sgd, .rmsprop])
    try refuse(.rho, unless: [.rmsprop])
    optimizer = try named.optimizer(
      learningRate: rate, momentum: number(.momentum, isShare: true),
      rho: number(.rho, isShare: true), weightDecay: decay)
    let shape = arguments.text(.schedule) ?? "constant"
    patience = shape == "plateau" ? arguments.integer(.patience) ?? 3 : nil
    if patience == nil, arguments.has(.patience) {
      throw UsageError("'--patience' makes no sense without '--schedule plateau'")
    }
    let steady = ScheduleName.constant
    guard let schedule = (patience == nil ? ScheduleName(rawValue: shape) : steady)?.schedule else {
      throw Self.unknown(.schedule, shape, ScheduleName.allCases.map(\.rawValue) + ["plateau"])
    }
    self.schedule = schedule
    labelSmoothing = try number(.labelSmoothing, isShare: true) ?? 0
    lighting = try number(.lighting) ?? 0
    frozen = (arguments.text(.freeze) ?? "").split(separator: ",").map { KeyPattern(String($0)) }
    let broken = arguments.text(.broken) ?? "error"
    guard let policy = BrokenPicturePolicy(rawValue: broken) else {
      throw Self.unknown(.broken, broken, BrokenPicturePolicy.allCases.map(\.rawValue))
    }
    self.policy = policy
    batchSize = arguments.integer(.batch) ?? 32
    seed = UInt64(arguments.integer(.seed) ?? 0)
  }

  private static func unknown(_ option: Option, _ found: String, _ names: [String]) -> UsageError {
    UsageError(
      "expected '--\(option.name)' of \(names.joined(separator: ", ")), found '\(found.escapedForDisplay())'"
    )
  }

  /// The pictures at `path`.
  ///
  /// - Parameter percent: how many are held out where nothing on the command line says it.
  func pictures(
    _ path: String, classNames: [String]? = nil, holdingOut percent: Int = 20, pool: ThreadPool
  ) throws -> ImageSets {
    let bars = StageBars()
    let classNames =
      try arguments.text(.classNames).map { try LabelFile.labels(path: $0) }
      ?? classNames
    let sets = try ImageSets(
      path: path, classNames: classNames, holdingOut: arguments.integer(.holdOut) ?? percent,
      broken: policy, seed: seed, decoding: arguments.decoding(), pool: pool
    ) { stage, done, total in bars.show("decoding \(stage)", done, of: total) }
    bars.finish()
    for picture in sets.broken.prefix(20) {
      Terminal.report("left out: \(picture.name.escapedForDisplay(limit: 512)): \(picture.reason)")
    }
    if sets.broken.count > 20 { Terminal.report("left out: \(sets.broken.count - 20) more") }
    return sets
  }

  /// How pictures become inputs of a model, changed at random when that is asked for.
  func pipeline(_ images: any LabeledImages, _ preprocessing: Preprocessing) -> ImagePipeline {
    var pipeline = ImagePipeline(images, preprocessing)
    pipeline.seed = seed
    pipeline.lighting = lighting
    return arguments.has(.augment) ? pipeline.withUsualAugmentations : pipeline
  }

  /// Trains, with a line an epoch and a bar within; finishes the batch when it is interrupted.
  func fit(_ trainer: Trainer, stage: String) throws -> TrainingEnding {
    let bar = EpochBar(stage)
    defer { bar.finish() }
    return try Interruption.finishing {
      try trainer.fit { progress in
        bar.show(progress)
        return !Interruption.isRequested
      }
    }
  }
}

/// How far an epoch is: a bar on a terminal, nothing in a pipe.
struct EpochBar {
  private let stage: String

  init(_ stage: String) { self.stage = stage }

  func show(_ progress: TrainingProgress) {
    guard Terminal.isWatched else { return }
    let filled = progress.batch * 24 / max(progress.batches, 1)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 24 - filled)
    let seen = Double(progress.measured.count)
    let share = Double(progress.batches - progress.batch) / Double(max(progress.batch, 1))
    let left = progress.itemsPerSecond > 0 ? share * seen / progress.itemsPerSecond : 0
    let accuracy = progress.measured.accuracy.map { "accuracy \($0.decimal(4))" }
    let parts = [
      "\(stage) \(progress.epoch + 1)/\(progress.epochs)", "[\(bar)]",
      "loss \(progress.measured.loss.decimal(4))", accuracy,
      "\(progress.itemsPerSecond.decimal(0)) images/s", "\(left.decimal(0)) s left",
    ]
    Terminal.draw("\r\u{1B}[K" + parts.compactMap { $0 }.joined(separator: "  "))
  }

  func finish() { if Terminal.isWatched { Terminal.draw("\r\u{1B}[K") } }
}

/// Prints a line behind each epoch.
final class EpochLines: TrainingCallback {
  private let stage: String
  private let asJSON: Bool

  init(_ stage: String, asJSON: Bool) {
    self.stage = stage
    self.asJSON = asJSON
  }

  func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    if Terminal.isWatched { Terminal.draw("\r\u{1B}[K") }
    if asJSON {
      let numbers = logs.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .double($0.value)) }
      let heading = [
        JSON.Member("stage", .string(stage)),
        JSON.Member("epoch", .int(Int64(trainer.epoch + 1))),
      ]
      try Terminal.write(JSON.object(heading + numbers).text() + "\n")
    } else {
      let names = ["loss", "accuracy", "val_loss", "val_accuracy"]
      let parts = names.compactMap { name in logs[name].map { "\(name) \($0.decimal(4))" } }
      try Terminal.write(
        "\(stage) \(trainer.epoch + 1)/\(trainer.options.epochs)  \(parts.joined(separator: "  "))\n"
      )
    }
  }
}
