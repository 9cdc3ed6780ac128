import LaminaCore

/// Trains a model on data. The same seed gives the same bits, whatever the number of threads, and also when training
/// is interrupted and resumed from a checkpoint. One caller at a time.
public final class Trainer {
  /// What runs the model.
  public let session: TrainingSession
  /// How it trains.
  public let options: TrainerOptions
  /// What the optimizer remembers.
  public let optimizer: OptimizerState
  /// Averages of the weights, where they are kept.
  public let average: MovingAverage?
  /// Epochs that are complete.
  public internal(set) var epoch = 0
  /// Batches of the epoch that are complete.
  public internal(set) var batch = 0
  /// Batches in all that are complete: the key of the random numbers of a batch.
  public internal(set) var batchesSoFar = 0
  /// What callbacks multiply the learning rate by.
  public var learningRateScale = 1.0
  /// The logs of every epoch.
  public internal(set) var history: [TrainingLogs] = []
  /// What was noted on the way: batches left out, checkpoints that could not be read or written.
  public internal(set) var messages: [String] = []
  /// Why training has ended; nil while it has not.
  public internal(set) var ending: TrainingEnding?
  let data: any TrainingData
  let validation: (any TrainingData)?
  let callbacks: [any TrainingCallback]
  let losses: [LossTerm]
  let folder: CheckpointFolder?
  var measured = TrainingScore()
  var rollbacks = 0
  lazy var modelHash = hashModel()
  private let objective: Objective
  private var pendingBatches = 0
  private var gradientNorm = 0.0
  private var safeTensors: [String: Tensor] = [:]
  private var safeState: (step: Int, numbers: [Double]) = (0, [])

  /// A trainer that stands before the first batch or, when resuming, where the newest checkpoint is.
  ///
  /// - Parameters:
  ///   - validation: what the model is evaluated on behind every epoch.
  ///   - training: what is frozen, and threads.
  /// - Throws: `argument` for options that make no sense, data without items, and a checkpoint of another training;
  ///   `state` when the folder of checkpoints is in use; and what `TrainingSession.init` throws.
  public init(
    model: Model, data: any TrainingData, validation: (any TrainingData)? = nil,
    options: TrainerOptions = TrainerOptions(), training: TrainingOptions = TrainingOptions(),
    callbacks: [any TrainingCallback] = [], pool: ThreadPool? = nil
  ) throws {
    for (name, value) in [
      ("batch size", options.batchSize), ("epochs", options.epochs),
      ("accumulated batches", options.accumulatedBatches), ("items", data.count),
      ("items of validation", validation?.count ?? 1),
    ] where value < 1 {
      throw LaminaError(.argument, "expected \(name) from 1, found \(value)")
    }
    if options.dropsPartialBatch && data.count < options.batchSize {
      throw LaminaError(
        .argument, "expected at least one batch of \(options.batchSize), found \(data.count) items")
    }
    losses = try options.losses ?? model.lossTerms(SoftmaxCrossEntropy())
    objective = try Objective(losses, outputs: model.graph.outputs.map(\.name))
    let session = try TrainingSession(model: model, options: training, pool: pool)
    self.session = session
    optimizer = try OptimizerState(options.optimizer, for: session, rules: options.rules)
    average = try options.averageDecay.map { try MovingAverage(decay: $0, of: session) }
    folder = try options.checkpoints.map {
      try CheckpointFolder(path: $0.folder, keptCount: $0.keptCount)
    }
    self.options = options
    self.data = data
    self.validation = validation
    self.callbacks = callbacks
    if let folder, let checkpoints = options.checkpoints {
      if checkpoints.resumes {
        try resume(from: folder, limits: training.limits)
      } else if let name = try folder.names().first {
        throw LaminaError(
          .state, "expected a folder without checkpoints, found \(name)",
          path: checkpoints.folder.escapedForDisplay(limit: 512))
      }
    }
  }

  /// Batches of an epoch.
  public var batchesPerEpoch: Int {
    let (whole, rest) = data.count.quotientAndRemainder(dividingBy: options.batchSize)
    return rest == 0 || options.dropsPartialBatch ? whole : whole + 1
  }

  /// The learning rate of the next step.
  public var learningRate: Double {
    let perEpoch = (batchesPerEpoch - 1) / options.accumulatedBatches + 1
    let time = TrainingTime(
      step: optimizer.step, epoch: epoch, stepsPerEpoch: perEpoch, epochs: options.epochs)
    return optimizer.optimizer.learningRate * options.schedule.factor(at: time) * learningRateScale
  }

  /// The model as it is now, with the averages of its weights where they are kept.
  public func makeModel() throws -> Model {
    let model = try session.makeModel()
    guard let average else { return model }
    var parameters = model.parameters
    for (weight, tensor) in zip(session.weights, average.tensors) {
      parameters[weight.key] = try Tensor(copying: tensor.view)
    }
    return try model.replacingParameters(parameters)
  }

