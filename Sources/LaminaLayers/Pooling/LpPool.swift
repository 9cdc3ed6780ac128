import LaminaCore
import LaminaKernels

/// y[n, c, o] = (Σ|x|ᵖ over the window of o)^(1/p).
package struct LpPool: WindowPoolingLayer {
  package static let kind: LayerKind = "lamina.lp_pool"
  let geometry: PoolingGeometry
  let exponent: Float

  package init(attributes: inout AttributeReader) throws {
    geometry = try PoolingGeometry(attributes: &attributes)
    exponent = try attributes.positiveFloat("p", default: 2)
  }

  package func encode(into attributes: inout AttributeWriter) {
    geometry.encode(into: &attributes)
    attributes.float("p", exponent)
  }

  var operation: lk_pooling { LK_POOL_LP }
}

extension AttributeReader {
  /// A finite number above 0, or `fallback` where it is absent.
  mutating func positiveFloat(_ name: String, default fallback: Float) throws -> Float {
    let number = try float(name, default: fallback)
    guard number > 0, number.isFinite else {
      throw LaminaError(.graph, "expected attribute '\(name)' above 0, found \(number)")
    }
    return number
  }
}
