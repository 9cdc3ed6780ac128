import Lamina

extension TrainingArguments {
  /// Writes the page of a training, where one is wanted and the training was not interrupted.
  func report(
    _ command: String, _ model: Model, from start: Model, _ phases: [TrainingReport.Phase],
    _ sets: ImageSets, _ ending: TrainingEnding, _ pool: ThreadPool
  ) throws {
    guard let path = arguments.text(.report), ending != .cancelled else { return }
    var report = TrainingReport(title: "\(start.graph.name): \(arguments.operands[1])")
    report.phases = phases
    if let images = sets.validation {
      try report.classify(images, by: model, self, pool)
    }
    report.facts = [
      TrainingReport.Facts(
        "How it was trained",
        [
          ("command", "lamina \(command) \(arguments.words.joined(separator: " "))"),
          ("ended", "\(ending)"), ("seconds", Program.seconds.decimal(1)),
          ("optimizer", "\(optimizer)"), ("schedule", "\(schedule)"),
          ("pictures in a step", "\(batchSize)"), ("seed", "\(seed)"),
        ]),
      try TrainingReport.facts(of: model, trainedFrom: start),
      TrainingReport.facts(of: sets, at: arguments.operands[1], pool),
      .environment(pool),
    ]
    try write(report, to: path)
  }

  /// Writes a page and says where.
  func write(_ report: TrainingReport, to path: String) throws {
    try Interruption.removingTemporaryFile(of: path) { try report.write(to: path) }
    if !arguments.has(.json) {
      try Terminal.write("wrote \(path.escapedForDisplay(limit: 4096))\n")
    }
  }
}

extension TrainingReport {
  /// Classifies pictures, and shows those that are most wrong.
  mutating func classify(
    _ images: any LabeledImages, by model: Model, _ settings: TrainingArguments, _ pool: ThreadPool
  ) throws {
    let bars = StageBars()
    defer { bars.finish() }
    let data = ImageTrainingData(
      ImagePipeline(images, try model.requiredPreprocessing()), pool: pool)
    classification = try Classification(
      model, data, batchSize: settings.batchSize, pool: pool
    ) { bars.show("evaluating", $0, of: images.count) }
    showPictures(of: images)
  }

  static func facts(of model: Model, trainedFrom start: Model? = nil) throws -> Facts {
    var rows = [
      ("name", model.graph.name), ("parameters", "\(try model.weightCount())"),
      ("classes", "\(model.metadata.labels.count)"),
    ]
    if let start { rows.append(("SHA-256 of the weights before", start.sha256())) }
    rows.append(("SHA-256 of the weights", model.sha256()))
    return Facts("Model", rows)
  }

  static func facts(of sets: ImageSets, at path: String, _ pool: ThreadPool) -> Facts {
    var rows = [("path", path)]
    for (name, images) in [("train", sets.training), ("check", sets.validation)] {
      guard let images else { continue }
      rows.append(("pictures to \(name) with", "\(images.count)"))
      rows.append(("SHA-256 of these", images.sha256(pool: pool)))
    }
    for picture in sets.broken.prefix(100) {
      rows.append(("left out or replaced", "\(picture.name): \(picture.reason)"))
    }
    if sets.broken.count > 100 {
      rows.append(("left out or replaced", "\(sets.broken.count - 100) more"))
    }
    return Facts("Data", rows)
  }
}
