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
  static let checkpoints = Option(
    name: "checkpoints", value: .text("FOLDER"),
    help: "save training there behind each epoch, and go on from what is there")
  static let seed = Option(
    name: "seed", value: .integer(0...Int.max), help: "of all random numbers; default: 0")
}

/// Pictures to train and to check with.
struct PictureSets {
  var training: any LabeledImages
  var validation: (any LabeledImages)?
  var broken: [BrokenPicture] = []

  /// What lies at `path`: MNIST's four files, CIFAR's binary batches, folders `train` and `val` of class folders, or
  /// class folders, of which `percent` per cent are held out.
  ///
  /// - Parameter classNames: a model's labels, which the folders must have.
  init(
    path: String, classNames: [String]? = nil, holdingOut percent: Int,
    broken policy: BrokenPicturePolicy,
    seed: UInt64, pool: ThreadPool
  ) throws {
    func file(_ names: String...) -> String? {
      names.map { "\(path)/\($0)" }.first(where: System.fileExists)
    }
    if let images = file("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
      let labels = file("train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte")
    {
      training = try IDXImages(images: images, labels: labels, classNames: classNames)
      if let images = file("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"),
        let labels = file("t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte")
      {
        validation = try IDXImages(images: images, labels: labels, classNames: classNames)
      }
      return
    }
    let batches = (1...5).map { "\(path)/data_batch_\($0).bin" }.filter(System.fileExists)
    if !batches.isEmpty {
      training = try CIFARBinary(paths: batches)
      if let test = file("test_batch.bin") { validation = try CIFARBinary(paths: [test]) }
      return
    }
    func check(_ images: any LabeledImages, _ stage: String) throws -> CheckedImages {
      let bar = Progress("decoding \(stage)", total: images.count)
      defer { bar.finish() }
      return try CheckedImages(images, policy, pool: pool) { _ in bar.advance() }
    }
    guard let train = file("train") else {
      let all = try check(ImageFolder(path: path, classNames: classNames), path)
      broken = all.broken
      let images = all.images
      let split = try StratifiedSplit(
        images, holdingOut: Double(percent) / 100, seed: seed, pool: pool)
      training = ImageSubset(images, split.training)
      validation = split.validation.isEmpty ? nil : ImageSubset(images, split.validation)
      return
    }
    let first = try ImageFolder(path: train, classNames: classNames)
    let checked = try check(first, "the pictures to train with")
    training = checked.images
    broken = checked.broken
    if let val = file("val", "validation", "test") {
      let checked = try check(
        ImageFolder(path: val, classNames: first.classNames), "the pictures to check with")
      validation = checked.images
      broken += checked.broken
    }
  }
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
    let coupled = decay > 0 ? WeightDecay.coupled(decay) : .none
    let momentum = try number(.momentum, isShare: true)
    let rho = try number(.rho, isShare: true)
    let name = arguments.text(.optimizer) ?? "adam"
    func refuse(_ option: Option, unless names: [String]) throws {
      if arguments.has(option), !names.contains(name) {
        throw UsageError(
          "'--\(option.name)' makes no sense with \(name), only with \(names.joined(separator: " and "))"
        )
      }
    }
    try refuse(.momentum, unless: ["sgd", "rmsprop"])
    try refuse(.rho, unless: ["rmsprop"])
    switch name {
    case "sgd":
      optimizer = SGD(
        learningRate: rate ?? 0.01, momentum: momentum ?? 0.9, weightDecay: coupled)
    case "rmsprop":
      optimizer = RMSProp(
        learningRate: rate ?? 0.001, rho: rho, momentum: momentum ?? 0, weightDecay: coupled)
    case "adam": optimizer = Adam(learningRate: rate ?? 0.001, weightDecay: coupled)
    case "adamw":
      optimizer = Adam(
        learningRate: rate ?? 0.001, weightDecay: .decoupled(decay > 0 ? decay : 0.01))
    case "nadam": optimizer = Nadam(learningRate: rate ?? 0.001, weightDecay: coupled)
    default:
      throw Self.unknown(.optimizer, name, ["sgd", "rmsprop", "adam", "adamw", "nadam"])
    }
    let shape = arguments.text(.schedule) ?? "constant"
    patience = shape == "plateau" ? arguments.integer(.patience) ?? 3 : nil
    if patience == nil, arguments.has(.patience) {
      throw UsageError("'--patience' makes no sense without '--schedule plateau'")
    }
    switch shape {
    case "constant", "plateau": schedule = ConstantSchedule()
    case "cosine": schedule = CosineSchedule()
    case "one-cycle": schedule = OneCycleSchedule()
    default:
      throw Self.unknown(.schedule, shape, ["constant", "cosine", "one-cycle", "plateau"])
    }
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
  func pictures(_ path: String, classNames: [String]? = nil, pool: ThreadPool) throws -> PictureSets
  {
    let sets = try PictureSets(
      path: path, classNames: classNames, holdingOut: arguments.integer(.holdOut) ?? 20,
      broken: policy, seed: seed, pool: pool)
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
    guard arguments.has(.augment), let size = preprocessing.outputSize else { return pipeline }
    if size.height >= 96 {
      pipeline.augmentations = [
        .randomResizedCrop(size, scale: 0.35...1), .horizontalFlip(),
        .colorJitter(brightness: 0.2, contrast: 0.2, saturation: 0.2),
      ]
      pipeline.preprocessing.resize = .none
      pipeline.preprocessing.centerCrop = nil
    } else {
      pipeline.augmentations = [.translation(x: 0.1, y: 0.1)]
      if preprocessing.channelOrder != .gray { pipeline.augmentations.append(.horizontalFlip()) }
    }
    return pipeline
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
