import LaminaCore
import LaminaKernels

/// y = x₁ · x₂ · …
public struct Multiply: BinaryLayer {
  /// `lamina.mul`.
  public static let kind: LayerKind = "lamina.mul"
  public static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_MUL }

  public init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &* b }
}
