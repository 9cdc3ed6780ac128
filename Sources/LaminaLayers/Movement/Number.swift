import LaminaCore

/// A number in an attribute.
enum Number: Sendable, Hashable {
  case int(Int)
  case float(Float)

  /// The bytes of one element of `type`, as an integer of its width.
  func element<T: BitwiseCopyable>(of type: ElementType, as _: T.Type) -> T {
    withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { bytes in
      switch self {
      case .int(let number): type.store(Int64(number), at: bytes)
      case .float(let number): type.store(Double(number), at: bytes)
      }
      return bytes.load(as: T.self)
    }
  }
}

extension AttributeReader {
  /// A number or truth value. `"inf"`, `"-inf"` and `"nan"` are numbers.
  mutating func number(_ name: String, default fallback: Number) throws -> Number {
    switch value(name) {
    case nil: fallback
    case .int(let number): .int(number)
    case .float(let number): .float(Float(number))
    case .bool(let flag): .int(flag ? 1 : 0)
    default: .float(try float(name))
    }
  }

  /// An integer, or nil where the attribute is absent.
  mutating func optionalInt(_ name: String) throws -> Int? {
    try value(name) == nil ? nil : int(name)
  }
}

extension AttributeWriter {
  /// Writes a number.
  mutating func number(_ name: String, _ number: Number) {
    switch number {
    case .int(let number): int(name, number)
    case .float(let number): float(name, number)
    }
  }
}
