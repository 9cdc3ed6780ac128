import Lamina

extension Command {
  private static let output = Option(
    name: "output", letter: "o", value: .text("FILE"), help: "draw the curve too, as .svg")
  private static let first = Option(
    name: "from", value: .text("X"), help: "the lowest rate; default: 1e-7")
  private static let last = Option(
    name: "to", value: .text("X"), help: "the highest rate; default: 10")
  private static let steps = Option(
    name: "steps", value: .integer(20...100_000), help: "batches to train with; default: 100")
  private static let head = Option(
    name: "head", help: "for the new head of 'lamina finetune' alone, all else frozen")

  static let learningRate = Command(
    name: "lr-find", summary: "suggest a learning rate by trying rising ones",
    operands: "MODEL DATA", operandCount: 2...2,
    options: [
      output, first, last, steps, head, .batch, .optimizer, .momentum, .rho, .weightDecay,
      .labelSmoothing, .size, .augment, .lighting, .freeze, .holdOut, .broken, .seed, .threads,
      .json,
    ],
    example: """
      $ lamina lr-find resnet18 flowers --optimizer sgd
      A copy of the model is trained for some batches with a rate that grows from batch to batch; the suggestion lies in
      the middle of the longest fall of the loss. Train with it: 'lamina train ... --learning-rate X'.
      """
  ) { arguments in
    let settings = try TrainingArguments(arguments)
    func rate(_ option: Option, _ usual: Double) throws -> Double {
      guard let text = arguments.text(option) else { return usual }
      guard let value = Double(text), value.isFinite, value > 0 else {
        throw UsageError(
          "expected '--\(option.name)' above 0, found '\(text.escapedForDisplay())'")
      }
      return value
    }
    let (low, high) = (try rate(first, 1e-7), try rate(last, 10))
    guard low < high else { throw UsageError("expected '--from' below '--to'") }
    let count = arguments.integer(steps) ?? 100
    let target = arguments.text(output)
    guard target?.lowercased().hasSuffix(".svg") ?? true else {
      throw UsageError("expected '--output' to end in .svg")
    }
    if let target { _ = try AtomicFileWriter(path: target) }
    let pool = ThreadPool(threads: arguments.integer(.threads))
    let named = try settings.sized(ModelArgument.load(arguments.operands[0], arguments))
    var training = TrainingOptions()
    training.frozen = settings.frozen
    try named.checkTrainable(training)
    let sets = try settings.pictures(arguments.operands[1], pool: pool)
    let classes = sets.training.classNames
    var model = named
    if arguments.has(head) {
      model = try named.replacingHead(labels: classes, seed: settings.seed).model
      var trunk = try FrozenLayers(model)
      try trunk.freezeTrunk()
      training.frozen = trunk.patterns
    } else {
      model = try named.fitted(to: classes, seed: settings.seed).model
    }
    let data = try settings.data(sets, for: model, pool: pool)
    let bar = Progress("searching", total: count)
    defer { bar.finish() }
    let search = try Interruption.finishing {
      try LearningRateSearch(
        model: model, data: data.training, options: settings.trainerOptions(for: model),
        training: training, from: low, to: high, steps: count, pool: pool
      ) { _ in
        bar.advance()
        return !Interruption.isRequested
      }
    }
    bar.finish()
    if arguments.has(.json) {
      let points = search.points.map {
        JSON.object(["rate": .double($0.rate), "loss": .double($0.loss)])
      }
      let json = JSON.object([
        "suggestion": search.suggestion.map { .double($0) } ?? .null,
        "rule": .string(LearningRateSearch.rule), "points": .array(points),
      ])
      try Terminal.write(json.text(pretty: true) + "\n")
    } else {
      try Terminal.write(search.plot)
    }
    if let target {
      try Interruption.removingTemporaryFile(of: target) {
        let writer = try AtomicFileWriter(path: target)
        try writer.write(Array(search.svg.utf8))
        try writer.commit()
      }
    }
    guard search.suggestion != nil else {
      throw LaminaError(
        .state, "too few steps before the loss grew to suggest a rate: begin lower with '--from'")
    }
    return .done
  }
}

extension LearningRateSearch {
  private static let (columns, rows) = (64, 14)

  /// The points that tell something in characters, and what is suggested.
  fileprivate var plot: String {
    let points = telling
    guard let first = points.first, let last = points.last else { return "" }
    let losses = points.map(\.loss)
    let (low, high) = (losses.min() ?? 0, losses.max() ?? 1)
    let span = high > low ? high - low : 1
    let width = points.count > 1 ? points.count - 1 : 1
    var grid = [[Character]](
      repeating: [Character](repeating: " ", count: Self.columns), count: Self.rows)
    for (index, point) in points.enumerated() {
      let column = index * (Self.columns - 1) / width
      if point.rate == suggestion {
        for row in grid.indices where grid[row][column] == " " { grid[row][column] = ":" }
      }
      let row = Int((high - point.loss) / span * Double(Self.rows - 1))
      grid[min(max(row, 0), Self.rows - 1)][column] = "*"
    }
    let labels = grid.indices.map { row -> String in
      let isLabelled = row == 0 || row == Self.rows - 1
      let text = isLabelled ? (row == 0 ? high : low).decimal(4) : ""
      return String(repeating: " ", count: max(10 - text.count, 0)) + text
    }
    var lines = zip(labels, grid).map { label, row in
      var line = "\(label) |" + String(row)
      while line.last == " " { line.removeLast() }
      return line
    }
    lines.append(
      String(repeating: " ", count: 11) + "+" + String(repeating: "-", count: Self.columns))
    let ends = (first.rate.significant(2), last.rate.significant(2))
    let gap = max(Self.columns - ends.0.count - ends.1.count, 1)
    lines.append(
      String(repeating: " ", count: 12) + ends.0 + String(repeating: " ", count: gap) + ends.1)
    if let suggestion {
      lines.append("suggested learning rate \(suggestion.significant(2))  (\(Self.rule))")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
