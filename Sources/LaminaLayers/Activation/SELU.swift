import LaminaCore
import LaminaKernels

/// y = gamma·(x > 0 ? x : alpha·(eˣ − 1)) (Klambauer et al. 2017).
package struct SELU: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.selu"
  let alpha: Float
  let gamma: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1.6732632)
    gamma = try attributes.float("gamma", default: 1.050701)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
    attributes.float("gamma", gamma)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SELU, a: alpha, b: gamma) }
}
