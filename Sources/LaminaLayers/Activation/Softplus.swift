import LaminaCore
import LaminaKernels

/// y = ln(1 + eˣ).
public struct Softplus: ElementwiseLayer {
  /// `lamina.softplus`.
  public static let kind: LayerKind = "lamina.softplus"

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SOFTPLUS) }
}
