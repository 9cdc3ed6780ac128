import Lamina

/// The time of training steps of a model: forward, back, and stochastic gradient descent with momentum.
struct TrainingMeasurement {
  /// What a step computes.
  enum Part: String, CaseIterable {
    /// Every layer learns.
    case all
    /// The last layer with weights learns, the others are frozen.
    case head
    /// The same from features that were computed before.
    case features
  }

  /// One step of the plan.
  struct LayerTime {
    var name: String
    /// Seconds.
    var median: Double
  }

  let name: String
  let part: Part
  let specs: [TensorSpec]
  let threads: Int
  /// Seconds of each step, in ascending order.
  let times: [Double]
  /// In the order of the plan; nil when not asked for.
  let layers: [LayerTime]?
  /// Most bytes that the process had in memory.
  let peakMemory: Int?

  /// Times steps behind two that are not counted.
  init(
    _ model: Model, _ specs: [TensorSpec], _ part: Part, runs: Int?, withLayers: Bool,
    pool: ThreadPool
  ) throws {
    let batch = specs[0].shape[0]
    let inference = try model.graph.inferSpecs(inputs: specs, parameters: model.parameters)
    guard let output = model.graph.outputs.first.map({ inference[$0.value] }),
      output.shape.rank == 2
    else {
      throw LaminaError(.argument, "expected a model whose output is [items, classes]")
    }
    var training = TrainingOptions()
    if part != .all {
      var frozen = try FrozenLayers(model)
      try frozen.freezeTrunk()
      training.frozen = frozen.patterns
    }
    var content = Batch(
      try specs.map(Tensor.noise),
      labels: [.classes((0..<batch).map { $0 % output.shape[1] })])
    if part == .features, case .inputs(let inputs) = content.content {
      let session = try TrainingSession(model: model, options: training, pool: pool)
      content.content = .features(try session.features(of: inputs.map(\.view)), of: specs)
    }
    let clock = ContinuousClock()
    func trainer(_ steps: Int) throws -> Trainer {
      var options = TrainerOptions()
      options.optimizer = SGD(learningRate: 1e-6, momentum: 0.9)
      options.batchSize = batch
      return try Trainer(
        model: model, data: RepeatedBatch(content, steps), options: options, training: training,
        pool: pool)
    }
    func time(_ trainer: Trainer) throws -> [Double] {
      var (found, last) = ([Double](), clock.now)
      try trainer.fit { _ in
        found.append((clock.now - last) / .seconds(1))
        last = clock.now
        return true
      }
      return found
    }
    let estimate = max(try time(trainer(2))[1], 1e-6)
    let count = runs ?? min(max(Int(3 / estimate), 5), 1000)
    let timed = try trainer(count + 2)
    times = try time(timed).dropFirst(2).sorted()
    layers =
      withLayers ? try TrainingMeasurement.layerTimes(trainer(count), specs) : nil
    name = model.graph.name
    self.part = part
    self.specs = specs
    threads = pool.threadCount
    peakMemory = System.peakMemory
  }

  /// The median time of each step of the plan.
  private static func layerTimes(
    _ trainer: Trainer, _ specs: [TensorSpec]
  ) throws -> [LayerTime] {
    let names = try trainer.session.stepNames(specs)
    let times = StepTimes(count: names.count)
    trainer.session.onStep = { times.ends($0) }
    defer { trainer.session.onStep = nil }
    try trainer.fit { _ in
      times.begin()
      return true
    }
    return zip(names, times.medians).map { LayerTime(name: $0, median: $1) }
  }

  var text: String {
    let unit = threads == 1 ? "thread" : "threads"
    let memory = peakMemory.map { ", \($0 >> 20) MiB of memory at most" } ?? ""
    let rate = Double(specs[0].shape[0]) / max(times.median, 1e-9)
    return """
      training \(name) (\(part.rawValue)), \(specs.map(\.description).joined(separator: "; ")), \(threads) \(unit), \(Processor.instructionSet)
      median \((times.median * 1000).decimal(3)) ms a step, minimum \((times[0] * 1000).decimal(3)) ms, \(times.count) steps
      \(rate.decimal(1)) items/s\(memory)

      """ + (layers.map(table) ?? "")
  }

  private func table(of layers: [LayerTime]) -> String {
    let total = layers.reduce(0) { $0 + $1.median }
    let rows = layers.map { layer in
      [
        layer.name, (layer.median * 1000).decimal(3),
        (100 * layer.median / max(total, 1e-12)).decimal(1),
      ]
    }
    return Table([["step", "ms", "% of all"]] + rows, trailing: [1, 2]).text
  }

  var json: JSON {
    .object([
      "model": .string(name),
      "part": .string(part.rawValue),
      "inputs": .array(specs.map { .array($0.shape.dimensions.map { .int(Int64($0)) }) }),
      "threads": .int(Int64(threads)),
      "instruction_set": .string(Processor.instructionSet),
      "steps": .int(Int64(times.count)),
      "median_ms": .double(times.median * 1000),
      "minimum_ms": .double(times[0] * 1000),
      "peak_memory_bytes": peakMemory.map { .int(Int64($0)) },
      "layers": layers.map { layers in
        .array(
          layers.map {
            .object(["name": .string($0.name), "median_ms": .double($0.median * 1000)])
          })
      },
    ])
  }
}

/// The same items again and again.
private struct RepeatedBatch: TrainingData {
  let content: Batch
  let count: Int
  let fingerprint = "noise"

  init(_ content: Batch, _ times: Int) {
    self.content = content
    count = times * content.count
  }

  func batch(_ indices: [Int], epoch: Int) -> Batch { content }
}
