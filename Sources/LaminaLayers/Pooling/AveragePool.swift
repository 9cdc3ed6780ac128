import LaminaCore
import LaminaKernels

/// y[n, c, o] = Σ of the window of o in x[n, c] / number of its elements.
///
/// Elements are those within the input, or with `count_include_pad` those within the padded input; positions
/// that only `ceil_mode` adds behind the padding never count.
package struct AveragePool: WindowPoolingLayer {
  package static let kind: LayerKind = "lamina.average_pool"
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let geometry: PoolingGeometry
  let includesPadding: Bool

  package init(attributes: inout AttributeReader) throws {
    geometry = try PoolingGeometry(attributes: &attributes)
    includesPadding = try attributes.bool("count_include_pad", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    geometry.encode(into: &attributes)
    attributes.bool("count_include_pad", includesPadding)
  }

  var operation: lk_pooling { LK_POOL_AVERAGE }
}
