#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// base^exponent.
func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
/// eˣ.
func exponential(_ x: Double) -> Double { exp(x) }
/// The natural logarithm.
func logarithm(_ x: Double) -> Double { log(x) }
