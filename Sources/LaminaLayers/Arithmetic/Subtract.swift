import LaminaCore
import LaminaKernels

/// y = a − b.
public struct Subtract: BinaryLayer {
  /// `lamina.sub`.
  public static let kind: LayerKind = "lamina.sub"
  static var operation: lk_binary { LK_SUB }

  public init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &- b }
}
