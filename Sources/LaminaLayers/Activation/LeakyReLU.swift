import LaminaCore
import LaminaKernels

/// y = x < 0 ? alpha·x : x.
package struct LeakyReLU: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.leaky_relu"
  let alpha: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 0.01)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_LEAKY_RELU, a: alpha) }
}
