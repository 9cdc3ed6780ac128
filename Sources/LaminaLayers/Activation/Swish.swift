import LaminaCore
import LaminaKernels

/// y = x / (1 + e^(−alpha·x)) (Ramachandran et al. 2017); SiLU when alpha is 1.
public struct Swish: ElementwiseLayer {
  /// `lamina.swish`.
  public static let kind: LayerKind = "lamina.swish"
  let alpha: Float

  public init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
  }

  public func encode(into attributes: inout AttributeWriter) {
    attributes.float("alpha", alpha)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SWISH, a: alpha) }
}
