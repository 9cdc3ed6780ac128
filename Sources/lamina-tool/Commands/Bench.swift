import Lamina

extension Command {
  private static let batch = Option(
    name: "batch", value: .integer(1...4096), help: "pictures in one run; default: 1")
  private static let runs = Option(
    name: "runs", value: .integer(1...1_000_000),
    help: "runs to time; default: as many as fit in 3 s")

  static let bench = Command(
    name: "bench", summary: "time a model and compare it with what the processor can do",
    operands: "MODEL", operandCount: 1...1, options: [batch, .threads, runs, .json],
    example: """
      $ lamina bench resnet50 --threads 1
      MODEL is a file, or a name of the catalogue ('lamina models').
      """
  ) { arguments in
    let model = try ModelArgument.load(arguments.operands[0])
    let specs = try model.inputSpecs(batch: arguments.integer(batch) ?? 1)
    var options = SessionOptions()
    options.threads = arguments.integer(.threads)
    let session = try Session(model: model, options: options)
    let inputs = try specs.map(Tensor.noise)
    let times = try withExtendedLifetime(inputs) {
      try measure(session, inputs.map(\.view), runs: arguments.integer(runs))
    }
    let result = Measurement(
      name: model.graph.name, specs: specs, threads: session.pool.threadCount, times: times,
      operations: 2 * Double(try ModelSummary(model, inputs: specs).multiplyAdds),
      peak: Processor.peakGFLOPS * Double(session.pool.threadCount))
    try Terminal.write(
      arguments.has(.json) ? result.json.text(pretty: true) + "\n" : result.text)
    return .done
  }

  /// Seconds of each run, in ascending order, behind two runs that are not counted.
  private static func measure(_ session: Session, _ inputs: [TensorView], runs: Int?) throws
    -> [Double]
  {
    let clock = ContinuousClock()
    func time() throws -> Double {
      try clock.measure { try session.withOutputs(of: inputs) { _ in } } / .seconds(1)
    }
    _ = try time()
    let estimate = max(try time(), 1e-6)
    let count = runs ?? min(max(Int(3 / estimate), 5), 1000)
    return try (0..<count).map { _ in try time() }.sorted()
  }
}

private struct Measurement {
  let name: String
  let specs: [TensorSpec]
  let threads: Int
  let times: [Double]
  /// Multiplications and additions of one run.
  let operations: Double
  /// What the threads could do, in GFLOP/s.
  let peak: Double

  private var median: Double {
    (times[(times.count - 1) / 2] + times[times.count / 2]) / 2
  }
  private var rate: Double { operations / median / 1e9 }

  var text: String {
    let inputs = specs.map(\.description).joined(separator: "; ")
    let unit = threads == 1 ? "thread" : "threads"
    return """
      \(name), \(inputs), \(threads) \(unit), \(Processor.instructionSet)
      median \(milliseconds(median)) ms, minimum \(milliseconds(times[0])) ms, \(times.count) runs
      \(rate.decimal(1)) GFLOP/s, \((100 * rate / peak).decimal(1)) % of the peak of \(peak.decimal(1)) GFLOP/s

      """
  }

  private func milliseconds(_ seconds: Double) -> String { (seconds * 1000).decimal(3) }

  var json: JSON {
    .object([
      "model": .string(name),
      "inputs": .array(specs.map { .array($0.shape.dimensions.map { .int(Int64($0)) }) }),
      "threads": .int(Int64(threads)),
      "instruction_set": .string(Processor.instructionSet),
      "runs": .int(Int64(times.count)),
      "median_ms": .double(median * 1000),
      "minimum_ms": .double(times[0] * 1000),
      "gflops": .double(rate),
      "peak_gflops": .double(peak),
    ])
  }
}

extension Tensor {
  /// Numbers in −1 ..< 1, the same in every run; zeros for other types than `float32`.
  fileprivate static func noise(_ spec: TensorSpec) throws -> Tensor {
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
