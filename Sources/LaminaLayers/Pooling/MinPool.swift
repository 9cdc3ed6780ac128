import LaminaCore
import LaminaKernels

/// y[n, c, o] = min of the window of o in x[n, c]; padding counts as +∞.
package struct MinPool: WindowPoolingLayer {
  package static let kind: LayerKind = "lamina.min_pool"
  let geometry: PoolingGeometry

  package init(attributes: inout AttributeReader) throws {
    geometry = try PoolingGeometry(attributes: &attributes)
  }

  package func encode(into attributes: inout AttributeWriter) { geometry.encode(into: &attributes) }

  var operation: lk_pooling { LK_POOL_MIN }
}
