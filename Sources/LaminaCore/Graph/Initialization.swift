#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A counter-based random generator (SplitMix64's finaliser over key and counter): the n-th number of a key
/// is the same whoever asks for it, in whatever order.
public struct CounterRandom: Sendable {
  /// What its numbers depend on.
  package let key: UInt64

  /// The generator of `seed` and a name.
  public init(seed: UInt64, name: String = "") {
    // FNV-1a over the name, so that tensors draw independent numbers.
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    key = CounterRandom.mix(seed &+ hash)
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// The n-th 64 bits.
  public func bits(_ n: UInt64) -> UInt64 {
    CounterRandom.mix(key ^ (n &* 0xD134_2543_DE82_EF95))
  }

  /// The n-th number of U[0, 1).
  public func uniform(_ n: UInt64) -> Float { Float(bits(n) >> 40) * 0x1p-24 }

  /// The n-th number of N(0, 1), by Box and Muller.
  public func normal(_ n: UInt64) -> Float {
    let word = bits(n)
    let u = (Double(word >> 40) + 1) * 0x1p-24
    let v = Double(word & 0xFF_FFFF) * 0x1p-24
    return Float((-2 * log(u)).squareRoot() * cos(2 * .pi * v))
  }
}

extension ParameterSpec {
  /// The initial tensor; its numbers depend on `seed` and `key` alone. Fans follow PyTorch: axis 1 times the
  /// axes behind it is the input side, axis 0 times those the output side.
  public func makeTensor(seed: UInt64, key: String) throws -> Tensor {
    let tensor = try Tensor(zeros: spec.shape, spec.type)
    guard spec.type == .float32 else { return tensor }
    let random = CounterRandom(seed: seed, name: key)
    let shape = spec.shape
    let receptive = shape.rank > 2 ? shape.count(from: 2) : 1
    let fanIn = Float(max(shape.rank > 1 ? shape[1] * receptive : shape.count, 1))
    let fanOut = Float(max(shape.rank > 1 ? shape[0] * receptive : shape.count, 1))
    tensor.withMutableElements(of: Float.self) { elements in
      func fill(_ number: (UInt64) -> Float) {
        for index in elements.indices { elements[index] = number(UInt64(index)) }
      }
      switch initializer {
      case .zeros: break
      case .ones: fill { _ in 1 }
      case .constant(let value): fill { _ in value }
      case .normal(let deviation): fill { random.normal($0) * deviation }
      case .uniform(let bound): fill { (random.uniform($0) * 2 - 1) * bound }
      case .heNormal(let usesFanOut):
        let deviation = (2 / (usesFanOut ? fanOut : fanIn)).squareRoot()
        fill { random.normal($0) * deviation }
      case .heUniform(let usesFanOut):
        let bound = (6 / (usesFanOut ? fanOut : fanIn)).squareRoot()
        fill { (random.uniform($0) * 2 - 1) * bound }
      case .leCunNormal:
        let deviation = (1 / fanIn).squareRoot()
        fill { random.normal($0) * deviation }
      case .leCunUniform:
        let bound = (3 / fanIn).squareRoot()
        fill { (random.uniform($0) * 2 - 1) * bound }
      case .glorotNormal:
        let deviation = (2 / (fanIn + fanOut)).squareRoot()
        fill { random.normal($0) * deviation }
      case .glorotUniform:
        let bound = (6 / (fanIn + fanOut)).squareRoot()
        fill { (random.uniform($0) * 2 - 1) * bound }
      }
    }
    return tensor
  }
}
