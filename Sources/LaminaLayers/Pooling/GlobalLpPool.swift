import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = (Σ|x[n, c]|ᵖ)^(1/p).
package struct GlobalLpPool: Layer {
  package static let kind: LayerKind = "lamina.global_lp_pool"
  package static var gradient: Gradient { .supported(inputs: true, outputs: true) }
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
    lk_f32_pool(
      call.pool.handle, LK_POOL_LP, shape.wholeWindows, nil, exponent, call.inputs[0].floats,
      call.outputs[0].floats, shape.planes)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0], let y = call.outputs[0], let dy = call.outputGradients[0],
      let dx = call.inputGradients[0]
    else { return }
    lk_f32_pool_gradient(
      call.pool.handle, LK_POOL_LP, x.shape.wholeWindows, nil, exponent, x.floats, y.floats,
      dy.floats, dx.floats, call.setsInputGradient(0), x.shape.planes)
  }
}