  /// Ends training behind this epoch as when `progress` says so: for callbacks.
  public func cancel() { ending = ending ?? .cancelled }

  /// Ends training behind this batch or epoch, with the name of what decided that.
  public func stop(by name: String) { ending = ending ?? .stopped(by: name) }

  /// Trains until the last epoch, until a callback stops it, or until `progress` says so: the batch is then finished and
  /// a checkpoint written. Callbacks learn of the end however it comes. What was cancelled goes on when it is called
  /// again.
  ///
  /// - Parameter progress: is called behind each batch; returns whether to go on.
  /// - Throws: what data, layers and callbacks throw; `state` when weights overflow; `io` when a checkpoint cannot be
  ///   written.
  @discardableResult
  public func fit(progress: ((TrainingProgress) throws -> Bool)? = nil) throws -> TrainingEnding {
    if ending == .cancelled { ending = nil }
    pendingBatches = 0
    // What was prepared ahead would wait for a thread that the child of a fork does not have.
    defer { data.prefetch([], epoch: epoch) }
    do {
      for callback in callbacks { try callback.trainingBegins(self) }
      try keepSafeState()
      while epoch < options.epochs, ending == nil { try trainEpoch(progress) }
    } catch {
      for callback in callbacks { try? callback.trainingEnds(self) }
      throw error
    }
    let result = ending ?? .completed
    ending = result
    for callback in callbacks { try callback.trainingEnds(self) }
    return result
  }

  /// Item numbers of an epoch in their order: Fisher and Yates, by the seed and the epoch.
  static func order(_ count: Int, seed: UInt64, epoch: Int) -> [Int] {
    var order = Array(0..<count)
    let random = CounterRandom(seed: seed, name: "order \(epoch)")
    for last in stride(from: count - 1, to: 0, by: -1) {
      let other = random.bits(UInt64(last)).multipliedFullWidth(by: UInt64(last + 1)).high
      order.swapAt(last, Int(other))
    }
    return order
  }

  private func trainEpoch(_ progress: ((TrainingProgress) throws -> Bool)?) throws {
    let order =
      options.shuffles
      ? Trainer.order(data.count, seed: options.seed, epoch: epoch) : Array(0..<data.count)
    func indices(_ batch: Int) -> [Int] {
      let start = batch * options.batchSize
      return Array(order[start..<min(start + options.batchSize, order.count)])
    }
    if batch == 0 {
      rollbacks = 0
      for callback in callbacks { try callback.epochBegins(self) }
    }
    let clock = ContinuousClock()
    let begin = clock.now
    var items = 0
    while batch < batchesPerEpoch {
      let content = try data.batch(indices(batch), epoch: epoch)
      if batch + 1 < batchesPerEpoch { data.prefetch(indices(batch + 1), epoch: epoch) }
      let rate = learningRate
      let isLast = batch + 1 == batchesPerEpoch
      var result = content.count == 0 ? TrainingScore() : try train(content)
      if pendingBatches > 0, isLast || pendingBatches == options.accumulatedBatches,
        try !updateWeights()
      {
        result = TrainingScore()
      }
      measured.add(result)
      items += content.count
      batch += 1
      batchesSoFar += 1
      var logs: TrainingLogs = ["loss": result.loss, "learning_rate": rate]
      logs["accuracy"] = result.accuracy
      if content.count > 0 {
        for callback in callbacks { try callback.batchEnds(self, logs) }
      }
      let elapsed = (clock.now - begin) / .seconds(1)
      let goesOn = try progress?(
        TrainingProgress(
          epoch: epoch, epochs: options.epochs, batch: batch, batches: batchesPerEpoch,
          measured: measured, learningRate: rate, itemsPerSecond: Double(items) / elapsed))
      if goesOn == false { ending = ending ?? .cancelled }
      if let ending, ending == .notFinite || pendingBatches == 0 {
        if ending == .cancelled { try saveCheckpoint() }
        return
      }
      if pendingBatches == 0, !isLast, content.count > 0,
        let every = options.checkpoints?.everySteps, optimizer.step % max(every, 1) == 0
      {
        try saveCheckpoint()
      }
    }
    try endEpoch()
  }

  /// Adds the gradients of a batch; a measurement of nothing when it was left out.
  private func train(_ content: Batch) throws -> TrainingScore {
    let seed = CounterRandom(seed: options.seed, name: "batch").bits(UInt64(batchesSoFar))
    let objective = objective
    let measure = { (outputs: [TensorView], gradients: [MutableTensorView]) in
      try objective.measure(outputs, content.labels, gradients: gradients)
    }
    let result =
      switch content.content {
      case .inputs(let inputs):
        try session.step(
          inputs.map(\.view), seed: seed, accumulating: pendingBatches > 0, loss: measure)
      case .features(let features, let inputs):
        try session.step(
          features: features.map(\.view), of: inputs, seed: seed,
          accumulating: pendingBatches > 0, loss: measure)
      }
    gradientNorm = optimizer.gradientNorm()
    guard result.loss.isFinite, gradientNorm.isFinite,
      session.buffers.allSatisfy({ optimizer.squareSum($0.update).isFinite })
    else {
      try handleNonFinite(loss: result.loss)
      return TrainingScore()
    }
    session.commitBuffers()
    pendingBatches += 1
    return result
  }

