import LaminaCore
import LaminaKernels

/// `y = x · weightᵀ + bias`.
///
/// Input `[…, in_features]`, output `[…, out_features]`: leading axes stay.
/// Parameters: `weight` [out_features, in_features], `bias` [out_features].
package struct Dense: Layer {
  /// `lamina.dense`.
  package static let kind: LayerKind = "lamina.dense"
  /// Reads the input.
  package static let gradient = Gradient.supported(inputs: true, outputs: false)
  private let outFeatures: Int
  private let hasBias: Bool

  /// Attributes `out_features`, `bias` (true).
  package init(attributes: inout AttributeReader) throws {
    outFeatures = try attributes.int("out_features", in: 1...Shape.maximumExtent)
    hasBias = try attributes.bool("bias", default: true)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.int("out_features", outFeatures)
    if !hasBias { attributes.bool("bias", hasBias) }
  }

  private func inFeatures(of input: TensorSpec) throws -> Int {
    guard input.type == .float32 else {
      throw LaminaError(.shape, "expected float32, found \(input.type.rawValue)")
    }
    guard let features = input.shape.dimensions.last else {
      throw LaminaError(.shape, "expected at least 1 axis, found a scalar")
    }
    return features
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    let features = try inFeatures(of: inputs[0])
    let bound = 1 / Float(max(features, 1)).squareRoot()
    let weight = try Shape([outFeatures, features])
    var specs = [ParameterSpec("weight", weight, initializer: .uniform(bound: bound))]
    if hasBias {
      specs.append(ParameterSpec("bias", [outFeatures], initializer: .uniform(bound: bound)))
    }
    return specs
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try parameters(for: inputs)
    return [TensorSpec(try Shape(inputs[0].shape.dimensions.dropLast() + [outFeatures]))]
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let input = inputs.first, let features = input.shape.dimensions.last else { return 0 }
    return lk_f32_dense_scratch_bytes(
      rows(of: input.shape), features, outFeatures, Int32(threads))
  }

  package func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    guard let output = outputs.first, let features = inputs.first?.shape.dimensions.last else {
      return 0
    }
    return saturatingProduct(output.shape.count, features)
  }

  private func rows(of shape: Shape) -> Int { shape.count(before: shape.rank - 1) }

  package func forward(_ call: ForwardCall) throws { run(call, lk_activation()) }

  /// The forward pass with a function behind it.
  func run(_ call: ForwardCall, _ activation: lk_activation) {
    let (input, output) = (call.inputs[0], call.outputs[0])
    guard output.shape.count > 0, let scratch = call.scratch.baseAddress else { return }
    lk_f32_dense(
      call.pool.handle, rows(of: input.shape), input.shape[input.shape.rank - 1], outFeatures,
      input.floats, call.parameters[0].floats, hasBias ? call.parameters[1].floats : nil,
      activation, output.floats, scratch)
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let input = inputs.first, let features = input.shape.dimensions.last else { return 0 }
    return lk_f32_dense_gradients_scratch_bytes(
      rows(of: input.shape), features, outFeatures, Int32(threads))
  }

  package func backward(_ call: BackwardCall) throws {
    guard let output = call.outputGradients[0], output.shape.count > 0,
      let scratch = call.scratch.baseAddress
    else { return }
    var gradients = lk_dense_gradients()
    gradients.weight = call.parameters[0].floats
    gradients.dy = output.floats
    gradients.dx = call.inputGradients[0]?.floats
    gradients.adds_x = !call.setsInputGradient(0)
    if let weight = call.parameterGradients[0], let input = call.inputs[0] {
      (gradients.x, gradients.dweight) = (UnsafePointer(input.floats), weight.floats)
      gradients.adds_weight = !call.setsParameterGradient(0)
    }
    if hasBias, let bias = call.parameterGradients[1] {
      gradients.dbias = bias.floats
      gradients.adds_bias = !call.setsParameterGradient(1)
    }
    lk_f32_dense_gradients(
      call.pool.handle, output.shape.count / outFeatures, call.parameters[0].shape[1], outFeatures,
      &gradients, scratch)
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    DenseTraining(self, context)
  }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    let rows = rows(of: context.inputs[0].shape)
    // One row reads the weight once, which needs no other order for it.
    guard let weight = context.parameters.first?.value, rows > 1 else { return nil }
    return try PreparedDense(
      rows: rows, weight: weight, hasBias: hasBias,
      threads: context.threads)
  }
}

private struct PreparedDense: PreparedLayer {
  private let rows: Int
  private let weight: PackedMatrix
  private let hasBias: Bool
  let scratchBytes: Int

  var packedBytes: Int { weight.byteCount }
  var summary: String { weight.summary }

  init(rows: Int, weight: Tensor, hasBias: Bool, threads: Int) throws {
    self.rows = rows
    self.hasBias = hasBias
    self.weight = try PackedMatrix(weight, isTransposed: true)
    scratchBytes = self.weight.scratchBytes(rows: rows, threads: threads)
  }

  func run(_ call: ForwardCall) throws {
    weight.multiply(
      call.inputs[0].floats, rows: rows, bias: hasBias ? call.parameters[1].floats : nil,
      into: call.outputs[0].floats, call)
  }
}
