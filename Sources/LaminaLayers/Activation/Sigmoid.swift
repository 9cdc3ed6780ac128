import LaminaCore
import LaminaKernels

/// y = 1 / (1 + e⁻ˣ).
public struct Sigmoid: ElementwiseLayer {
  /// `lamina.sigmoid`.
  public static let kind: LayerKind = "lamina.sigmoid"

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SIGMOID) }
}
