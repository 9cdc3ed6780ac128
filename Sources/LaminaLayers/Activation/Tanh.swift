import LaminaCore
import LaminaKernels

/// y = tanh x.
public struct Tanh: ElementwiseLayer {
  /// `lamina.tanh`.
  public static let kind: LayerKind = "lamina.tanh"

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_TANH) }
}
