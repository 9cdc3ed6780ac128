import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = mean of x[n, c].
public struct GlobalAveragePool: GlobalPoolingLayer {
  /// `lamina.global_average_pool`.
  public static let kind: LayerKind = "lamina.global_average_pool"
  static var reduction: lk_reduction { LK_REDUCE_SUM }

  public init(attributes: inout AttributeReader) throws {}
}
