import LaminaCore

/// A Swift integer that is an element of tensors.
typealias IntegerElement = FixedWidthInteger & TensorElement

extension ElementType {
  /// The Swift type of an integer element type.
  var integerType: (any IntegerElement.Type)? {
    switch self {
    case .int8: Int8.self
    case .int16: Int16.self
    case .int32: Int32.self
    case .int64: Int64.self
    case .uint8: UInt8.self
    case .uint16: UInt16.self
    case .uint32: UInt32.self
    case .uint64: UInt64.self
    default: nil
    }
  }
}

extension TensorSpec {
  /// The spec without its value.
  ///
  /// - Throws: `shape` unless the elements are `float32` or integers.
  func expectingNumbers() throws -> TensorSpec {
    guard type == .float32 || type.isInteger else {
      throw LaminaError(.shape, "expected float32 or integer elements, found \(type.rawValue)")
    }
    return TensorSpec(shape, type)
  }
}

extension Sequence<TensorSpec> {
  /// The element type that all share.
  ///
  /// - Throws: `shape` when two differ.
  func commonType() throws -> ElementType? {
    var iterator = makeIterator()
    guard let first = iterator.next()?.type else { return nil }
    while let next = iterator.next()?.type {
      guard next == first else {
        throw LaminaError(
          .shape, "expected elements of one type, found \(first.rawValue) and \(next.rawValue)")
      }
    }
    return first
  }
}

extension FixedWidthInteger {
  /// The nearest representable integer, fractions cut; 0 for NaN.
  init(saturating value: Double) {
    if value.isNaN {
      self = 0
    } else {
      self = Self(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : .max)
    }
  }
}

/// y[i] = f(x[i]).
func map<X: TensorElement, Y: TensorElement>(
  _ x: TensorView, _ y: MutableTensorView, _ f: (X) -> Y
) {
  let (source, target) = (x.elements(as: X.self), y.elements(as: Y.self))
  for i in source.indices { target[i] = f(source[i]) }
}
