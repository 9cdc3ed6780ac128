import LaminaCore
import LaminaKernels

/// y = max(0, x) + min(0, alpha·(e^(x/alpha) − 1)) (Barron 2017).
public struct CELU: ElementwiseLayer {
  /// `lamina.celu`.
  public static let kind: LayerKind = "lamina.celu"
  let alpha: Float

  public init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  public func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_CELU, a: alpha) }
}
