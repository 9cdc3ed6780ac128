import LaminaCore

/// Loss and accuracy, added up over items.
public struct TrainingScore: Sendable, Hashable {
  /// Σ loss of an item.
  public internal(set) var lossSum = 0.0
  /// Items.
  public internal(set) var count = 0
  /// Items whose class was right.
  public internal(set) var correctCount = 0
  /// Items whose class could be right: those with a class as label.
  public internal(set) var classifiedCount = 0

  /// The mean loss; NaN without items.
  public var loss: Double { lossSum / Double(count) }
  /// The share of right classes; nil where labels are no classes.
  public var accuracy: Double? {
    classifiedCount == 0 ? nil : Double(correctCount) / Double(classifiedCount)
  }

  mutating func add(_ other: TrainingScore) {
    lossSum += other.lossSum
    count += other.count
    correctCount += other.correctCount
    classifiedCount += other.classifiedCount
  }
}

/// The terms of a loss over the outputs of a model.
struct Objective: Sendable {
  /// The terms, each with the position of its output and of its labels.
  private let terms: [(term: LossTerm, output: Int, labels: Int)]
  private let termCount: Int

  /// - Parameter outputs: names in the order in which they will come.
  init(_ terms: [LossTerm], outputs: [String], withoutAuxiliary: Bool = false) throws {
    termCount = terms.count
    self.terms = try terms.enumerated().compactMap { index, term in
      if withoutAuxiliary && term.isAuxiliary { return nil }
      guard let output = outputs.firstIndex(of: term.output) else {
        throw LaminaError(
          .argument,
          "no output is named '\(term.output.escapedForDisplay())': \(outputs.joined(separator: ", ").escapedForDisplay())"
        )
      }
      return (term, output, index)
    }
    guard !self.terms.isEmpty else {
      throw LaminaError(.argument, "expected a term of the loss, found none")
    }
  }

  /// - Parameter gradients: for each output; written whole.
  func measure(_ outputs: [TensorView], _ labels: [Labels], gradients: [MutableTensorView] = [])
    throws -> TrainingScore
  {
    guard labels.count == 1 || labels.count == termCount else {
      throw LaminaError(
        .argument, "expected labels for \(termCount) terms of the loss, found \(labels.count)")
    }
    var result = TrainingScore()
    for (index, gradient) in gradients.enumerated()
    where !terms.contains(where: { $0.output == index }) {
      gradient.elements(as: Float.self).initialize(repeating: 0)
    }
    for (index, (term, output, position)) in terms.enumerated() {
      let labels = labels[labels.count == 1 ? 0 : position]
      let loss = try withErrorPath("output \(term.output.escapedForDisplay())") {
        try term.loss.evaluate(
          outputs[output], labels, gradient: gradients.isEmpty ? nil : gradients[output],
          weight: term.weight)
      }
      result.lossSum += term.weight * loss * Double(labels.count)
      if index == 0 {
        result.count = labels.count
        let classes = labels.classes(isDistribution: term.loss is SoftmaxCrossEntropy)
        countRightClasses(outputs[output], classes, &result)
      }
    }
    return result
  }

  private func countRightClasses(
    _ output: TensorView, _ classes: [Int], _ result: inout TrainingScore
  ) {
    guard !classes.isEmpty, output.shape.count % classes.count == 0 else { return }
    let width = output.shape.count / classes.count
    result.classifiedCount = classes.count
    for (row, label) in classes.enumerated() {
      let found =
        width == 1 ? (output.floats[row] > 0 ? 1 : 0) : output.largest(row, width: width)
      if found == label { result.correctCount += 1 }
    }
  }
}

extension Labels {
  /// The class of each item, by distributions the most probable; none for other values.
  fileprivate func classes(isDistribution: Bool) -> [Int] {
    switch self {
    case .classes(let classes): return classes
    case .values(let tensor):
      guard isDistribution, tensor.shape.rank > 1, tensor.shape.count > 0 else { return [] }
      let width = tensor.shape.count / tensor.shape[0]
      return (0..<tensor.shape[0]).map { tensor.view.largest($0, width: width) }
    }
  }
}

extension TensorView {
  /// Where a row has its largest element, the first of equals.
  fileprivate func largest(_ row: Int, width: Int) -> Int {
    let scores = elements(as: Float.self)[row * width..<(row + 1) * width]
    var best = scores.startIndex
    for index in scores.indices where scores[index] > scores[best] { best = index }
    return best - scores.startIndex
  }
}
