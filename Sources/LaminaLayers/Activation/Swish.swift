import LaminaCore
import LaminaKernels

/// y = x / (1 + e^(−alpha·x)) (Ramachandran et al. 2017); SiLU when alpha is 1.
package struct Swish: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.swish"
  let alpha: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SWISH, a: alpha) }
}
