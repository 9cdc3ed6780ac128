import Lamina

extension Command {
  static let train = Command(
    name: "train", summary: "train a model from scratch, or go on with one",
    operands: "MODEL DATA", operandCount: 2...2,
    options: [
      .output, .epochs, .batch, .optimizer, .learningRate, .momentum, .rho, .weightDecay, .schedule,
      .patience, .labelSmoothing, .size, .augment, .lighting, .freeze, .holdOut, .broken,
      .classNames, .note, .checkpoints, .checkpointSteps, .report, .seed, .threads, .json,
    ],
    example: """
      $ lamina train lenet5 mnist -o lenet5.safetensors --epochs 5
      DATA is a folder of MNIST's or CIFAR's files, or with a folder of pictures for each class, or two of these called
      train and val. Ctrl-C finishes the batch and, with --checkpoints, saves; the same command or 'lamina resume' then
      goes on.
      A model of the catalogue starts from the numbers of --seed and learns by its auxiliary heads too, where it has
      such; the file is without them. AlexNet as its paper has it:
      $ lamina train alexnet_paper flowers -o a.safetensors --optimizer sgd --weight-decay 5e-4 --batch 128 \
          --schedule plateau --augment --lighting 0.1
      """
  ) { arguments in
    let settings = try TrainingArguments(arguments)
    let target = try settings.targets()
    let pool = ThreadPool(threads: arguments.integer(.threads))
    let named = try ModelArgument.load(arguments.operands[0], arguments, trainingBy: settings.seed)
    var training = TrainingOptions()
    training.frozen = settings.frozen
    try named.checkTrainable(training)
    let sets = try settings.pictures(arguments.operands[1], pool: pool)
    let (fitted, _) = try named.fitted(to: sets.training.classNames, seed: settings.seed)
    let model = try settings.sized(fitted)
    let data = try settings.data(sets, for: model, pool: pool)
    var options = try settings.trainerOptions(for: model)
    options.epochs = arguments.integer(.epochs) ?? 10
    let trainer = try Trainer(
      model: model, data: data.training, validation: data.validation, options: options,
      training: training, callbacks: settings.callbacks("train", stage: "epoch"), pool: pool)
    let ending = try settings.fit(trainer, stage: "epoch")
    let trained = try trainer.makeModel().withoutAuxiliaryOutputs()
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
  /// How trainers of the model train.
  func trainerOptions(for model: Model) throws -> TrainerOptions {
    var options = TrainerOptions()
    options.optimizer = optimizer
    options.schedule = schedule
    if labelSmoothing > 0 {
      options.losses = try model.lossTerms(SoftmaxCrossEntropy(labelSmoothing: labelSmoothing))
    }
    options.batchSize = batchSize
    options.seed = seed
    if let folder = arguments.text(.checkpoints) {
      options.checkpoints = CheckpointOptions(folder: folder)
      options.checkpoints?.resumes = true
      options.checkpoints?.everySteps = arguments.integer(.checkpointSteps)
    }
    return options
  }

  /// What follows the epochs of a stage: a line, the learning rate where it follows the loss and, where there are
  /// checkpoints, the command that began them.
  func callbacks(_ command: String, stage: String) -> [any TrainingCallback] {
    var result: [any TrainingCallback] = [EpochLines(stage, asJSON: arguments.has(.json))]
    if let patience { result.append(ReduceLROnPlateau(patience: patience)) }
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

  /// The model for pictures of the side that was asked for.
  func sized(_ model: Model) throws -> Model {
    guard let side = arguments.integer(.size) else { return model }
    var metadata = model.metadata
    metadata.preprocessing = try model.requiredPreprocessing().resized(to: side)
    return model.replacingMetadata(metadata)
  }

  /// Writes the model, and says how training ended.
  func finish(_ model: Model, _ ending: TrainingEnding, _ messages: [String], _ target: String)
    throws -> ExitStatus
  {
    for message in messages { Terminal.report(message) }
    var metadata = model.metadata
    if let note = arguments.text(.note) { metadata.provenance["note"] = note }
    let model = model.replacingMetadata(metadata)
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
