import LaminaCore
import LaminaKernels

/// y = weight·(x − running_mean)/√(running_var + epsilon) + bias per channel of [N, C, …], for `float32` (Ioffe and
/// Szegedy 2015).
///
/// While training, mean and population variance of the batch stand in for the running ones, and those become
/// (1 − momentum)·old + momentum·batch, as in PyTorch; the batch's variance then divides by n − 1, or by n with
/// `unbiased = false` (Keras). `scale = false` drops `weight`, `center = false` `bias`.
package struct BatchNorm: Layer {
  package static let kind: LayerKind = "lamina.batch_norm"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  let epsilon: Float
  let momentum: Float
  let scale: Bool
  let center: Bool
  let unbiased: Bool

  package init(attributes: inout AttributeReader) throws {
    epsilon = try attributes.epsilon(default: 1e-5)
    momentum = try attributes.float("momentum", default: 0.1)
    scale = try attributes.bool("scale", default: true)
    center = try attributes.bool("center", default: true)
    unbiased = try attributes.bool("unbiased", default: true)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("epsilon", epsilon)
    attributes.float("momentum", momentum)
    attributes.bool("scale", scale)
    attributes.bool("center", center)
    if !unbiased { attributes.bool("unbiased", false) }
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    let shape = try Shape([inputs[0].channels])
    return affineParameters(shape, scale: scale, center: center) + [
      ParameterSpec("running_mean", shape, role: .buffer, initializer: .zeros),
      ParameterSpec("running_var", shape, role: .buffer, initializer: .ones),
    ]
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs[0].channels
    return [try inputs[0].expecting(.float32)]
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    inputs[0].shape.rank >= 2 ? BatchNormTraining(self, plain: inputs[0].shape).scratchBytes : 0
  }

  package func savedBytes(for inputs: [TensorSpec]) -> Int {
    inputs[0].shape.rank >= 2 ? BatchNormTraining(self, plain: inputs[0].shape).savedBytes : 0
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    scratchBytes(for: inputs, threads: threads)
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func forward(_ call: ForwardCall) throws {
    let shape = call.inputs[0].shape
    if call.isTraining { return try BatchNormTraining(self, plain: shape).forward(call) }
    let scratch = call.scratch.bindMemory(to: Float.self)
    guard shape.count > 0, let scales = scratch.baseAddress else { return }
    let shifts = scales + shape[1]
    affine(call.parameters, scales, shifts)
    lk_f32_scale_shift(
      call.pool.handle, call.inputs[0].floats, scales, shifts, call.outputs[0].floats, shape[0],
      shape[1], shape.count(from: 2))
  }

  package func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0] else { return }
    try BatchNormTraining(self, plain: x.shape).backward(call)
  }

  /// y = scales·x + shifts from the parameters, of which the statistics may be others.
  func affine(
    _ parameters: [TensorView], mean: UnsafePointer<Float>? = nil,
    inverseDeviation: UnsafePointer<Float>? = nil, _ scales: UnsafeMutablePointer<Float>,
    _ shifts: UnsafeMutablePointer<Float>
  ) {
    let variance = parameters[parameters.count - 1]
    let mean = mean ?? parameters[parameters.count - 2].floats
    let weight = scale ? parameters[0].floats : nil
    let bias = center ? parameters[scale ? 1 : 0].floats : nil
    for c in 0..<variance.shape.count {
      let factor =
        if let inverseDeviation { (weight?[c] ?? 1) * inverseDeviation[c] } else {
          (weight?[c] ?? 1) / (variance.floats[c] + epsilon).squareRoot()
        }
      scales[c] = factor
      shifts[c] = (bias?[c] ?? 0) - mean[c] * factor
    }
  }

  /// Maps in blocks of channels are scaled as they are where the parameters are constant.
  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    guard let maps = BlockedMaps(context), let parameters = context.constantParameters else {
      return nil
    }
    let count = (context.inputs[0].shape[1] + maps.channels - 1) / maps.channels * maps.channels
    let numbers = try Tensor(zeros: try Shape([2, count]))
    numbers.withMutableElements(of: Float.self) { numbers in
      guard let scales = numbers.baseAddress else { return }
      affine(parameters.map(\.view), scales, scales + count)
    }
    return PreparedBlockedMaps(maps) { call, maps in
      let scales = numbers.view.floats
      lk_f32_scale_shift_blocked(
        call.pool.handle, maps, call.inputs[0].floats, scales, scales + count,
        call.outputs[0].floats)
    }
  }

  /// Maps in blocks of channels stay as they are, and so do plain tensors.
  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    let shape = context.inputs[0].shape
    guard let maps = BlockedMaps(context) else { return BatchNormTraining(self, plain: shape) }
    return BatchNormTraining(self, maps)
  }
}

/// `weight` (ones) and `bias` (zeros) of a normalisation.
func affineParameters(_ shape: Shape, scale: Bool, center: Bool) -> [ParameterSpec] {
  (scale ? [ParameterSpec("weight", shape, initializer: .ones)] : [])
    + (center ? [ParameterSpec("bias", shape, initializer: .zeros)] : [])
}

extension AttributeReader {
  /// The attribute `epsilon`, finite and not below 0.
  mutating func epsilon(default fallback: Float) throws -> Float {
    let number = try float("epsilon", default: fallback)
    guard number >= 0, number.isFinite else {
      throw LaminaError(.graph, "expected attribute 'epsilon' of at least 0, found \(number)")
    }
    return number
  }
}
