import LaminaCore
import LaminaKernels

/// y = x·tanh(ln(1 + eˣ)) (Misra 2019).
package struct Mish: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.mish"

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_MISH) }
}
