import LaminaCore

/// An element that casts convert from and to. `Wide` holds each of its values exactly.
protocol CastElement: BitwiseCopyable, Sendable {
  associatedtype Wide: CastSource
  var wide: Wide { get }
  init(cast number: Double)
  init(cast number: Int64)
  init(cast number: UInt64)
}

/// One of the types that hold every element exactly: `Double`, `Int64`, `UInt64`.
protocol CastSource {
  func cast<T: CastElement>(to: T.Type) -> T
}

extension Double: CastSource {
  @inline(__always) func cast<T: CastElement>(to: T.Type) -> T { T(cast: self) }
}
extension Int64: CastSource {
  @inline(__always) func cast<T: CastElement>(to: T.Type) -> T { T(cast: self) }
}
extension UInt64: CastSource {
  @inline(__always) func cast<T: CastElement>(to: T.Type) -> T { T(cast: self) }
}

extension Float: CastElement {
  var wide: Double { Double(self) }
  init(cast number: Double) { self = Float(number) }
  init(cast number: Int64) { self = Float(number) }
  init(cast number: UInt64) { self = Float(number) }
}

extension Double: CastElement {
  var wide: Double { self }
  init(cast number: Double) { self = number }
  init(cast number: Int64) { self = Double(number) }
  init(cast number: UInt64) { self = Double(number) }
}

/// Integers: numbers beyond the range saturate when they come from floating point and wrap when they are
/// integers.
protocol IntegerCastElement: CastElement, FixedWidthInteger {}

extension IntegerCastElement {
  @inline(__always) init(cast number: Double) { self.init(saturating: number) }
  @inline(__always) init(cast number: Int64) { self.init(truncatingIfNeeded: number) }
  @inline(__always) init(cast number: UInt64) { self.init(truncatingIfNeeded: number) }
}

extension Int8: IntegerCastElement { var wide: Int64 { Int64(self) } }
extension Int16: IntegerCastElement { var wide: Int64 { Int64(self) } }
extension Int32: IntegerCastElement { var wide: Int64 { Int64(self) } }
extension Int64: IntegerCastElement { var wide: Int64 { Int64(self) } }
extension UInt8: IntegerCastElement { var wide: UInt64 { UInt64(self) } }
extension UInt16: IntegerCastElement { var wide: UInt64 { UInt64(self) } }
extension UInt32: IntegerCastElement { var wide: UInt64 { UInt64(self) } }
extension UInt64: IntegerCastElement { var wide: UInt64 { UInt64(self) } }

/// A truth value in a byte: 0 or 1 where it was made here, any byte where it was read.
struct TruthByte: CastElement {
  let byte: UInt8
  var wide: UInt64 { byte == 0 ? 0 : 1 }
  init(cast number: Double) { byte = number == 0 ? 0 : 1 }
  init(cast number: Int64) { byte = number == 0 ? 0 : 1 }
  init(cast number: UInt64) { byte = number == 0 ? 0 : 1 }
}

/// IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits.
struct HalfBits: CastElement {
  let bits: UInt16

  var wide: Double { widen(bits, exponentBits: 5, fractionBits: 10) }
  init(cast number: Double) { bits = narrow(number, exponentBits: 5, fractionBits: 10) }
  // Integers that Double does not hold exactly lie far beyond the largest finite half.
  init(cast number: Int64) { self.init(cast: Double(number)) }
  init(cast number: UInt64) { self.init(cast: Double(number)) }
}

/// bfloat16, the upper half of a binary32: 1 sign, 8 exponent and 7 fraction bits.
struct BFloatBits: CastElement {
  let bits: UInt16

  var wide: Double { Double(Float(bitPattern: UInt32(bits) << 16)) }
  init(cast number: Double) { bits = narrow(number, exponentBits: 8, fractionBits: 7) }
  init(cast number: Int64) {
    let magnitude = Double(roundedToOdd: number.magnitude)
    self.init(cast: number < 0 ? -magnitude : magnitude)
  }
  init(cast number: UInt64) { self.init(cast: Double(roundedToOdd: number)) }
}

