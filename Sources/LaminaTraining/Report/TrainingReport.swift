import LaminaCore
import LaminaImages

/// A training, or an evaluation, as one page of HTML that needs nothing beside itself: curves, classes and what they
/// are taken for, the pictures that are most wrong, and how it all was made.
public struct TrainingReport: Sendable {
  /// One training of the model: of the head alone, or of all.
  public struct Phase: Sendable {
    /// What it is called.
    public var name: String
    /// The logs of every epoch.
    public var history: [TrainingLogs]
    /// The learning rate over the epochs, from 0.
    public var learningRates: [(epoch: Double, rate: Double)]

    /// What a trainer has done.
    public init(_ name: String, _ trainer: Trainer) {
      self.name = name
      history = trainer.history
      learningRates = trainer.learningRates()
    }
  }

  /// Things to know, under a heading.
  public struct Facts: Sendable {
    /// What they are about.
    public var heading: String
    /// Names with values.
    public var rows: [(name: String, value: String)]

    /// Some facts.
    public init(_ heading: String, _ rows: [(name: String, value: String)]) {
      self.heading = heading
      self.rows = rows
    }

    /// The version of Lamina, the processor, the instruction set and the threads in use.
    public static func environment(_ pool: ThreadPool) -> Facts {
      Facts(
        "Environment",
        [
          ("Lamina", laminaVersion), ("processor", Processor.model),
          ("instruction set", Processor.instructionSet), ("threads", "\(pool.threadCount)"),
        ])
    }
  }

  /// What the page is called.
  public var title: String
  /// What was trained, one after the other.
  public var phases: [Phase] = []
  /// What the model says about items it was not trained on.
  public var classification: Classification?
  /// What else is to be known.
  public var facts: [Facts] = []
  /// For mistakes of the classification: a name, and a JPEG where there is a picture.
  private var pictures: [Int: (name: String, jpeg: [UInt8]?, isTiny: Bool)] = [:]

  /// Most classes of which all pairs are shown.
  private static let matrixClasses = 30
  private static let pictureSide = 112

  /// A page with a title alone.
  public init(title: String) { self.title = title }

  /// Shows the mistakes of the classification as small pictures.
  ///
  /// - Parameter images: those that were classified, in their order.
  public mutating func showPictures(of images: any LabeledImages) {
    for mistake in classification?.mistakes ?? [] where mistake.index < images.count {
      let small = try? images.image(at: mistake.index).fitted(within: Self.pictureSide)
      pictures[mistake.index] = (
        images.name(of: mistake.index), try? small?.jpegBytes(quality: 85),
        small.map { max($0.width, $0.height) <= Self.pictureSide / 2 } ?? false
      )
    }
  }

  /// Writes the page, which appears under its path whole.
  ///
  /// - Throws: `io`, `notFound`.
  public func write(to path: String) throws {
    let writer = try AtomicFileWriter(path: path)
    try writer.write(Array(html.utf8))
    try writer.commit()
  }

  /// The page.
  public var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
    style-src 'unsafe-inline'"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <title>\(title.escapedForMarkup())</title>
    <style>
    \(Self.style)
    \(LineChart.style)
    </style>
    </head>
    <body>
    <h1>\(title.escapedForMarkup())</h1>
    \(tiles)\(curves)\(confusion)\(classes)\(mistakes)\(knowledge)</body>
    </html>

