import LaminaCore
import LaminaKernels

/// y = x₁ · x₂ · …
package struct Multiply: BinaryLayer {
  package static let kind: LayerKind = "lamina.mul"
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_MUL }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &* b }
}
