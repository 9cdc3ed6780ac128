import LaminaCore
import LaminaKernels

/// y = x / (1 + |x|).
package struct Softsign: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.softsign"

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SOFTSIGN) }
}
