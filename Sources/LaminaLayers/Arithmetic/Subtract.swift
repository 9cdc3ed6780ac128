import LaminaCore
import LaminaKernels

/// y = a − b.
package struct Subtract: BinaryLayer {
  package static let kind: LayerKind = "lamina.sub"
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  static var operation: lk_binary { LK_SUB }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &- b }

  package func backward(_ call: BackwardCall) throws {
    addToAll(call) { $0 == 0 ? 1 : -1 }
  }
}
