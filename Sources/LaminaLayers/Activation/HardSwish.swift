import LaminaCore
import LaminaKernels

/// y = x·max(0, min(1, x/6 + ½)) (Howard et al. 2019).
package struct HardSwish: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.hard_swish"

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_HARD_SWISH) }
}
