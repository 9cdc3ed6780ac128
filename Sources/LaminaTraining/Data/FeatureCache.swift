import LaminaCore

/// What the frozen layers below everything that learns make of the items of a set: computed once, so that later epochs
/// cost the layers above alone. Only for data that are the same in every epoch.
public final class FeatureCache: TrainingData {
  /// Number of items.
  public let count: Int
  /// That of the data, and that they are features.
  public let fingerprint: String
  /// Yes.
  public var isSameInEveryEpoch: Bool { true }
  private let features: [Tensor]
  private let inputs: [TensorSpec]
  private let labels: [Int]

  /// Runs the frozen layers over all items.
  ///
  /// - Parameters:
  ///   - session: a session of the same model with the same layers frozen.
  ///   - data: items with a class each, of one shape.
  ///   - onBatch: called with the number of items that are done; what it throws ends the work.
  /// - Throws: `argument` when no layers are frozen below what learns, for labels that are no classes, or no items;
  ///   `limit` when the features do not fit in memory; what the data throw.
  public init(
    _ session: TrainingSession, _ data: any TrainingData, batchSize: Int = 32,
    onBatch: ((Int) throws -> Void)? = nil
  ) throws {
    guard session.hasTrunk else {
      throw LaminaError(.argument, "expected frozen layers below those that learn, found none")
    }
    guard data.count > 0 else { throw LaminaError(.argument, "expected items, found none") }
    let count = data.count
    self.count = count
    fingerprint = "features of \(data.fingerprint)"
    var features: [Tensor] = []
    var inputs: [TensorSpec] = []
    var labels: [Int] = []
    for start in stride(from: 0, to: count, by: batchSize) {
      let indices = Array(start..<min(start + batchSize, count))
      let batch = try data.batch(indices, epoch: 0)
      guard case .inputs(let tensors) = batch.content,
        case .classes(let classes)? = batch.labels.first,
        classes.count == indices.count
      else {
        throw LaminaError(.argument, "expected inputs with a class for each item")
      }
      let found = try session.features(of: tensors.map(\.view))
      if start == 0 {
        inputs = tensors.map(\.spec)
        let shapes = try found.map { try Shape([count] + $0.shape.dimensions.dropFirst()) }
        let bytes = shapes.reduce(0) { $0.saturatingSum($1.count.saturatingProduct(4)) }
        try session.options.limits.checkMemory(bytes, for: "the features of \(count) items")
        features = try shapes.map { try Tensor(uninitialized: $0) }
      }
      for (whole, part) in zip(features, found) {
        guard part.shape.dimensions.dropFirst() == whole.shape.dimensions.dropFirst() else {
          throw LaminaError(.shape, "expected items of one shape, found \(part.shape)")
        }
        let size = whole.shape.count(from: 1)
        FeatureCache.copy(part, 0, to: whole, start, rows: indices.count, size: size)
      }
      labels += classes
      try onBatch?(labels.count)
    }
    self.features = features
    self.inputs = inputs
    self.labels = labels
  }

  /// Features as one batch.
  public func batch(_ indices: [Int], epoch: Int) throws -> Batch {
    let parts = try features.map { whole in
      let part = try Tensor(
        uninitialized: Shape([indices.count] + whole.shape.dimensions.dropFirst()))
      let size = whole.shape.count(from: 1)
      for (row, index) in indices.enumerated() {
        FeatureCache.copy(whole, index, to: part, row, rows: 1, size: size)
      }
      return part
    }
    let specs = try inputs.map {
      TensorSpec(try Shape([indices.count] + $0.shape.dimensions.dropFirst()), $0.type)
    }
    return Batch(features: parts, of: specs, labels: [.classes(indices.map { labels[$0] })])
  }

  private static func copy(
    _ source: Tensor, _ from: Int, to target: Tensor, _ to: Int, rows: Int, size: Int
  ) {
    source.withElements(of: Float.self) { source in
      target.withMutableElements(of: Float.self) { target in
        guard let start = target.baseAddress, let first = source.baseAddress else { return }
        (start + to * size).update(from: first + from * size, count: rows * size)
      }
    }
  }
}
