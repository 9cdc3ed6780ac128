import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = mean of x[n, c].
package struct GlobalAveragePool: GlobalPoolingLayer {
  package static let kind: LayerKind = "lamina.global_average_pool"
  static var reduction: lk_reduction { LK_REDUCE_SUM }

  package init(attributes: inout AttributeReader) throws {}
}
