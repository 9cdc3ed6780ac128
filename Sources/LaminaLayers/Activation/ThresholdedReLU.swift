import LaminaCore
import LaminaKernels

/// y = x > alpha ? x : 0.
public struct ThresholdedReLU: ElementwiseLayer {
  /// `lamina.thresholded_relu`.
  public static let kind: LayerKind = "lamina.thresholded_relu"
  let alpha: Float

  public init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  public func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_THRESHOLDED_RELU, a: alpha) }
}
