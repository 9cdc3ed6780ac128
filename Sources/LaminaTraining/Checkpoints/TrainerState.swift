import LaminaCore

/// A trainer in a checkpoint.
extension Trainer {
  /// Writes a checkpoint, where there is a folder for them. The moment must lie between two steps of the optimizer.
  func saveCheckpoint() throws {
    guard let folder else { return }
    try keepSafeState()
    do {
      try folder.save(try makeCheckpoint(), step: batchesSoFar)
    } catch let error as LaminaError where options.checkpoints?.goesOnWithout == true {
      note("no checkpoint at step \(optimizer.step): \(error)")
    } catch let error as LaminaError {
      let kept = try? folder.names().first
      throw LaminaError(
        error.code,
        "\(error.message); \(kept.map { "\($0) is kept" } ?? "there is no checkpoint yet")",
        path: error.path)
    }
  }

  /// What decides the bits of the training beside the model and the data.
  private var configuration: String {
    let losses = losses.map { "\($0)" }.joined(separator: ", ")
    return
      "optimizer \(options.optimizer), schedule \(options.schedule), losses \(losses), rules \(options.rules), clipping \(options.clipping), \(options.accumulatedBatches) × \(options.batchSize) items, average \(options.averageDecay ?? 0), shuffles \(options.shuffles), drops \(options.dropsPartialBatch), strict \(session.options.isStrict), frozen \(session.options.frozen)"
  }

  /// The checksum of the graph and of what does not learn.
  func hashModel() -> String {
    var checksum = CRC32C()
    for node in session.model.graph.nodes { checksum.update(Array(node.path.utf8)) }
    let learned = Set((session.weights + session.buffers).map(\.key))
    for (key, tensor) in session.model.parameters.sorted(by: { $0.key < $1.key }) {
      checksum.update(Array("\(key) \(tensor.spec)".utf8))
      if !learned.contains(key) { tensor.withBytes { checksum.update($0) } }
    }
    return String(checksum.value, radix: 16)
  }

  private func makeCheckpoint() throws -> Checkpoint {
    var tensors: [String: Tensor] = [:]
    for (name, tensor) in learnedTensors + optimizerTensors { tensors[name] = tensor }
    let states = try callbacks.map { try $0.saveState() }
    for (index, state) in states.enumerated() {
      for (name, tensor) in state.tensors { tensors["callback/\(index)/\(name)"] = tensor }
    }
    func numbers(_ values: [String: Double]) -> JSON {
      .object(values.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .double($0.value)) })
    }
    let stopped: JSON? =
      if case .stopped(let name) = ending { .string(name) } else { nil }
    let state = JSON.object([
      "lamina": .string(laminaVersion), "configuration": .string(configuration),
      "model": .string(modelHash), "data": .string(data.fingerprint),
      "seed": .int(Int64(bitPattern: options.seed)), "epoch": .int(Int64(epoch)),
      "batch": .int(Int64(batch)), "batches_so_far": .int(Int64(batchesSoFar)),
      "threads": .int(Int64(session.pool.threadCount)),
      "optimizer_step": .int(Int64(optimizer.step)),
      "optimizer_numbers": .array(optimizer.numbers.map { .double($0) }),
      "learning_rate_scale": .double(learningRateScale), "rollbacks": .int(Int64(rollbacks)),
      "loss_sum": .double(measured.lossSum), "count": .int(Int64(measured.count)),
      "correct_count": .int(Int64(measured.correctCount)),
      "classified_count": .int(Int64(measured.classifiedCount)),
      "history": .array(history.map(numbers)),
      "callbacks": .array(states.map { numbers($0.numbers) }), "stopped_by": stopped,
    ])
    return Checkpoint(state: state, tensors: tensors)
  }

  /// Takes over the newest checkpoint that reads back, where there is one.
  func resume(from folder: CheckpointFolder, limits: Limits) throws {
    guard let found = try folder.latest(limits: limits) else { return }
    messages += found.messages
    let path = "\(folder.path)/\(found.name)".escapedForDisplay(limit: 512)
    try withErrorPath(path) { try restore(found.checkpoint, path: path) }
  }

  private func restore(_ checkpoint: Checkpoint, path: String) throws {
    let state = try ObjectReader(checkpoint.state, path: path)
    for (name, wanted) in [
      ("configuration", configuration), ("model", modelHash), ("data", data.fingerprint),
      ("seed", String(Int64(bitPattern: options.seed))),
    ] {
      let found = try name == "seed" ? String(state.int(name)) : state.string(name)
      guard found == wanted else {
        throw LaminaError(
          .argument,
          "expected a checkpoint of this training, with \(name) '\(wanted.escapedForDisplay(limit: 1024))', found '\(found.escapedForDisplay(limit: 1024))'",
          path: path)
      }
    }
    func double(_ json: JSON?) throws -> Double {
      guard let number = json?.double ?? json?.string.flatMap({ Double($0) }) else {
        throw LaminaError(
          .format, "expected a number, found \(json?.typeName ?? "none")", path: path)
      }
      return number
    }
    func numbers(_ json: JSON) throws -> [String: Double] {
      var result: [String: Double] = [:]
      for member in json.members ?? [] { result[member.key] = try double(member.value) }
      return result
    }
    func count(_ name: String) throws -> Int {
      let number = try state.int(name)
      guard number >= 0 else { throw state.failure(name, "expected 0 or more, found \(number)") }
      return number
    }
    let states = try state.array("callbacks")
    guard states.count == callbacks.count else {
      throw LaminaError(
        .argument, "expected \(callbacks.count) callbacks, found \(states.count)", path: path)
    }
    try overwrite(learnedTensors + optimizerTensors, with: checkpoint.tensors)
    try optimizer.restore(
      step: count("optimizer_step"),
      numbers: state.array("optimizer_numbers").map { try double($0) }
    ) { key, name in checkpoint.tensors["optimizer/\(name)/\(key)"] }
    for (index, callback) in callbacks.enumerated() {
      var callbackState = CallbackState()
      callbackState.numbers = try numbers(states[index])
      let prefix = "callback/\(index)/"
      for (name, tensor) in checkpoint.tensors where name.hasPrefix(prefix) {
        callbackState.tensors[String(name.dropFirst(prefix.count))] = tensor
      }
      try callback.restoreState(callbackState)
    }
    epoch = try count("epoch")
    batch = try count("batch")
    batchesSoFar = try count("batches_so_far")
    learningRateScale = try double(state.optional("learning_rate_scale"))
    rollbacks = try count("rollbacks")
    measured.lossSum = try double(state.optional("loss_sum"))
    measured.count = try count("count")
    measured.correctCount = try count("correct_count")
    measured.classifiedCount = try count("classified_count")
    history = try state.array("history").map { try numbers($0) }
    if let name = try state.optional("stopped_by")?.string { ending = .stopped(by: name) }
  }
}
