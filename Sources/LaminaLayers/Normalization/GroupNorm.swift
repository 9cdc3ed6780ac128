import LaminaCore
import LaminaKernels

/// y = weight[c]·(x − μ)/√(σ² + epsilon) + bias[c] with mean μ and population variance σ² of each item's group of
/// C/groups channels of [N, C, …], for `float32` (Wu and He 2018).
package struct GroupNorm: Layer {
  package static let kind: LayerKind = "lamina.group_norm"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  let groups: Int
  let epsilon: Float

  package init(attributes: inout AttributeReader) throws {
    groups = try attributes.int("groups", in: 1...Int(Int32.max))
    epsilon = try attributes.epsilon(default: 1e-5)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.int("groups", groups)
    attributes.float("epsilon", epsilon)
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    affineParameters(try Shape([inputs[0].channels]), scale: true, center: true)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let channels = try inputs[0].channels
    guard channels % groups == 0 else {
      throw LaminaError(.shape, "expected channels in \(groups) equal groups, found \(channels)")
    }
    return [try inputs[0].expecting(.float32)]
  }

  package func forward(_ call: ForwardCall) throws { normalizeGroups(groups, epsilon, call) }
}

func normalizeGroups(_ groups: Int, _ epsilon: Float, _ call: ForwardCall) {
  let shape = call.inputs[0].shape
  guard shape.count > 0 else { return }
  var rows = lk_rows(
    count: shape[0] * groups, groups: groups, channels: shape[1] / groups,
    area: shape.count(from: 2))
  lk_f32_normalize(
    call.pool.handle, &rows, epsilon, call.inputs[0].floats, call.parameters[0].floats,
    call.parameters[1].floats, call.outputs[0].floats, nil, nil)
}
