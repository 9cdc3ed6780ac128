import LaminaCore
import LaminaKernels

/// y[n, c, i] = max of bin i of x[n, c]: ⌊i·input/output⌋ ..< ⌈(i + 1)·input/output⌉ along each spatial axis.
package struct AdaptiveMaxPool: AdaptivePoolingLayer {
  package static let kind: LayerKind = "lamina.adaptive_max_pool"
  static var operation: lk_pooling { LK_POOL_MAX }
  let outputSize: [Int]

  package init(attributes: inout AttributeReader) throws {
    outputSize = try Self.readOutputSize(&attributes)
  }
}
