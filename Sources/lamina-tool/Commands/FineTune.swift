import Lamina

extension Command {
  private static let headEpochs = Option(
    name: "head-epochs", value: .integer(0...100_000),
    help: "epochs of the new head alone, all else frozen; default: 5")

  static let finetune = Command(
    name: "finetune", summary: "fit a trained model to classes of your own",
    operands: "MODEL DATA", operandCount: 2...2,
    options: [
      .output, .epochs, headEpochs, .batch, .optimizer, .learningRate, .momentum, .rho,
      .weightDecay, .schedule, .patience, .labelSmoothing, .size, .augment, .lighting, .freeze,
      .holdOut, .broken, .seed, .threads, .json,
    ],
    example: """
      $ lamina finetune efficientnet_lite0.safetensors flowers -o flowers.safetensors
      DATA has a folder of pictures for each class, or two such folders called train and val. First the last layer is
      trained alone, on features that the frozen layers compute once, then all layers at a tenth of the learning rate.
      """
  ) { arguments in
    let settings = try TrainingArguments(arguments)
    let target = try arguments.required(.output)
    let pool = ThreadPool(threads: arguments.integer(.threads))
    let trained = try settings.sized(ModelArgument.load(arguments.operands[0]))
    let sets = try settings.pictures(arguments.operands[1], pool: pool)
    var (model, head) = try trained.replacingHead(
      labels: sets.training.classNames, seed: settings.seed)
    let headCount = arguments.integer(headEpochs) ?? 5
    if headCount > 0 {
      let trainer = try settings.headTrainer(model, head, sets, epochs: headCount, pool: pool)
      let ending = try settings.fit(trainer, stage: "head")
      model = try trainer.makeModel()
      guard ending == .completed else {
        return try settings.finish(model, ending, trainer.messages, target)
      }
    }
    let epochs = arguments.integer(.epochs) ?? 3
    var gentle = settings.optimizer
    gentle.learningRate /= 10
    let trainer = try settings.trainer(
      model, sets, epochs: epochs, stage: "all", optimizer: gentle, pool: pool)
    let ending = try settings.fit(trainer, stage: "all")
    return try settings.finish(trainer.makeModel(), ending, trainer.messages, target)
  }
}

extension TrainingArguments {
  /// A trainer of the layers `head` alone; where pictures are the same in every epoch, on features.
  fileprivate func headTrainer(
    _ model: Model, _ head: [String], _ sets: PictureSets, epochs: Int, pool: ThreadPool
  ) throws -> Trainer {
    let frozen = model.graph.nodes.map(\.name).filter { !head.contains($0) }.map { KeyPattern($0) }
    let preprocessing = try model.requiredPreprocessing()
    guard pipeline(sets.training, preprocessing).isDeterministic else {
      return try trainer(model, sets, epochs: epochs, stage: "head", frozen: frozen, pool: pool)
    }
    var training = TrainingOptions()
    training.frozen = frozen
    let session = try TrainingSession(model: model, options: training, pool: pool)
    let data = ImageTrainingData(ImagePipeline(sets.training, preprocessing), pool: pool)
    let bar = Progress("features", total: data.count)
    var done = 0
    let features = try FeatureCache(session, data, batchSize: batchSize) { count in
      for _ in done..<count { bar.advance() }
      done = count
    }
    bar.finish()
    return try trainer(
      model, sets, epochs: epochs, stage: "head", frozen: frozen, data: features, pool: pool)
  }
}
