import LaminaCore
import LaminaKernels

/// y = weight[c]·(x − μ)/√(σ² + epsilon) + bias[c] with mean μ and population variance σ² of each item's group of
/// C/groups channels of [N, C, …], for `float32` (Wu and He 2018).
package struct GroupNorm: Layer {
  package static let kind: LayerKind = "lamina.group_norm"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
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

  package func savedBytes(for inputs: [TensorSpec]) -> Int {
    groupStatisticsBytes(groups, inputs[0].shape)
  }

  package func backward(_ call: BackwardCall) throws { addGroupGradients(groups, call) }
}

/// A mean and an inverse deviation for each group of each item.
func groupStatisticsBytes(_ groups: Int, _ shape: Shape) -> Int { 2 * 4 * shape[0] * groups }

private func rows(_ groups: Int, _ shape: Shape) -> lk_rows {
  lk_rows(
    count: shape[0] * groups, groups: groups, channels: shape[1] / max(groups, 1),
    area: shape.count(from: 2))
}

func normalizeGroups(_ groups: Int, _ epsilon: Float, _ call: ForwardCall) {
  let shape = call.inputs[0].shape
  guard shape.count > 0 else { return }
  var rows = rows(groups, shape)
  let saved = call.saved.baseAddress?.assumingMemoryBound(to: Float.self)
  lk_f32_normalize(
    call.pool.handle, &rows, epsilon, call.inputs[0].floats, call.parameters[0].floats,
    call.parameters[1].floats, call.outputs[0].floats, saved, saved.map { $0 + rows.count })
}

func addGroupGradients(_ groups: Int, _ call: BackwardCall) {
  guard let x = call.inputs[0], let dy = call.outputGradients[0]?.floats, x.shape.count > 0 else {
    return
  }
  let mean = UnsafeRawPointer(call.saved.baseAddress)?.assumingMemoryBound(to: Float.self)
  guard let mean else { return }
  var rows = rows(groups, x.shape)
  addNormalizationGradients(
    &rows, x, mean, mean + rows.count, dy, call, weight: 0, bias: 1)
}

/// Adds the gradients of x, `weight` and `bias`, the latter by their number among the parameters, from the
/// statistics of the rows.
func addNormalizationGradients(
  _ rows: inout lk_rows, _ x: TensorView, _ mean: UnsafePointer<Float>,
  _ inverseDeviation: UnsafePointer<Float>, _ dy: UnsafePointer<Float>?, _ call: BackwardCall,
  weight: Int?, bias: Int?, statistics: (mean: TensorView?, inverse: TensorView?) = (nil, nil)
) {
  if let dx = call.inputGradients[0] {
    lk_f32_normalize_gradient(
      call.pool.handle, &rows, x.floats, weight.map { call.parameters[$0].floats }, mean,
      inverseDeviation, dy, statistics.mean?.floats, statistics.inverse?.floats, dx.floats)
  }
  let dweight = weight.flatMap { call.parameterGradients[$0]?.floats }
  let dbias = bias.flatMap { call.parameterGradients[$0]?.floats }
  guard let dy, dweight != nil || dbias != nil else { return }
  lk_f32_normalize_parameter_gradients(
    call.pool.handle, &rows, x.floats, mean, inverseDeviation, dy, dweight, dbias)
}
