import LaminaCore
import LaminaKernels

/// y = min(x₁, x₂, …); NaN when one is.
package struct Minimum: BinaryLayer {
  package static let kind: LayerKind = "lamina.min"
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_MIN }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { Swift.min(a, b) }
}
