/// The type of a tensor's elements.
///
/// Graphs compute in `float32`, the integer types and `bool`; the other floating-point types occur in files
/// and in casts. The raw value is the name in Lamina's files.
public enum ElementType: String, Sendable, CaseIterable, Hashable {
  case float32, float16, bfloat16, float64
  case int8, int16, int32, int64
  case uint8, uint16, uint32, uint64
  case bool

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .int8, .uint8, .bool: 1
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float32, .int32, .uint32: 4
    case .float64, .int64, .uint64: 8
    }
  }

  /// True for the four floating-point types.
  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .float16, .bfloat16, .float64: true
    default: false
    }
  }

  /// True for the eight integer types; `bool` is not one.
  public var isInteger: Bool { !isFloatingPoint && self != .bool }
}

extension ElementType {
  /// The type of a number of `lamina_types.h`.
  package init?(code: Int32) {
    guard code >= 1, code <= ElementType.byCode.count else { return nil }
    self = ElementType.byCode[Int(code) - 1]
  }

  /// The number in `lamina_types.h`.
  package var code: Int32 {
    switch self {
    case .float32: 1
    case .float16: 2
    case .bfloat16: 3
    case .float64: 4
    case .int8: 5
    case .int16: 6
    case .int32: 7
    case .int64: 8
    case .uint8: 9
    case .uint16: 10
    case .uint32: 11
    case .uint64: 12
    case .bool: 13
    }
  }

  private static let byCode: [ElementType] = allCases.sorted { $0.code < $1.code }
}

/// A Swift type that a tensor's elements can be read as.
public protocol TensorElement: BitwiseCopyable, Sendable {
  /// The element type it stands for.
  static var elementType: ElementType { get }
}

extension Float: TensorElement {
  /// `float32`.
  public static var elementType: ElementType { .float32 }
}
extension Double: TensorElement {
  /// `float64`.
  public static var elementType: ElementType { .float64 }
}
extension Int8: TensorElement {
  /// `int8`.
  public static var elementType: ElementType { .int8 }
}
extension Int16: TensorElement {
  /// `int16`.
  public static var elementType: ElementType { .int16 }
}
extension Int32: TensorElement {
  /// `int32`.
  public static var elementType: ElementType { .int32 }
}
extension Int64: TensorElement {
  /// `int64`.
  public static var elementType: ElementType { .int64 }
}
extension UInt8: TensorElement {
  /// `uint8`.
  public static var elementType: ElementType { .uint8 }
}
extension UInt16: TensorElement {
  /// `uint16`.
  public static var elementType: ElementType { .uint16 }
}
extension UInt32: TensorElement {
  /// `uint32`.
  public static var elementType: ElementType { .uint32 }
}
extension UInt64: TensorElement {
  /// `uint64`.
  public static var elementType: ElementType { .uint64 }
}
extension Bool: TensorElement {
  /// `bool`, one byte, 0 or 1.
  public static var elementType: ElementType { .bool }
}
