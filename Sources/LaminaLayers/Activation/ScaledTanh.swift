import LaminaCore
import LaminaKernels

/// y = amplitude·tanh(slope·x); the defaults are those of LeNet-5 (LeCun et al. 1998).
package struct ScaledTanh: ElementwiseLayer {
  package static let kind: LayerKind = "lamina.scaled_tanh"
  let amplitude: Float
  let slope: Float

  package init(attributes: inout AttributeReader) throws {
    amplitude = try attributes.float("amplitude", default: 1.7159)
    slope = try attributes.float("slope", default: 2 / 3)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("amplitude", amplitude)
    attributes.float("slope", slope)
  }

  var function: ElementwiseFunction {
    ElementwiseFunction(code: LK_SCALED_TANH, a: amplitude, b: slope)
  }
}
