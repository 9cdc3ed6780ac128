import LaminaCore
import LaminaKernels

/// y = x < 0 ? alpha·(eˣ − 1) : x (Clevert et al. 2015).
package struct ELU: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.elu"
  let alpha: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_ELU, a: alpha) }
}
