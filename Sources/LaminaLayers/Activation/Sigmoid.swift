import LaminaCore
import LaminaKernels

/// y = 1 / (1 + e⁻ˣ).
package struct Sigmoid: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.sigmoid"

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SIGMOID) }
}
