import LaminaCore
import LaminaKernels

/// y = x / (1 + |x|).
public struct Softsign: ElementwiseLayer {
  /// `lamina.softsign`.
  public static let kind: LayerKind = "lamina.softsign"

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SOFTSIGN) }
}
