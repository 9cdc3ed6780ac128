import LaminaCore

/// Several models that decide together: p = Σ pᵢ / n over the probabilities of the members, as AlexNet's seven nets
/// (Krizhevsky et al. 2012, section 6).
public struct Ensemble: Sendable {
  /// The models.
  public let members: [Model]

  /// What the members reach alone and together.
  public struct Result: Sendable {
    /// Of each member.
    public var members: [TrainingScore]
    /// Of all together.
    public var ensemble: Classification
  }

  /// An ensemble.
  ///
  /// - Throws: `argument` for fewer than two models, and for labels or numbers of classes that differ from those of the
  ///   first.
  public init(_ members: [Model]) throws {
    guard members.count > 1 else {
      throw LaminaError(.argument, "expected at least two models, found \(members.count)")
    }
    let labels = members[0].metadata.labels
    for (index, member) in members.enumerated() where member.metadata.labels != labels {
      let found = member.metadata.labels
      let place = zip(labels, found).enumerated().first { $1.0 != $1.1 }
      let difference =
        place.map {
          "label \($0.offset) '\($0.element.1.escapedForDisplay())' instead of '\($0.element.0.escapedForDisplay())'"
        } ?? "\(found.count) labels instead of \(labels.count)"
      throw LaminaError(
        .argument, "expected the labels of the first model, found \(difference)",
        path: "model \(index + 1)")
    }
    self.members = members
  }

  /// Runs the members, one after the other, over the same items.
  ///
  /// - Parameters:
  ///   - data: for each member, as its preprocessing makes them, or one for all.
  ///   - mistakes: how many of them are kept.
  ///   - onBatch: called with the member and the number of its items that are done.
  /// - Throws: `argument` when the items of the members differ, `limit` when their probabilities do not fit in memory;
  ///   what `Classification` throws.
  public func evaluate(
    _ data: [any TrainingData], batchSize: Int = 32, mistakes: Int = 24, pool: ThreadPool? = nil,
    limits: Limits = Limits(), onBatch: ((_ member: Int, _ items: Int) throws -> Void)? = nil
  ) throws -> Result {
    guard data.count == 1 || data.count == members.count else {
      throw LaminaError(
        .argument, "expected data for \(members.count) models, found \(data.count)")
    }
    var scores: [TrainingScore] = []
    var labels: [Int] = []
    var sums: [Double] = []
    var classes = 0
    for (index, member) in members.enumerated() {
      try withErrorPath("model \(index + 1)") {
        var found: [Int] = []
        var score = TrainingScore()
        try member.classify(
          data[data.count == 1 ? 0 : index], batchSize: batchSize, pool: pool, limits: limits
        ) { range, probabilities, batch in
          if index == 0 {
            classes = probabilities.classes
            let count = data[0].count.saturatingProduct(classes).saturatingProduct(8)
            try limits.checkMemory(count, for: "probabilities of \(data[0].count) items")
          }
          guard probabilities.classes == classes else {
            throw LaminaError(
              .argument, "expected \(classes) classes, found \(probabilities.classes)")
          }
          for (row, label) in batch.enumerated() {
            let values = Array(probabilities[row])
            if index == 0 {
              sums += values
            } else {
              let start = (found.count + row) * classes
              guard start + classes <= sums.count else {
                throw LaminaError(.argument, "expected the items of the first model, found more")
              }
              for (column, value) in values.enumerated() { sums[start + column] += value }
            }
            score.add(values, label: label)
          }
          found += batch
          try onBatch?(index, range.upperBound)
        }
        if index == 0 { labels = found }
        guard found == labels else {
          throw LaminaError(.argument, "expected the items of the first model, found others")
        }
        scores.append(score)
      }
    }
    let names = members[0].metadata.labels
    var together = Classification(
      classNames: names.isEmpty ? (0..<classes).map(String.init) : names, mistakes: mistakes)
    for (row, label) in labels.enumerated() {
      let mean = sums[row * classes..<(row + 1) * classes].map { $0 / Double(members.count) }
      together.add(mean, label: label, index: labels.count == data[0].count ? row : nil)
    }
    guard together.score.count > 0 else {
      throw LaminaError(.argument, "expected items to evaluate, found none")
    }
    return Result(members: scores, ensemble: together)
  }
}
