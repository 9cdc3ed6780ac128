import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a model says about items whose classes are known.
public struct Classification: Sendable {
  /// An item that was taken for another class.
  public struct Mistake: Sendable, Hashable {
    /// Its position among the data.
    public var index: Int
    /// Its class.
    public var label: Int
    /// The class that was found.
    public var prediction: Int
    /// What the model gives its class.
    public var labelProbability: Double
    /// What the model gives the class that was found.
    public var probability: Double
  }

  /// −ln of the probabilities of the classes, and how many were the largest.
  public private(set) var score = TrainingScore()
  /// Classes by what was found.
  public private(set) var confusion: ConfusionMatrix
  /// The mistakes with the least probability for the right class, those first.
  public private(set) var mistakes: [Mistake] = []
  private let mistakeCount: Int

  /// Nothing yet.
  init(classNames: [String], mistakes: Int) {
    confusion = ConfusionMatrix(classNames: classNames)
    mistakeCount = mistakes
  }

  /// Runs a model over all items in their order.
  ///
  /// - Parameters:
  ///   - classNames: nil: the model's labels or, without them, numbers.
  ///   - mistakes: how many of them are kept.
  ///   - onBatch: called with the number of items that are done.
  /// - Throws: `argument` when there are no items, labels are no classes, or a class has no name; `shape` when the
  ///   output is no list of scores; what the data throw.
  public init(
    _ model: Model, _ data: any TrainingData, classNames: [String]? = nil, batchSize: Int = 32,
    mistakes: Int = 24, pool: ThreadPool? = nil, limits: Limits = Limits(),
    onBatch: ((Int) throws -> Void)? = nil
  ) throws {
    var result: Classification?
    try model.classify(data, batchSize: batchSize, pool: pool, limits: limits) {
      range, probabilities, labels in
      let names =
        classNames ?? (model.metadata.labels.isEmpty ? nil : model.metadata.labels)
        ?? probabilities.columns.indices.map(String.init)
      var found = result ?? Classification(classNames: names, mistakes: mistakes)
      guard found.confusion.classNames.count == probabilities.classes else {
        throw LaminaError(
          .argument,
          "expected \(probabilities.classes) names of classes, found \(found.confusion.classNames.count)"
        )
      }
      for (row, label) in labels.enumerated() {
        // Where items were left out, rows tell no positions.
        let index = labels.count == range.count ? range.lowerBound + row : nil
        found.add(probabilities[row], label: label, index: index)
      }
      result = found
      try onBatch?(range.upperBound)
    }
    guard let result, result.score.count > 0 else {
      throw LaminaError(.argument, "expected items to evaluate, found none")
    }
    self = result
  }

  mutating func add(_ probabilities: some Collection<Double>, label: Int, index: Int?) {
    let values = Array(probabilities)
    let prediction = values.indexOfLargest
    score.add(values, label: label)
    confusion.add(label: label, prediction: prediction)
    guard prediction != label, let index else { return }
    let mistake = Mistake(
      index: index, label: label, prediction: prediction, labelProbability: values[label],
      probability: values[prediction])
    let place = mistakes.firstIndex { $0.labelProbability > mistake.labelProbability }
    mistakes.insert(mistake, at: place ?? mistakes.count)
    if mistakes.count > mistakeCount { mistakes.removeLast() }
  }
}

extension TrainingScore {
  /// Takes in one item, by the probabilities of its classes.
  mutating func add(_ probabilities: [Double], label: Int) {
    // The least that is told from 0: a loss stays finite.
    lossSum -= log(max(probabilities[label], .leastNormalMagnitude))
    count += 1
    classifiedCount += 1
    if probabilities.indexOfLargest == label { correctCount += 1 }
  }
}

extension [Double] {
  /// Where the largest element is, the first of equals.
  fileprivate var indexOfLargest: Int { indices.reduce(0) { self[$1] > self[$0] ? $1 : $0 } }
}

/// Probabilities `[items, classes]`.
struct Probabilities {
  let classes: Int
  private let elements: [Double]

  /// - Parameter areProbabilities: whether the output is taken as it is; else softmax makes it so.
  /// - Throws: `shape` when the output is no list of scores.
  init(_ output: TensorView, areProbabilities: Bool) throws {
    let rows = try Rows(output)
    classes = rows.classes
    elements =
      areProbabilities
      ? rows.elements.map(Double.init)
      : (0..<rows.count).flatMap { Softmax(rows[$0]).probabilities }
  }

  var columns: Range<Int> { 0..<classes }
  subscript(row: Int) -> ArraySlice<Double> { elements[row * classes..<(row + 1) * classes] }
}

extension Model {
  /// Whether the first output holds probabilities, as the metadata say or because the graph ends in a softmax.
  var givesProbabilities: Bool {
    if let kind = metadata.outputKind { return kind == .probabilities }
    guard let output = graph.outputs.first?.value else { return false }
    return graph.nodes.contains {
      $0.outputs.contains(output) && $0.definition.kind.name == "lamina.softmax"
    }
  }

  /// Probabilities of the classes of all items in their order, batch by batch.
  func classify(
    _ data: any TrainingData, batchSize: Int, pool: ThreadPool?, limits: Limits,
    body:
      @escaping (
        _ items: Range<Int>, _ probabilities: Probabilities, _ labels: [Int]
      ) throws -> Void
  ) throws {
    guard let output = graph.outputs.first?.name else {
      throw LaminaError(.argument, "expected a model with an output, found none")
    }
    let areProbabilities = givesProbabilities
    _ = try evaluate(
      data, losses: [LossTerm(output, NoLoss())], batchSize: batchSize, pool: pool, limits: limits
    ) { range, outputs, labels in
      guard case .classes(let classes)? = labels.first else {
        throw LaminaError(.argument, "expected items with a class each, found other labels")
      }
      try Rows(outputs[0]).check(classes)
      try body(range, Probabilities(outputs[0], areProbabilities: areProbabilities), classes)
    }
  }
}

/// 0, where outputs alone are asked for.
private struct NoLoss: Loss {
  func evaluate(
    _ output: TensorView, _ labels: Labels, gradient: MutableTensorView?, weight: Double
  ) throws -> Double { 0 }
}
