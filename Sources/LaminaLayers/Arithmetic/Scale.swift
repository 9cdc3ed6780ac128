import LaminaCore
import LaminaKernels

/// y = factor·x, as before the sum of a scaled residual block (Szegedy et al. 2016).
package struct Scale: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.scale"
  let factor: Float

  package init(attributes: inout AttributeReader) throws {
    factor = try attributes.float("factor")
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("factor", factor)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SCALE, a: factor) }
}
