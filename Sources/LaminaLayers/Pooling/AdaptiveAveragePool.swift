import LaminaCore
import LaminaKernels

/// y[n, c, i] = mean of bin i of x[n, c]: ⌊i·input/output⌋ ..< ⌈(i + 1)·input/output⌉ along each spatial axis.
package struct AdaptiveAveragePool: AdaptivePoolingLayer {
  package static let kind: LayerKind = "lamina.adaptive_average_pool"
  static var operation: lk_pooling { LK_POOL_AVERAGE }
  let outputSize: [Int]

  package init(attributes: inout AttributeReader) throws {
    outputSize = try Self.readOutputSize(&attributes)
  }
}
