import LaminaCore
import LaminaKernels

/// y = x₁ + x₂ + …
package struct Add: BinaryLayer {
  package static let kind: LayerKind = "lamina.add"
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_ADD }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &+ b }

  package func backward(_ call: BackwardCall) throws {
    addToAll(call) { _ in 1 }
  }
}
