import Lamina

extension Command {
  static let train = Command(
    name: "train", summary: "train a model from scratch, or go on with one",
    operands: "MODEL DATA", operandCount: 2...2,
    options: [
      .output, .epochs, .batch, .optimizer, .learningRate, .weightDecay, .schedule, .augment,
      .holdOut, .broken, .checkpoints, .checkpointSteps, .report, .seed, .threads, .json,
    ],
    example: """
      $ lamina train lenet5 mnist -o lenet5.safetensors --epochs 5
      DATA is a folder of MNIST's or CIFAR's files, or with a folder of pictures for each class, or two of these called
      train and val. Ctrl-C finishes the batch and, with --checkpoints, saves; the same command or 'lamina resume' then
      goes on.
      """
  ) { arguments in
    let settings = try TrainingArguments(arguments)
    let target = try settings.targets()
    let pool = ThreadPool(threads: arguments.integer(.threads))
    let named = try ModelArgument.load(arguments.operands[0])
    try named.checkTrainable()
    let sets = try settings.pictures(arguments.operands[1], pool: pool)
    let (model, _) = try named.fitted(to: sets.training.classNames, seed: settings.seed)
    let data = try settings.data(sets, for: model, pool: pool)
    var options = settings.trainerOptions
    options.epochs = arguments.integer(.epochs) ?? 10
    let trainer = try Trainer(
      model: model, data: data.training, validation: data.validation, options: options,
      callbacks: settings.callbacks("train", stage: "epoch"), pool: pool)
    let ending = try settings.fit(trainer, stage: "epoch")
    let trained = try trainer.makeModel()
    let status = try settings.finish(trained, ending, trainer.messages, target)
    try settings.report(
      "train", trained, from: model, [TrainingReport.Phase("training", trainer)], sets, ending, pool
    )
    return status
  }
}

extension Model {
  /// The model with as many outputs as classes: itself where it has them already, else with a new head.
  func fitted(to classNames: [String], seed: UInt64) throws -> (model: Model, head: [String]) {
    guard metadata.labels != classNames else { return (self, []) }
    return try replacingHead(labels: classNames, seed: seed)
  }

  /// - Throws: `unsupported` when the model does not say how pictures become its input.
  func requiredPreprocessing() throws -> Preprocessing {
    guard let preprocessing = metadata.preprocessing else {
      throw LaminaError(
        .unsupported,
        "the model does not say how pictures become its input: 'lamina import' sets it")
    }
    return preprocessing
  }
}

extension Arguments {
  /// - Throws: `UsageError` when it was not given.
  func required(_ option: Option) throws -> String {
    guard let text = text(option) else {
      throw UsageError("option '\(option.heading)' is missing")
    }
    return text
  }
}

extension TrainingArguments {
  /// How trainers train.
  var trainerOptions: TrainerOptions {
    var options = TrainerOptions()
    options.optimizer = optimizer
    options.schedule = schedule
    options.batchSize = batchSize
    options.seed = seed
    if let folder = arguments.text(.checkpoints) {
      options.checkpoints = CheckpointOptions(folder: folder)
      options.checkpoints?.resumes = true
      options.checkpoints?.everySteps = arguments.integer(.checkpointSteps)
    }
    return options
  }

  /// What is told of a training: a line behind each epoch and, where there are checkpoints, the command that made them.
  func callbacks(_ command: String, stage: String) -> [any TrainingCallback] {
    var result: [any TrainingCallback] = [EpochLines(stage, asJSON: arguments.has(.json))]
    if let folder = arguments.text(.checkpoints) {
      result.append(CommandRecord(command, arguments.words, folder: folder))
    }
    return result
  }

  /// The path of the model to write.
  ///
  /// - Throws: `UsageError` when there is none; `io`, `notFound` when it, or the report, cannot be written there.
  func targets() throws -> String {
    let target = try arguments.required(.output)
    for path in [target, arguments.text(.report)].compactMap({ $0 }) {
      _ = try AtomicFileWriter(path: path)
    }
    return target
  }

  /// Pictures as a model takes them: to train with, and to check with.
  func data(_ sets: ImageSets, for model: Model, pool: ThreadPool) throws -> (
    training: ImageTrainingData, validation: ImageTrainingData?
  ) {
    let preprocessing = try model.requiredPreprocessing()
    return (
      ImageTrainingData(pipeline(sets.training, preprocessing), pool: pool),
      sets.validation.map { ImageTrainingData(ImagePipeline($0, preprocessing), pool: pool) }
    )
  }

  /// Writes the model, and says how training ended.
  func finish(_ model: Model, _ ending: TrainingEnding, _ messages: [String], _ target: String)
    throws -> ExitStatus
  {
    for message in messages { Terminal.report(message) }
    try Interruption.removingTemporaryFile(of: target) { try ModelFile.save(model, to: target) }
    if !arguments.has(.json) {
      try Terminal.write("wrote \(target.escapedForDisplay(limit: 4096))\n")
    }
    switch ending {
    case .completed, .stopped: return .done
    case .cancelled: return .interrupted
    case .notFinite: return .failure
    }
  }
}
