import LaminaCore
import LaminaKernels

/// y = weight[c]·(x − μ)/√(σ² + epsilon) + bias[c] with mean μ and population variance σ² of each channel of each
/// item of [N, C, …], for `float32` (Ulyanov et al. 2016).
package struct InstanceNorm: Layer {
  package static let kind: LayerKind = "lamina.instance_norm"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  let epsilon: Float

  package init(attributes: inout AttributeReader) throws {
    epsilon = try attributes.epsilon(default: 1e-5)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("epsilon", epsilon)
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    affineParameters(try Shape([inputs[0].channels]), scale: true, center: true)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs[0].channels
    return [try inputs[0].expecting(.float32)]
  }

  package func forward(_ call: ForwardCall) throws {
    normalizeGroups(call.inputs[0].shape[1], epsilon, call)
  }

  package func savedBytes(for inputs: [TensorSpec]) -> Int {
    inputs[0].shape.rank >= 2 ? groupStatisticsBytes(inputs[0].shape[1], inputs[0].shape) : 0
  }

  package func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0] else { return }
    addGroupGradients(x.shape[1], call)
  }
}
