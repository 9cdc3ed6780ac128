import LaminaCore
import LaminaKernels

/// y = a − b.
package struct Subtract: BinaryLayer {
  package static let kind: LayerKind = "lamina.sub"
  static var operation: lk_binary { LK_SUB }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &- b }
}