  /// One step by the gradients of the pending batches; false when it was taken back.
  private func updateWeights() throws -> Bool {
    let rate = learningRate
    optimizer.update(
      learningRate: rate, gradientScale: 1 / Double(pendingBatches), clipping: options.clipping,
      gradientNorm: gradientNorm)
    pendingBatches = 0
    guard session.weights.allSatisfy({ optimizer.squareSum($0.value).isFinite }) else {
      guard options.nonFinite == .rollback else {
        throw LaminaError(
          .state, "weights overflowed in step \(optimizer.step) with learning rate \(rate)")
      }
      try handleNonFinite(loss: 0)
      return false
    }
    average?.update()
    return true
  }

  /// One pass forward and back of a batch of the caller's own, for loops in place of `fit`. Gradients of several passes
  /// before `apply` are averaged; statistics follow at once.
  ///
  /// - Throws: `state` when the loss, a gradient or a statistic is not finite, which forgets the passes; what layers and
  ///   losses throw.
  public func step(_ batch: Batch) throws -> TrainingScore {
    let result = try train(batch)
    batchesSoFar += 1
    if result.count == 0 {
      if ending == .notFinite { ending = nil }
      throw LaminaError(
        .state, "expected a finite loss with finite gradients, found \(messages.last ?? "none")")
    }
    return result
  }

  /// One step of the optimizer by the gradients of the passes before.
  ///
  /// - Throws: `state` when there are none, or weights overflow.
  public func apply() throws {
    guard pendingBatches > 0 else {
      throw LaminaError(.state, "expected a pass since the last step, found none")
    }
    guard try updateWeights() else {
      throw LaminaError(.state, "weights overflowed in step \(optimizer.step)")
    }
  }

  /// Adds a message, up to a number that nobody reads.
  func note(_ message: String) {
    if messages.count < 1000 { messages.append(message) }
  }

  private func handleNonFinite(loss: Double) throws {
    pendingBatches = 0
    let place = "epoch \(epoch + 1), batch \(batch + 1)"
    let what = loss.isFinite ? "a gradient, statistic or weight that is not finite" : "loss \(loss)"
    switch options.nonFinite {
    case .stop:
      note("\(place): \(what), training ends")
      ending = .notFinite
    case .skip: note("\(place): \(what), left out")
    case .rollback:
      rollbacks += 1
      try overwrite(learnedTensors + optimizerTensors, with: safeTensors)
      try optimizer.restore(step: safeState.step, numbers: safeState.numbers) { key, name in
        safeTensors["optimizer/\(name)/\(key)"]
      }
      learningRateScale /= 2
      note("\(place): \(what), back to step \(safeState.step) at half the learning rate")
      if rollbacks > 3 { ending = .notFinite }
    }
  }

  /// Keeps what a rollback goes back to.
  func keepSafeState() throws {
    guard options.nonFinite == .rollback else { return }
    safeTensors = try copies(of: learnedTensors + optimizerTensors)
    safeState = (optimizer.step, optimizer.numbers)
  }

  private func endEpoch() throws {
    guard measured.count > 0 else {
      throw LaminaError(.argument, "expected items to train on, found none in epoch \(epoch + 1)")
    }
    var logs: TrainingLogs = ["loss": measured.loss, "learning_rate": learningRate]
    logs["accuracy"] = measured.accuracy
    if let validation {
      let result = try makeModel().evaluate(
        validation, losses: losses, batchSize: options.batchSize, pool: session.pool,
        limits: session.options.limits)
      logs["val_loss"] = result.loss
      logs["val_accuracy"] = result.accuracy
    }
    for callback in callbacks { try callback.epochEnds(self, logs) }
    history.append(logs)
    epoch += 1
    batch = 0
    measured = TrainingScore()
    try saveCheckpoint()
    if folder == nil { try keepSafeState() }
  }
}

/// Why training ended.
public enum TrainingEnding: Sendable, Hashable {
  /// The last epoch is complete.
  case completed
  /// A callback ended it.
  case stopped(by: String)
  /// The caller ended it.
  case cancelled
  /// A loss, gradient or statistic was NaN or infinite. Weights and statistics are those before.
  case notFinite
}

/// How far training is, behind a batch.
public struct TrainingProgress: Sendable {
  /// The epoch, from 0.
  public var epoch: Int
  /// Epochs in all.
  public var epochs: Int
  /// Batches of the epoch so far.
  public var batch: Int
  /// Batches of an epoch.
  public var batches: Int
  /// Loss and accuracy of the epoch so far.
  public var measured: TrainingScore
  /// The learning rate of the batch.
  public var learningRate: Double
  /// Items trained on in a second, of the epoch so far.
  public var itemsPerSecond: Double
}
