import Lamina

extension Command {
  private static let ensemble = Option(
    name: "ensemble", help: "let several models decide together, by the mean of their probabilities"
  )

  static let eval = Command(
    name: "eval", summary: "measure a model, or several, on pictures whose classes are known",
    operands: "MODEL… DATA", operandCount: 2...Int.max,
    options: [ensemble, .batch, .broken, .report, .threads, .json],
    example: """
      $ lamina eval flowers.safetensors photos/val
      accuracy 0.9310  loss 0.2214  725 pictures
      $ lamina eval a.safetensors b.safetensors photos/val --ensemble
      accuracy 0.9310  loss 0.2214  a.safetensors
      accuracy 0.9255  loss 0.2391  b.safetensors
      accuracy 0.9421  loss 0.1987  725 pictures
      DATA has a folder of pictures for each class, named as the model's labels.
      """
  ) { arguments in
    let settings = try TrainingArguments(arguments)
    let names = arguments.operands.dropLast()
    guard arguments.has(ensemble) == (names.count > 1) else {
      throw UsageError(
        names.count > 1
          ? "several models need '--ensemble'" : "'--ensemble' needs two models or more")
    }
    if let path = arguments.text(.report) { _ = try AtomicFileWriter(path: path) }
    let pool = ThreadPool(threads: arguments.integer(.threads))
    let models = try names.map { try ModelArgument.load($0, arguments) }
    let together = try names.count > 1 ? Ensemble(models) : nil
    let preprocessings = try models.map { try $0.requiredPreprocessing() }
    let labels = models[0].metadata.labels
    let path = arguments.operands[names.count]
    let sets = try settings.pictures(
      path, classNames: labels.isEmpty ? nil : labels, holdingOut: 0, pool: pool)
    let images = sets.validation ?? sets.training
    let data = preprocessings.map { ImageTrainingData(ImagePipeline(images, $0), pool: pool) }
    let bars = StageBars()
    defer { bars.finish() }
    var members: [TrainingScore] = []
    let found: Classification
    if let together {
      let result = try together.evaluate(data, batchSize: settings.batchSize, pool: pool) {
        bars.show("evaluating \(names[$0].escapedForDisplay())", $1, of: images.count)
      }
      members = result.members
      found = result.ensemble
    } else {
      found = try Classification(
        models[0], data[0], batchSize: settings.batchSize, pool: pool
      ) { bars.show("evaluating", $0, of: images.count) }
    }
    bars.finish()
    if arguments.has(.json) {
      let each = zip(names, members).map { name, score in
        JSON.object(
          [JSON.Member("model", .string(name))] + score.members)
      }
      let heading = each.isEmpty ? [] : [JSON.Member("members", .array(each))]
      let last = JSON.Member("pictures", .int(Int64(found.score.count)))
      try Terminal.write(
        JSON.object(heading + found.score.members + [last]).text(pretty: true) + "\n")
    } else {
      let lines = zip(names, members).map { name, score in
        "\(score.line)  \(name.escapedForDisplay(limit: 4096))\n"
      }
      try Terminal.write(
        lines.joined() + "\(found.score.line)  \(found.score.count) pictures\n")
    }
    if let target = arguments.text(.report) {
      var report = TrainingReport(
        title: "\(models.map(\.graph.name).joined(separator: ", ")): \(path)")
      report.classification = found
      report.showPictures(of: images)
      let commandLine = "lamina eval \(arguments.words.joined(separator: " "))"
      var scores = zip(names, members).map { ($0, $1.line) }
      scores.insert(("command", commandLine), at: 0)
      report.facts = [TrainingReport.Facts("Evaluation", scores)]
      report.facts += try models.map { try TrainingReport.facts(of: $0) }
      report.facts += [
        TrainingReport.Facts(
          "Data",
          [
            ("path", path), ("pictures", "\(images.count)"),
            ("SHA-256 of these", images.sha256(pool: pool)),
          ]), .environment(pool),
      ]
      try settings.write(report, to: target)
    }
    return .done
  }
}

extension TrainingScore {
  /// `accuracy 0.9310  loss 0.2214`.
  fileprivate var line: String {
    (accuracy.map { "accuracy \($0.decimal(4))  " } ?? "") + "loss \(loss.decimal(4))"
  }

  fileprivate var members: [JSON.Member] {
    [JSON.Member("accuracy", .double(accuracy ?? 0)), JSON.Member("loss", .double(loss))]
  }
}
