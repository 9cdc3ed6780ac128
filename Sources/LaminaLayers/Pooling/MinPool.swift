import LaminaCore
import LaminaKernels

/// y[n, c, o] = min of the window of o in x[n, c]; padding counts as +∞.
public struct MinPool: WindowPoolingLayer {
  /// `lamina.min_pool`.
  public static let kind: LayerKind = "lamina.min_pool"
  let geometry: PoolingGeometry

  public init(attributes: inout AttributeReader) throws {
    geometry = try PoolingGeometry(attributes: &attributes)
  }

  public func encode(into attributes: inout AttributeWriter) { geometry.encode(into: &attributes) }

  var operation: lk_pooling { LK_POOL_MIN }
}
