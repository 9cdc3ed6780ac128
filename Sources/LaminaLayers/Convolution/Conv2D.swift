import LaminaCore
import LaminaKernels

/// `y = activation(conv(x, weight) + bias + r)`: a two-dimensional convolution, optionally with a
/// sum and an activation in its epilogue.
///
/// Input `[batch, channels, height, width]`, with `residual` a second one of the output's shape;
/// output `[batch, out_channels, height, width]`. Parameters: `weight` [out_channels, channels /
/// groups, kernel height, kernel width], `bias` [out_channels].
package struct Conv2D: Layer {
  /// `lamina.conv2d`.
  package static let kind: LayerKind = "lamina.conv2d"
  /// The input, and what is added with `residual`.
  package static let arity = 1...2
  /// Reads the input, and the output for the activation.
  package static let gradient = Gradient.supported(inputs: true, outputs: true)

  private let convolution: Convolution
  private let activation: FusedActivation
  private let hasResidual: Bool

  /// Attributes `out_channels`, `kernel_size`, `strides`, `dilations`, `padding` (`[top, left,
  /// bottom, right]`, `same_upper`, `same_lower` or `valid`), `groups`, `bias`, `activation`
  /// (`none`, `relu`, `clip` with `activation_min` and `activation_max`), `residual` (false).
  package init(attributes: inout AttributeReader) throws {
    convolution = try Convolution(attributes: &attributes, rank: 2)
    activation = try FusedActivation(attributes: &attributes)
    hasResidual = try attributes.bool("residual", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    convolution.encode(into: &attributes)
    activation.encode(into: &attributes)
    if hasResidual { attributes.bool("residual", hasResidual) }
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    try convolution.parameters(for: inputs[0])
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let output = try convolution.output(for: inputs[0])
    guard inputs.count == (hasResidual ? 2 : 1) else {
      throw LaminaError(.graph, "expected \(hasResidual ? 2 : 1) inputs, found \(inputs.count)")
    }
    if hasResidual, inputs[1] != output {
      throw LaminaError(.shape, "expected a residual of \(output), found \(inputs[1])")
    }
    return [output]
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    convolution.scratchBytes(for: inputs, threads: threads)
  }

  package func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    convolution.multiplyAdds(for: inputs, outputs: outputs)
  }

  package var window: Window? {
    convolution.window.described()
  }

  package func forward(_ call: ForwardCall) throws {
    try convolution.forward(call, activation: activation.kernel)
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    convolution.backwardScratchBytes(for: inputs, threads: threads, activation: activation)
  }

  package func backward(_ call: BackwardCall) throws {
    try convolution.backward(call, activation: activation)
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { convolution.inputHalos(for: inputs) }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try convolution.prepare(context, activation: activation.kernel)
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    guard activation.function == nil, !hasResidual else { return nil }
    return try convolution.prepareTraining(context)
  }
}
