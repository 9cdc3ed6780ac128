import Lamina

extension Option {
  static let checkCase = Option(
    name: "case", value: .text("NAME"), help: "check: try this case alone")
  static let checkSeed = Option(
    name: "seed", value: .integer(0...Int.max),
    help: "check: what random numbers follow from; default: 1")
  static let checkAttributes = Option(
    name: "attributes", value: .text("JSON"),
    help: "check: attributes of the layers, such as '{\"groups\": 4}'")
  static let checkSeconds = Option(
    name: "seconds", value: .integer(1...3600), help: "check: longest for a case; default: 20")
  static let checkInput = Option(
    name: "input", value: .text("SHAPE"), repeats: true,
    help: "check: shape of an input, such as 1,8,16,16; once for each input")
}

/// `lamina plugin check FILE`: tries a plugin in every way that Lamina knows.
struct PluginChecking {
  let path: String
  var check = PluginCheck()
  private let arguments: Arguments

  /// - Throws: `UsageError` for a shape that is none; `format` for attributes that are none.
  init(_ path: String, _ arguments: Arguments) throws {
    self.path = path
    self.arguments = arguments
    check.only = arguments.text(.checkCase)
    check.seed = UInt64(arguments.integer(.checkSeed) ?? 1)
    if let seconds = arguments.integer(.checkSeconds) { check.secondsPerCase = Double(seconds) }
    if let text = arguments.text(.checkAttributes) {
      let place = "--attributes"
      check.attributes = try Attributes(json: JSON.parse(text: text, path: place), path: place)
    }
    let shapes = arguments.list(.checkInput)
    if !shapes.isEmpty { check.inputs = try shapes.map(Self.shape) }
  }

  private static func shape(_ text: String) throws -> Shape {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let extents = parts.compactMap { Int($0) }
    guard extents.count == parts.count, let shape = try? Shape(extents) else {
      throw UsageError("expected '--input' as 1,8,16,16, found '\(text.escapedForDisplay())'")
    }
    return shape
  }

  /// Tries all cases: a line for each as it ends, or JSON behind them all.
  func run() throws -> ExitStatus {
    let isJSON = arguments.has(.json)
    var heading = ""
    let report = try check.run(path: path) { result in
      guard !isJSON else { return }
      let kind = result.kind.isEmpty ? path.escapedForDisplay(limit: 512) : result.kind
      if kind != heading {
        heading = kind
        try Terminal.write("\(kind)\n")
      }
      try Terminal.write(line(result))
    }
    if isJSON {
      try Terminal.write(json(report).text(pretty: true) + "\n")
    } else {
      try Terminal.write(summary(report))
    }
    return report.passed ? .done : .failure
  }

  private func line(_ result: PluginCheck.Result) -> String {
    switch result.outcome {
    case .passed: "  passed   \(result.name)\n"
    case .skipped(let reason): "  skipped  \(result.name): \(reason)\n"
    case .failed(let reason):
      "  FAILED   \(result.name): \(reason.escapedForDisplay(limit: 2048))\n"
        + "           again: \(again(result))\n"
    }
  }

  /// What to type to try a case again.
  private func again(_ result: PluginCheck.Result) -> String {
    func quoted(_ text: String) -> String {
      "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
        + "'"
    }
    var words = ["lamina plugin check", quoted(path), "--case \(result.name) --seed \(check.seed)"]
    if let text = arguments.text(.checkAttributes) { words.append("--attributes \(quoted(text))") }
    words += arguments.list(.checkInput).map { "--input \($0)" }
    return words.joined(separator: " ")
  }

  private struct Counts {
    var (passed, failed, skipped, seconds) = (0, 0, 0, 0.0)

    init(_ report: PluginCheck.Report) {
      for result in report.results {
        seconds += result.seconds
        switch result.outcome {
        case .passed: passed += 1
        case .failed: failed += 1
        case .skipped: skipped += 1
        }
      }
    }
  }

  private func summary(_ report: PluginCheck.Report) -> String {
    let counts = Counts(report)
    return "\(report.results.count) cases in \(counts.seconds.decimal(1)) s, seed \(check.seed): "
      + "\(counts.passed) passed, \(counts.failed) failed, \(counts.skipped) skipped\n"
  }

  private func json(_ report: PluginCheck.Report) -> JSON {
    let counts = Counts(report)
    return .object([
      "file": .string(path), "plugin": .string(report.id), "version": .string(report.version),
      "seed": .int(Int64(clamping: check.seed)), "seconds": .double(counts.seconds),
      "passed": .int(Int64(counts.passed)), "failed": .int(Int64(counts.failed)),
      "skipped": .int(Int64(counts.skipped)),
      "cases": .array(
        report.results.map { result in
          let (outcome, message): (String, String?) =
            switch result.outcome {
            case .passed: ("passed", nil)
            case .failed(let reason): ("failed", reason)
            case .skipped(let reason): ("skipped", reason)
            }
          return .object([
            "kind": .string(result.kind), "case": .string(result.name),
            "outcome": .string(outcome), "message": message.map { .string($0) },
            "again": outcome == "failed" ? .string(again(result)) : nil,
            "seconds": .double(result.seconds),
          ])
        }),
    ])
  }
}
