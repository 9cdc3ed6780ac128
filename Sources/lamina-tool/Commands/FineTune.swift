import Lamina

extension Command {
  private static let headEpochs = Option(
    name: "head-epochs", value: .integer(0...100_000),
    help: "epochs of the new head alone, all else frozen; default: 5")

  private static let cache = Option(
    name: "cache", value: .text("FOLDER"),
    help: "keep what the frozen layers compute there, for other trainings of the head")
  private static let variants = Option(
    name: "variants", value: .integer(1...1000),
    help: "with --augment, changes of each picture that the head learns from; default: new ones")
  private static let epochs = Option(
    name: "epochs", value: .integer(0...100_000), help: "epochs of all layers; default: 3")

  static let finetune = Command(
    name: "finetune", summary: "fit a trained model to classes of your own",
    operands: "MODEL DATA", operandCount: 2...2,
    options: [
      .output, headEpochs, epochs, .batch, .optimizer, .learningRate, .momentum, .rho,
      .weightDecay, .schedule, .patience, .labelSmoothing, .size, .augment, variants, .lighting,
      .freeze, .holdOut, .broken, .classNames, .note, cache, .checkpoints, .checkpointSteps,
      .report, .seed, .threads, .json,
    ],
    example: """
      $ lamina finetune efficientnet_lite0.safetensors flowers -o flowers.safetensors
      DATA has a folder of pictures for each class, or two such folders called train and val. First the last layer is
      trained alone, on features that the frozen layers compute once, then all layers at a tenth of the learning rate.
      With --checkpoints FOLDER, 'lamina resume FOLDER' goes on behind an interruption.
      """
  ) { arguments in
    let settings = try TrainingArguments(arguments)
    let target = try settings.targets()
    let pool = ThreadPool(threads: arguments.integer(.threads))
    let trained = try settings.sized(ModelArgument.load(arguments.operands[0], arguments))
    var options = FineTuningOptions()
    options.headEpochs = arguments.integer(headEpochs) ?? options.headEpochs
    options.epochs = arguments.integer(epochs) ?? options.epochs
    options.frozen = settings.frozen
    if options.epochs > 0 {
      var training = TrainingOptions()
      training.frozen = settings.frozen
      try trained.checkTrainable(training)
    }
    let sets = try settings.pictures(arguments.operands[1], pool: pool)
    let data = try settings.data(sets, for: trained, pool: pool)
    options.trainer = try settings.trainerOptions(for: trained)
    options.cacheFolder = arguments.text(cache)
    options.featureVariants = arguments.integer(variants)
    let features = StageBars()
    let bars = FineTuningPhase.allCases.map { EpochBar($0.rawValue) }
    defer { bars.forEach { $0.finish() } }
    let result = try Interruption.finishing {
      try trained.fineTuning(
        to: sets.training.classNames, on: data.training, validation: data.validation,
        options: options, pool: pool,
        callbacks: { settings.callbacks("finetune", stage: $0.rawValue) }
      ) { progress in
        switch progress {
        case .features(let done, let total): features.show("features", done, of: total)
        case .batch(let phase, let progress): bars[phase == .head ? 0 : 1].show(progress)
        }
        return !Interruption.isRequested
      }
    }
    features.finish()
    if let (path, byteCount, wasRead) = result.featureFile {
      let size = byteCount >> 10
      Terminal.report(
        "features \(wasRead ? "read from" : "kept in") \(path.escapedForDisplay(limit: 4096)), \(size) KiB"
      )
    }
    for (phase, before, after) in result.frozenChecksums {
      Terminal.report("\(phase.rawValue): what is frozen had checksum \(before), and has \(after)")
    }
    if result.phases.isEmpty, result.ending == .cancelled { return .interrupted }
    let status = try settings.finish(result.model, result.ending, result.messages, target)
    try settings.report(
      "finetune", result.model, from: trained, result.phases, sets, result.ending, pool)
    return status
  }
}
