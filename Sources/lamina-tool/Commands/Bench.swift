import Lamina

extension Command {
  private static let batch = Option(
    name: "batch", value: .integer(1...4096), help: "pictures in one run; default: 1")
  private static let runs = Option(
    name: "runs", value: .integer(1...1_000_000),
    help: "runs to time; default: as many as fit in 3 s")
  private static let perLayer = Option(
    name: "layers", help: "print a line for each layer too")

  private static let training = Option(
    name: "training", value: .text("PART"),
    help: "time steps of training: all (layers), head, or features (the head on known features)")

  static let bench = Command(
    name: "bench", summary: "time a model and compare it with what the processor can do",
    operands: "MODEL", operandCount: 1...1,
    options: [batch, .threads, runs, perLayer, training, .json],
    example: """
      $ lamina bench resnet50 --threads 1 --layers
      MODEL is a file, or a name of the catalogue ('lamina models'). Operations are those of direct
      convolution, so that faster algorithms can be above the peak.
      """
  ) { arguments in
    let model = try ModelArgument.load(arguments.operands[0], arguments)
    let specs = try model.inputSpecs(batch: arguments.integer(batch) ?? 1)
    if let name = arguments.text(training) {
      guard let part = TrainingMeasurement.Part(rawValue: name) else {
        throw UsageError(
          "expected '--training' of all, head or features, found '\(name.escapedForDisplay())'")
      }
      let result = try TrainingMeasurement(
        model, specs, part, runs: arguments.integer(runs), withLayers: arguments.has(perLayer),
        pool: ThreadPool(threads: arguments.integer(.threads)))
      try Terminal.write(
        arguments.has(.json) ? result.json.text(pretty: true) + "\n" : result.text)
      return .done
    }
    var options = SessionOptions()
    options.threads = arguments.integer(.threads)
    let session = try Session(model: model, options: options)
    let inputs = try specs.map(Tensor.noise)
    let result = try withExtendedLifetime(inputs) {
      try Measurement(
        session, inputs, runs: arguments.integer(runs), withLayers: arguments.has(perLayer))
    }
    try Terminal.write(
      arguments.has(.json) ? result.json.text(pretty: true) + "\n" : result.text)
    return .done
  }
}

private struct Measurement {
  /// One step of the plan.
  struct LayerTime {
    var step: StepSummary
    /// Kind of the node; nil for conversions between layouts.
    var kind: LayerKind?
    /// Seconds.
    var median: Double
    /// 10⁹ operations a second.
    var rate: Double { median > 0 ? 2 * Double(step.multiplyAdds) / median / 1e9 : 0 }
  }

  let name: String
  let specs: [TensorSpec]
  let threads: Int
  /// Seconds from the start of the program to the end of the first run.
  let firstResult: Double
  /// Seconds of each run, in ascending order.
  let times: [Double]
  /// In the order of the plan; nil when not asked for.
  let layers: [LayerTime]?
  /// Multiplications and additions of one run.
  let operations: Double
  /// Most bytes that the process had in memory.
  let peakMemory: Int?
  /// What one thread can do times their number, in GFLOP/s: on a busy machine all together would seem to do less.
  let peak: Double

  /// Times runs behind two that are not counted.
  init(_ session: Session, _ inputs: [Tensor], runs: Int?, withLayers: Bool) throws {
    let clock = ContinuousClock()
    let views = inputs.map(\.view)
    func time() throws -> Double {
      try clock.measure { try session.withOutputs(of: views) { _ in } } / .seconds(1)
    }
    _ = try time()
    firstResult = (clock.now - Program.start) / .seconds(1)
    let estimate = max(try time(), 1e-6)
    let count = runs ?? min(max(Int(3 / estimate), 5), 1000)
    times = try (0..<count).map { _ in try time() }.sorted()
    name = session.model.graph.name
    specs = inputs.map(\.spec)
    threads = session.pool.threadCount
    layers = withLayers ? try Measurement.layerTimes(session, views, runs: count) : nil
    operations = 2 * Double(try ModelSummary(session.model, inputs: specs).multiplyAdds)
    peakMemory = System.peakMemory
    peak = Processor.peakGFLOPS * Double(threads)
  }

  /// The median time of each step of the plan.
  private static func layerTimes(_ session: Session, _ views: [TensorView], runs: Int) throws
    -> [LayerTime]
  {
    let steps = try session.plan(for: views.map { TensorSpec($0.shape, $0.type) }).stepSummaries
    let times = StepTimes(count: steps.count)
    session.onStep = { times.ends($0) }
    defer { session.onStep = nil }
    for _ in 0..<runs {
      times.begin()
      try session.withOutputs(of: views) { _ in }
    }
    let kinds = Dictionary(
      session.model.graph.nodes.map { ($0.name, $0.definition.kind) }, uniquingKeysWith: { $1 })
    return zip(steps, times.medians).map { step, median in
      LayerTime(step: step, kind: kinds[step.name], median: median)
    }
  }

