import LaminaCore
import LaminaKernels

/// y = x < −lambd ? x + bias : x > lambd ? x − bias : 0.
package struct Shrink: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.shrink"
  let bias: Float
  let lambd: Float

  package init(attributes: inout AttributeReader) throws {
    bias = try attributes.float("bias", default: 0)
    lambd = try attributes.float("lambd", default: 0.5)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("bias", bias)
    attributes.float("lambd", lambd)
  }

  var function: ElementwiseFunction { ElementwiseFunction(code: LK_SHRINK, a: bias, b: lambd) }
}
