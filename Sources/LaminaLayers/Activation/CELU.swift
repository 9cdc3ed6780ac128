import LaminaCore
import LaminaKernels

/// y = max(0, x) + min(0, alpha·(e^(x/alpha) − 1)) (Barron 2017).
package struct CELU: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.celu"
  let alpha: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_CELU, a: alpha) }
}
