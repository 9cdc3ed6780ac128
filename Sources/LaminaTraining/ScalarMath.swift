#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// ln(1 + eˣ) without overflow.
func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }

/// 1 / (1 + e⁻ˣ) without overflow.
func sigmoid(_ x: Double) -> Double {
  let e = exp(-abs(x))
  return x >= 0 ? 1 / (1 + e) : e / (1 + e)
}

/// xʸ.
func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }

/// From a at 0 to b at 1, along half a cosine.
func cosine(from a: Double, to b: Double, at share: Double) -> Double {
  b + (a - b) * (1 + cos(.pi * share)) / 2
}

/// The logarithm to base 10.
func logarithm10(_ x: Double) -> Double { log10(x) }
