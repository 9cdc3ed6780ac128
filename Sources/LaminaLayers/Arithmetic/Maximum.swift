import LaminaCore
import LaminaKernels

/// y = max(x₁, x₂, …); NaN when one is.
package struct Maximum: BinaryLayer {
  package static let kind: LayerKind = "lamina.max"
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_MAX }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { Swift.max(a, b) }
}
