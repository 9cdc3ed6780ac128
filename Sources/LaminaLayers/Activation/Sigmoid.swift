import LaminaCore
import LaminaKernels

/// y = 1 / (1 + e⁻ˣ).
package struct Sigmoid: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.sigmoid"
  package static var gradient: Gradient { .supported(inputs: false, outputs: true) }

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SIGMOID) }
}
