import LaminaCore
import LaminaKernels

/// y = a / b. Integers are cut towards zero; a / 0 = 0, and the smallest integer over −1 is itself.
package struct Divide: BinaryLayer {
  package static let kind: LayerKind = "lamina.div"
  static var operation: lk_binary { LK_DIV }
  static var keepsZeros: Bool { false }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
    b == 0 ? 0 : a.dividedReportingOverflow(by: b).partialValue
  }
}
