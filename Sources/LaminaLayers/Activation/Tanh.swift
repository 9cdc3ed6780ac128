import LaminaCore
import LaminaKernels

/// y = tanh x.
package struct Tanh: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.tanh"
  package static var gradient: Gradient { .supported(inputs: false, outputs: true) }

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_TANH) }
}
