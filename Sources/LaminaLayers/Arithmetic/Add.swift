import LaminaCore
import LaminaKernels

/// y = x₁ + x₂ + …
public struct Add: BinaryLayer {
  /// `lamina.add`.
  public static let kind: LayerKind = "lamina.add"
  public static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_ADD }

  public init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &+ b }
}
