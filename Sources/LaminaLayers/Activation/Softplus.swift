import LaminaCore
import LaminaKernels

/// y = ln(1 + eˣ).
package struct Softplus: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.softplus"

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SOFTPLUS) }
}