    """
  }

  private static let style = """
    :root{color-scheme:light dark;--ink:#1f2937;--dim:#6b7280;--back:#fff;--card:#f9fafb;\
    --edge:#e5e7eb;--right:37 99 235;--wrong:220 38 38}
    @media (prefers-color-scheme:dark){:root{--ink:#f3f4f6;--dim:#9ca3af;--back:#111827;\
    --card:#1f2937;--edge:#374151;--right:96 165 250;--wrong:248 113 113}}
    body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);\
    max-width:1180px;margin:0 auto;padding:24px}
    h1{font-size:24px;margin:0 0 16px;overflow-wrap:anywhere}h2{font-size:18px;margin:32px 0 12px}
    .tiles{display:flex;flex-wrap:wrap;gap:12px}
    .tile{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:8px 16px}
    .tile b{display:block;font-size:22px;font-variant-numeric:tabular-nums}
    .tile span,.dim{color:var(--dim);font-size:13px}
    .charts{display:flex;flex-wrap:wrap;gap:16px}.charts svg{max-width:100%;height:auto}
    .wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
    th,td{padding:3px 10px;border:1px solid var(--edge);text-align:right;overflow-wrap:anywhere}
    th{font-weight:500;color:var(--dim)}th[scope=row],.text{text-align:left;color:var(--ink)}
    .matrix td,.matrix th{padding:3px 6px;min-width:26px;max-width:220px;text-align:center}
    .matrix th[scope=row]{text-align:right;white-space:nowrap;overflow:hidden;\
    text-overflow:ellipsis}
    .matrix .column{writing-mode:vertical-rl;transform:rotate(180deg);max-height:160px;\
    white-space:nowrap;overflow:hidden;text-overflow:ellipsis;text-align:left}
    .r{background:rgb(var(--right)/var(--s))}.w{background:rgb(var(--wrong)/var(--s))}
    .strong{color:#fff}.zero{color:var(--edge)}
    .pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:12px}
    figure{margin:0;background:var(--card);border:1px solid var(--edge);border-radius:8px;\
    padding:10px;font-size:13px;overflow-wrap:anywhere}
    figure img{display:block;height:112px;max-width:100%;object-fit:contain;margin:0 auto 8px}
    figure img.tiny{image-rendering:pixelated}
    bdi{unicode-bidi:isolate}summary{cursor:pointer;color:var(--dim)}
    .facts td{font-family:ui-monospace,monospace;font-size:13px;text-align:left;\
    white-space:pre-wrap}
    @media (prefers-color-scheme:dark){.strong{color:#111827}}
    """

  private var tiles: String {
    var tiles: [(String, String)] = []
    let last = phases.last?.history.last
    if let score = classification?.score {
      if let accuracy = score.accuracy { tiles.append((fixed(accuracy, digits: 4), "accuracy")) }
      tiles.append((fixed(score.loss, digits: 4), "loss"))
      tiles.append(("\(score.count)", "items evaluated"))
      tiles.append(("\(score.classifiedCount - score.correctCount)", "mistakes"))
    }
    if let loss = last?["loss"] { tiles.append((fixed(loss, digits: 4), "loss in training")) }
    if let best = phases.flatMap({ $0.history.compactMap { $0["val_accuracy"] } }).max() {
      tiles.append((fixed(best, digits: 4), "best accuracy of an epoch"))
    }
    let epochs = phases.reduce(0) { $0 + $1.history.count }
    if epochs > 0 { tiles.append(("\(epochs)", epochs == 1 ? "epoch" : "epochs")) }
    let cells = tiles.map { "<div class=\"tile\"><b>\($0)</b><span>\($1)</span></div>\n" }
    return "<div class=\"tiles\">\n\(cells.joined())</div>\n"
  }

  private var curves: String {
    guard phases.contains(where: { !$0.history.isEmpty }) else { return "" }
    var starts: [Int] = []
    var total = 0
    for phase in phases {
      starts.append(total)
      total += phase.history.count
    }
    let marks = phases.count > 1 ? zip(phases, starts).map { (Double($1), $0.name) } : []
    func line(_ name: String, _ key: String, _ color: String) -> LineChart.Line {
      LineChart.Line(
        name: name, color: color,
        pieces: zip(phases, starts).map { phase, start in
          phase.history.enumerated().map { (Double(start + $0 + 1), $1[key] ?? .nan) }
        })
    }
    var charts = [
      ("Loss", "loss", "val_loss"), ("Accuracy", "accuracy", "val_accuracy"),
    ].map { title, key, validationKey in
      LineChart(
        title: title, axis: "epoch",
        lines: [line("training", key, "a"), line("validation", validationKey, "b")], marks: marks)
    }
    charts.append(
      LineChart(
        title: "Learning rate", axis: "epoch",
        lines: [
          LineChart.Line(
            name: "learning rate", color: "a",
            pieces: zip(phases, starts).map { phase, start in
              phase.learningRates.map { (Double(start) + $0.epoch, $0.rate) }
            })
        ], marks: marks, digits: 8))
    let drawn = charts.map { "<div>\($0.svg())</div>" }.joined(separator: "\n")
    return "<h2>Training</h2>\n<div class=\"charts\">\n\(drawn)\n</div>\n"
  }

  private func name(_ label: Int, limit: Int = 80) -> String {
    let names = classification?.confusion.classNames ?? []
    return
      "<bdi>\((names.indices.contains(label) ? names[label] : "").escapedForMarkup(limit: limit))</bdi>"
  }

  private var confusion: String {
    guard let matrix = classification?.confusion else { return "" }
    let classes = matrix.classNames.indices
    guard classes.count <= Self.matrixClasses else { return confusedPairs(matrix) }
    let heads = classes.map { "<th scope=\"col\"><div class=\"column\">\(name($0))</div></th>" }
    let rows = classes.map { label in
      let cells = classes.map { prediction -> String in
        let count = matrix.count(of: label, as: prediction)
        guard count > 0 else { return "<td class=\"zero\">0</td>" }
        let share = Double(count) / Double(matrix.support(of: label))
        let style = "\(label == prediction ? "r" : "w")\(share > 0.55 ? " strong" : "")"
        return
          "<td class=\"\(style)\" style=\"--s:\(fixed(0.1 + 0.9 * share, digits: 2))\">\(count)</td>"
      }
      return "<tr><th scope=\"row\">\(name(label))</th>\(cells.joined())</tr>\n"
    }
    return """
      <h2>What was taken for what</h2>
      <p class="dim">Rows are the classes of the items, columns those that were found; colours are shares of a row.</p>
      <div class="wide"><table class="matrix">
      <tr><th></th>\(heads.joined())</tr>
      \(rows.joined())</table></div>

      """
  }

  private func confusedPairs(_ matrix: ConfusionMatrix) -> String {
    let rows = matrix.mostConfused(Self.matrixClasses).map { pair in
      let share = Double(pair.count) / Double(max(matrix.support(of: pair.label), 1))
      return
        "<tr><td class=\"text\">\(name(pair.label))</td><td class=\"text\">\(name(pair.prediction))</td>"
        + "<td>\(pair.count)</td><td>\(fixed(100 * share, digits: 1)) %</td></tr>\n"
    }
    guard !rows.isEmpty else { return "" }
    return """
      <h2>What was taken for what most often</h2>
      <div class="wide"><table>
      <tr><th class="text">class</th><th class="text">taken for</th><th>times</th><th>of the class</th></tr>
      \(rows.joined())</table></div>

      """
  }

  private var classes: String {
    guard let matrix = classification?.confusion else { return "" }
    func text(_ value: Double?) -> String { value.map { fixed($0, digits: 4) } ?? "–" }
    let isLong = matrix.classNames.count > Self.matrixClasses
    let used = matrix.classNames.indices.filter { matrix.f1(of: $0) != nil }
    let order =
      isLong
      ? used.sorted { (matrix.f1(of: $0) ?? 0, $0) < (matrix.f1(of: $1) ?? 0, $1) }
      : Array(matrix.classNames.indices)
    let rows = order.map { label in
      "<tr><th scope=\"row\">\(name(label))</th><td>\(text(matrix.precision(of: label)))</td>"
        + "<td>\(text(matrix.recall(of: label)))</td><td>\(text(matrix.f1(of: label)))</td>"
        + "<td>\(matrix.support(of: label))</td></tr>\n"
    }
    func mean(_ values: [Double?]) -> Double? {
      let known = values.compactMap { $0 }
      return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
    }
    let table = """
      <div class="wide"><table>
      <tr><th class="text">class</th><th>precision</th><th>recall</th><th>F1</th><th>items</th></tr>
      \(rows.joined())<tr><th scope="row"><b>mean of the classes</b></th>\
      <td>\(text(mean(used.map { matrix.precision(of: $0) })))</td>\
      <td>\(text(mean(used.map { matrix.recall(of: $0) })))</td>\
      <td>\(text(mean(used.map { matrix.f1(of: $0) })))</td>\
      <td>\(classification?.score.count ?? 0)</td></tr>
      </table></div>

      """
    return "<h2>Classes</h2>\n"
      + (isLong
        ? "<details><summary>\(order.count) classes, the worst first</summary>\n\(table)</details>\n"
        : table)
  }

  private var mistakes: String {
    guard let found = classification?.mistakes, !found.isEmpty else { return "" }
    let figures = found.map { mistake in
      let (name, jpeg, isTiny) =
        pictures[mistake.index] ?? ("item \(mistake.index)", nil, false)
      let file = name.split(separator: "/").suffix(2).joined(separator: "/")
      let picture = jpeg.map {
        "<img alt=\"\"\(isTiny ? " class=\"tiny\"" : "") src=\"data:image/jpeg;base64,\(base64($0))\"/>"
      }
      return """
        <figure>\(picture ?? "")<figcaption>
        <b>\(self.name(mistake.prediction))</b> \(fixed(mistake.probability, digits: 4))<br/>
        is \(self.name(mistake.label)) \(fixed(mistake.labelProbability, digits: 4))<br/>
        <span class="dim" title="\(name.escapedForMarkup(limit: 512))"><bdi>\(file.escapedForMarkup(limit: 96))</bdi></span>
        </figcaption></figure>

        """
    }
    return """
      <h2>The most wrong</h2>
      <p class="dim">Found, with its probability, and below it the true class with its own.</p>
      <div class="pictures">
      \(figures.joined())</div>

      """
  }

  private var knowledge: String {
    facts.filter { !$0.rows.isEmpty }.map { group in
      let rows = group.rows.map {
        "<tr><th scope=\"row\">\($0.name.escapedForMarkup())</th><td>\($0.value.escapedForMarkup(limit: 2048))</td></tr>\n"
      }
      return """
        <h2>\(group.heading.escapedForMarkup())</h2>
        <div class="wide"><table class="facts">
        \(rows.joined())</table></div>

        """
    }.joined()
  }
}

extension Trainer {
  /// The learning rate over the epochs that are complete, at some places of each: what the schedule says, times what
  /// callbacks made of it.
  func learningRates() -> [(epoch: Double, rate: Double)] {
    let perEpoch = (batchesPerEpoch - 1) / options.accumulatedBatches + 1
    func planned(_ step: Int, _ epoch: Int) -> Double {
      let time = TrainingTime(
        step: step, epoch: epoch, stepsPerEpoch: perEpoch, epochs: options.epochs)
      return optimizer.optimizer.learningRate * options.schedule.factor(at: time)
    }
    let places = max(min(perEpoch, 400 / max(history.count, 1)), 1)
    return history.enumerated().flatMap { epoch, logs in
      let plan = planned((epoch + 1) * perEpoch, epoch)
      let scale = logs["learning_rate"].map { plan > 0 ? $0 / plan : 1 } ?? 1
      return (0...places).map { place in
        let step = epoch * perEpoch + place * perEpoch / places
        return (Double(step) / Double(perEpoch), planned(step, epoch) * scale)
      }
    }
  }
}
