import LaminaCore
import LaminaKernels

/// y = max(0, min(1, alpha·x + beta)).
package struct HardSigmoid: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.hard_sigmoid"
  let alpha: Float
  let beta: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 0.2)
    beta = try attributes.float("beta", default: 0.5)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
    attributes.float("beta", beta)
  }

  var function: ElementwiseFunction {
    ElementwiseFunction(code: LK_HARD_SIGMOID, a: alpha, b: beta)
  }
}
