import LaminaCore

/// The random numbers of one sample in one epoch, drawn one after the other: the same whoever prepares the sample.
public struct SampleRandom: Sendable {
  private let random: CounterRandom
  private var position: UInt64 = 0

  /// The numbers of sample `index` in `epoch`.
  public init(seed: UInt64, epoch: Int, index: Int) {
    random = CounterRandom(seed: seed, name: "\(epoch)/\(index)")
  }

  /// The next number of U[0, 1).
  public mutating func uniform() -> Double {
    defer { position += 1 }
    return Double(random.bits(position) >> 11) * 0x1p-53
  }

  /// The next number of U[lower, upper].
  public mutating func uniform(_ range: ClosedRange<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
  }

  /// The next of 0 ..< count with equal chances; 0 for none.
  public mutating func index(below count: Int) -> Int {
    min(Int(uniform() * Double(count)), max(count - 1, 0))
  }

  /// The next number of N(0, 1).
  public mutating func normal() -> Double {
    defer { position += 1 }
    return Double(random.normal(position))
  }

  /// True with the given chance.
  public mutating func chance(_ probability: Double) -> Bool { uniform() < probability }
}
