import LaminaCore
import LaminaKernels

/// y = weight·(x − μ)/√(σ² + epsilon) + bias with mean μ and population variance σ² over `axis` and the axes behind
/// it, for `float32` (Ba et al. 2016). `weight` and `bias` have the shape of those axes.
///
/// With `statistics` the outputs are y, μ and 1/√(σ² + epsilon), the latter with extents of 1 from `axis` on.
package struct LayerNorm: Layer {
  package static let kind: LayerKind = "lamina.layer_norm"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  let axis: Int
  let epsilon: Float
  let scale: Bool
  let center: Bool
  let statistics: Bool

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: -1)
    epsilon = try attributes.epsilon(default: 1e-5)
    scale = try attributes.bool("scale", default: true)
    center = try attributes.bool("center", default: true)
    statistics = try attributes.bool("statistics", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.int("axis", axis)
    attributes.float("epsilon", epsilon)
    attributes.bool("scale", scale)
    attributes.bool("center", center)
    attributes.bool("statistics", statistics)
  }

  package var outputCount: Int { statistics ? 3 : 1 }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    let shape = inputs[0].shape
    let normalized = try Shape(Array(shape.dimensions[shape.axis(axis)...]))
    return affineParameters(normalized, scale: scale, center: center)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let spec = try inputs[0].expecting(.float32)
    let axis = try spec.shape.axis(axis)
    if !statistics { return [spec] }
    let kept = spec.shape.dimensions.enumerated().map { $0 < axis ? $1 : 1 }
    let statistic = TensorSpec(try Shape(kept))
    return [spec, statistic, statistic]
  }

  package func forward(_ call: ForwardCall) throws {
    let shape = call.inputs[0].shape
    let axis = try shape.axis(axis)
    guard shape.count > 0 else {
      for output in call.outputs { output.elements(as: Float.self).update(repeating: .nan) }
      return
    }
    var rows = rows(shape, axis)
    let saved = call.saved.baseAddress?.assumingMemoryBound(to: Float.self)
    let inverse = saved.map { $0 + rows.count }
    lk_f32_normalize(
      call.pool.handle, &rows, epsilon, call.inputs[0].floats,
      scale ? call.parameters[0].floats : nil,
      center ? call.parameters[scale ? 1 : 0].floats : nil, call.outputs[0].floats,
      statistics ? call.outputs[1].floats : saved, statistics ? call.outputs[2].floats : inverse)
    if statistics, let saved, let inverse {
      saved.update(from: call.outputs[1].floats, count: rows.count)
      inverse.update(from: call.outputs[2].floats, count: rows.count)
    }
  }

  private func rows(_ shape: Shape, _ axis: Int) -> lk_rows {
    lk_rows(count: shape.count(before: axis), groups: 1, channels: shape.count(from: axis), area: 1)
  }

  package func savedBytes(for inputs: [TensorSpec]) -> Int {
    let shape = inputs[0].shape
    guard let axis = try? shape.axis(axis) else { return 0 }
    return 2 * 4 * shape.count(before: axis)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0], x.shape.count > 0,
      let mean = UnsafeRawPointer(call.saved.baseAddress)?.assumingMemoryBound(to: Float.self)
    else { return }
    var rows = rows(x.shape, try x.shape.axis(axis))
    addNormalizationGradients(
      &rows, x, mean, mean + rows.count, call.outputGradients[0]?.floats, call,
      weight: scale ? 0 : nil, bias: center ? (scale ? 1 : 0) : nil,
      statistics: statistics ? (call.outputGradients[1], call.outputGradients[2]) : (nil, nil))
  }
}
