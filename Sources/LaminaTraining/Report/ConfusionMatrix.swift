/// How often items of each class were taken for each class.
public struct ConfusionMatrix: Sendable, Hashable {
  /// Names of the classes.
  public let classNames: [String]
  private var counts: [Int: Int] = [:]
  private var supports: [Int]
  private var predictions: [Int]

  /// Nothing yet.
  public init(classNames: [String]) {
    self.classNames = classNames
    supports = [Int](repeating: 0, count: classNames.count)
    predictions = supports
  }

  /// Counts one item.
  public mutating func add(label: Int, prediction: Int) {
    precondition(classNames.indices.contains(label) && classNames.indices.contains(prediction))
    counts[label * classNames.count + prediction, default: 0] += 1
    supports[label] += 1
    predictions[prediction] += 1
  }

  /// Items of a class that were taken for another, or for itself.
  public func count(of label: Int, as prediction: Int) -> Int {
    counts[label * classNames.count + prediction] ?? 0
  }

  /// Items of a class.
  public func support(of label: Int) -> Int { supports[label] }

  /// Right ones among the items that were taken for a class; nil when there are none.
  public func precision(of label: Int) -> Double? {
    ratio(count(of: label, as: label), predictions[label])
  }

  /// Right ones among the items of a class; nil when there are none.
  public func recall(of label: Int) -> Double? {
    ratio(count(of: label, as: label), supports[label])
  }

  /// 2·TP / (2·TP + FP + FN), the harmonic mean of precision and recall; nil when the class neither is there nor was
  /// found.
  public func f1(of label: Int) -> Double? {
    ratio(2 * count(of: label, as: label), supports[label] + predictions[label])
  }

  /// Right ones among all; nil without items.
  public var accuracy: Double? {
    ratio(classNames.indices.reduce(0) { $0 + count(of: $1, as: $1) }, supports.reduce(0, +))
  }

  /// The pairs of different classes, the most frequent first; of equals by their numbers.
  public func mostConfused(_ limit: Int) -> [(label: Int, prediction: Int, count: Int)] {
    counts
      .map { (label: $0 / classNames.count, prediction: $0 % classNames.count, count: $1) }
      .filter { $0.label != $0.prediction }
      .sorted { ($1.count, $0.label, $0.prediction) < ($0.count, $1.label, $1.prediction) }
      .prefix(max(limit, 0)).map { $0 }
  }

  private func ratio(_ part: Int, _ whole: Int) -> Double? {
    whole == 0 ? nil : Double(part) / Double(whole)
  }
}
