import LaminaCore
import LaminaKernels

/// y = x > alpha ? x : 0.
package struct ThresholdedReLU: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.thresholded_relu"
  let alpha: Float

  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_THRESHOLDED_RELU, a: alpha) }
}
