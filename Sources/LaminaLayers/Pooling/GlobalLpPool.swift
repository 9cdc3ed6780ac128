import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = (Σ|x[n, c]|ᵖ)^(1/p).
package struct GlobalLpPool: Layer {
  package static let kind: LayerKind = "lamina.global_lp_pool"
  let exponent: Float

  package init(attributes: inout AttributeReader) throws {
    exponent = try attributes.positiveFloat("p", default: 2)
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.float("p", exponent) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try inputs[0].expecting(.float32).shape.globallyPooled())]
  }

  package func forward(_ call: ForwardCall) throws {
    let shape = call.inputs[0].shape
    let axes = shape.spatial.map {
      lk_window_axis(input: $0, output: 1, kernel: $0, stride: 1, dilation: 1, before: 0, after: 0)
    }
    lk_f32_pool(
      call.pool.handle, LK_POOL_LP, axes, nil, exponent, call.inputs[0].floats,
      call.outputs[0].floats, shape.planes)
  }
}