extension Double {
  /// The number with its lowest bit set where bits were lost, so that a second rounding is as if there had
  /// been no first.
  fileprivate init(roundedToOdd number: UInt64) {
    let excess = 53 - (64 - number.leadingZeroBitCount)
    guard excess < 0 else {
      self = Double(number)
      return
    }
    let kept = number >> UInt64(-excess)
    let isExact = kept << UInt64(-excess) == number
    self = Double(kept | (isExact ? 0 : 1)) * Double(sign: .plus, exponent: -excess, significand: 1)
  }
}

/// The 16-bit float nearest to `number`, ties to even; beyond the largest finite one infinity; NaN stays NaN.
private func narrow(_ number: Double, exponentBits: Int, fractionBits: Int) -> UInt16 {
  let sign: UInt16 = number.sign == .minus ? 0x8000 : 0
  let infinity = UInt16((1 << exponentBits) - 1) << UInt16(fractionBits)
  if number.isNaN { return sign | infinity | 1 << UInt16(fractionBits - 1) }
  if number.isInfinite { return sign | infinity }
  let bias = (1 << (exponentBits - 1)) - 1
  let magnitude = number.magnitude
  guard magnitude > 0 else { return sign }
  // The distance of neighbouring results around the number; subnormal results are equally spaced.
  let exponent = max(Int(magnitude.exponent), 1 - bias)
  guard exponent <= bias else { return sign | infinity }
  let steps = (magnitude * Double(sign: .plus, exponent: fractionBits - exponent, significand: 1))
    .rounded(.toNearestOrEven)
  // Counted in steps from zero, a carry into the exponent is the next binade or infinity.
  return sign | UInt16((exponent + bias - 1) << fractionBits + Int(steps))
}

private func widen(_ bits: UInt16, exponentBits: Int, fractionBits: Int) -> Double {
  let bias = (1 << (exponentBits - 1)) - 1
  let exponent = Int(bits & 0x7FFF) >> fractionBits
  let fraction = Double(Int(bits) & (1 << fractionBits - 1))
  let one = Double(1 << fractionBits)
  let magnitude: Double =
    switch exponent {
    case 0: fraction / one * Double(sign: .plus, exponent: 1 - bias, significand: 1)
    case (1 << exponentBits) - 1: fraction == 0 ? .infinity : .nan
    default: (1 + fraction / one) * Double(sign: .plus, exponent: exponent - bias, significand: 1)
    }
  return bits & 0x8000 == 0 ? magnitude : -magnitude
}

extension ElementType {
  /// Stores `number` as one element of this type.
  func store(_ number: some CastSource, at target: UnsafeMutableRawBufferPointer) {
    switch self {
    case .float32: target.storeBytes(of: number.cast(to: Float.self), as: Float.self)
    case .float64: target.storeBytes(of: number.cast(to: Double.self), as: Double.self)
    case .float16: target.storeBytes(of: number.cast(to: HalfBits.self), as: HalfBits.self)
    case .bfloat16: target.storeBytes(of: number.cast(to: BFloatBits.self), as: BFloatBits.self)
    case .int8: target.storeBytes(of: number.cast(to: Int8.self), as: Int8.self)
    case .int16: target.storeBytes(of: number.cast(to: Int16.self), as: Int16.self)
    case .int32: target.storeBytes(of: number.cast(to: Int32.self), as: Int32.self)
    case .int64: target.storeBytes(of: number.cast(to: Int64.self), as: Int64.self)
    case .uint8: target.storeBytes(of: number.cast(to: UInt8.self), as: UInt8.self)
    case .uint16: target.storeBytes(of: number.cast(to: UInt16.self), as: UInt16.self)
    case .uint32: target.storeBytes(of: number.cast(to: UInt32.self), as: UInt32.self)
    case .uint64: target.storeBytes(of: number.cast(to: UInt64.self), as: UInt64.self)
    case .bool: target.storeBytes(of: number.cast(to: TruthByte.self), as: TruthByte.self)
    }
  }
}