  private var rate: Double { operations / times.median / 1e9 }

  var text: String {
    let inputs = specs.map(\.description).joined(separator: "; ")
    let unit = threads == 1 ? "thread" : "threads"
    let memory = peakMemory.map { ", \($0 >> 20) MiB of memory at most" } ?? ""
    return """
      \(name), \(inputs), \(threads) \(unit), \(Processor.instructionSet)
      median \(milliseconds(times.median)) ms, minimum \(milliseconds(times[0])) ms, \(times.count) runs
      \(rate.decimal(1)) GFLOP/s, \(percent(rate)) % of the peak of \(peak.decimal(1)) GFLOP/s
      first result \(milliseconds(firstResult)) ms after the start\(memory)

      """ + (layers.map(table) ?? "")
  }

  private func table(of layers: [LayerTime]) -> String {
    let heading = ["layer", "kind", "kernel", "output", "ms", "GFLOP/s", "% of peak"]
    let rows = layers.map { layer in
      let counts = layer.step.multiplyAdds > 0
      return [
        layer.step.name, layer.kind?.name ?? "", layer.step.kernel,
        layer.step.output.shape.description, (layer.median * 1000).decimal(4),
        counts ? layer.rate.decimal(1) : "", counts ? percent(layer.rate) : "",
      ]
    }
    return Table([heading] + rows, trailing: [4, 5, 6]).text
  }

  private func milliseconds(_ seconds: Double) -> String { (seconds * 1000).decimal(3) }
  private func percent(_ rate: Double) -> String { (100 * rate / peak).decimal(1) }

  var json: JSON {
    .object([
      "model": .string(name),
      "inputs": .array(specs.map { $0.shape.json }),
      "threads": .int(Int64(threads)),
      "instruction_set": .string(Processor.instructionSet),
      "runs": .int(Int64(times.count)),
      "median_ms": .double(times.median * 1000),
      "minimum_ms": .double(times[0] * 1000),
      "gflops": .double(rate),
      "peak_gflops": .double(peak),
      "share_of_peak": .double(rate / peak),
      "first_result_ms": .double(firstResult * 1000),
      "peak_memory_bytes": peakMemory.map { .int(Int64($0)) },
      "layers": layers.map { layers in
        .array(
          layers.map { layer in
            .object([
              "name": .string(layer.step.name),
              "kind": layer.kind.map { .string($0.name) },
              "kernel": .string(layer.step.kernel),
              "output": layer.step.output.shape.json,
              "macs": .int(Int64(layer.step.multiplyAdds)),
              "median_ms": .double(layer.median * 1000),
              "gflops": .double(layer.rate),
              "share_of_peak": .double(layer.rate / peak),
            ])
          })
      },
    ])
  }
}

/// The times of the steps of a plan over several runs.
final class StepTimes {
  private var samples: [[Double]]
  private let clock = ContinuousClock()
  private var last: ContinuousClock.Instant

  init(count: Int) {
    samples = [[Double]](repeating: [], count: count)
    last = clock.now
  }

  /// A run begins.
  func begin() { last = clock.now }

  /// A step ends, and the next begins.
  func ends(_ step: Int) {
    if samples.indices.contains(step) { samples[step].append((clock.now - last) / .seconds(1)) }
    begin()
  }

  /// Seconds of each step.
  var medians: [Double] { samples.map { $0.sorted().median } }
}

extension [Double] {
  /// The middle of ascending numbers; 0 when there are none.
  var median: Double {
    isEmpty ? 0 : (self[(count - 1) / 2] + self[count / 2]) / 2
  }
}

extension Shape {
  fileprivate var json: JSON { .array(dimensions.map { .int(Int64($0)) }) }
}

extension Tensor {
  /// Numbers in −1 ..< 1, the same in every run; zeros for other types than `float32`.
  static func noise(_ spec: TensorSpec) throws -> Tensor {
    let tensor = try Tensor(zeros: spec.shape, spec.type)
    guard spec.type == .float32 else { return tensor }
    var state: UInt32 = 1
    tensor.withMutableElements(of: Float.self) { elements in
      for index in elements.indices {
        state = state &* 1_664_525 &+ 1_013_904_223
        elements[index] = Float(Int32(bitPattern: state)) / 0x1p31
      }
    }
    return tensor
  }
}
