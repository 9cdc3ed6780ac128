import LaminaCore
import LaminaKernels

/// y = x·tanh(ln(1 + eˣ)) (Misra 2019).
public struct Mish: ElementwiseLayer {
  /// `lamina.mish`.
  public static let kind: LayerKind = "lamina.mish"

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_MISH) }
}
