import LaminaCore

/// What a model is trained on, by the index of the item.
public protocol TrainingData: Sendable {
  /// Number of items.
  var count: Int { get }
  /// A hash of the items and of how they are read: a checkpoint is resumed with the same data only.
  var fingerprint: String { get }
  /// Whether an item is the same at every epoch, so that what frozen layers make of it can be kept. Default: no.
  var isSameInEveryEpoch: Bool { get }
  /// Items as one batch. The same indices at the same epoch, from 0, give the same bits.
  ///
  /// Items that cannot be read may be left out, where that is the policy.
  func batch(_ indices: [Int], epoch: Int) throws -> Batch
  /// Says that a batch will be asked for soon, or, without indices, that none will. Default: nothing.
  func prefetch(_ indices: [Int], epoch: Int)
}

extension TrainingData {
  /// No.
  public var isSameInEveryEpoch: Bool { false }
  /// Nothing.
  public func prefetch(_ indices: [Int], epoch: Int) {}
}

/// Items that are trained on in one step.
public struct Batch: Sendable {
  /// What enters the model.
  public enum Content: Sendable {
    /// A tensor for each input of the graph.
    case inputs([Tensor])
    /// What `TrainingSession.features(of:)` made of inputs of these shapes.
    case features([Tensor], of: [TensorSpec])
  }

  /// What enters the model.
  public var content: Content
  /// For each term of the loss, or one for all.
  public var labels: [Labels]
  /// Number of items.
  public var count: Int { labels.first?.count ?? 0 }

  /// A batch of inputs.
  public init(_ inputs: [Tensor], labels: [Labels]) {
    content = .inputs(inputs)
    self.labels = labels
  }

  /// A batch of features.
  public init(features: [Tensor], of inputs: [TensorSpec], labels: [Labels]) {
    content = .features(features, of: inputs)
    self.labels = labels
  }
}
