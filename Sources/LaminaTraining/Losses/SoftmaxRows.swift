#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The softmax of a row of logits, in double precision and without overflow.
struct Softmax {
  /// xᵢ − ln Σ eˣ.
  private(set) var logarithms: [Double]
  /// eˣᵢ / Σ eˣ.
  private(set) var probabilities: [Double]

  init(_ row: UnsafeBufferPointer<Float>) {
    let maximum = Double(row.max() ?? 0)
    // NaN does not compare: it must come through the sum.
    logarithms = row.map { Double($0) - maximum }
    probabilities = logarithms.map { exp($0) }
    let sum = probabilities.reduce(0, +)
    let logarithm = log(sum)
    for index in logarithms.indices {
      logarithms[index] -= logarithm
      probabilities[index] /= sum
    }
  }

  /// 1 − pᵢ, without cancellation.
  func complement(_ index: Int) -> Double {
    probabilities.indices.reduce(0) { $0 + ($1 == index ? 0 : probabilities[$1]) }
  }
}
