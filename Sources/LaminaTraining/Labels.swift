import LaminaCore

/// What the outputs of a batch ought to be.
public enum Labels: Sendable {
  /// One class for each item, from 0.
  case classes([Int])
  /// `float32 [batch, …]`: probabilities of the classes, bits, or numbers.
  case values(Tensor)

  /// Number of items.
  public var count: Int {
    switch self {
    case .classes(let classes): classes.count
    case .values(let tensor): tensor.shape.rank == 0 ? 1 : tensor.shape[0]
    }
  }
}
