import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = max of x[n, c].
package struct GlobalMaxPool: GlobalPoolingLayer {
  package static let kind: LayerKind = "lamina.global_max_pool"
  static var reduction: lk_reduction { LK_REDUCE_MAX }

  package init(attributes: inout AttributeReader) throws {}
}
