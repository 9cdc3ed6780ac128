import LaminaCore
import LaminaKernels

/// y = x·max(0, min(1, x/6 + ½)) (Howard et al. 2019).
public struct HardSwish: ElementwiseLayer {
  /// `lamina.hard_swish`.
  public static let kind: LayerKind = "lamina.hard_swish"

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_HARD_SWISH) }
}
