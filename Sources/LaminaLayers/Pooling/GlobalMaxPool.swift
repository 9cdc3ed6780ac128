import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = max of x[n, c].
public struct GlobalMaxPool: GlobalPoolingLayer {
  /// `lamina.global_max_pool`.
  public static let kind: LayerKind = "lamina.global_max_pool"
  static var reduction: lk_reduction { LK_REDUCE_MAX }

  public init(attributes: inout AttributeReader) throws {}
}
