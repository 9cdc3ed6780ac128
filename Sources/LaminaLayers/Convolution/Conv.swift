import LaminaCore

/// `y[n, o, p] = bias[o] + Σ weight[o, i, t] · x[n, i, p · strides − begin + t · dilations]` over 1
/// to 3 spatial axes, with zeros outside the input.
///
/// Input `[batch, channels, spatial…]`, output `[batch, out_channels, spatial…]`.
/// Parameters: `weight` [out_channels, channels / groups, kernel…], `bias` [out_channels].
package struct Conv: Layer {
  /// `lamina.conv`.
  package static let kind: LayerKind = "lamina.conv"
  /// Reads the input.
  package static let gradient = Gradient.supported(inputs: true, outputs: false)
  private let convolution: Convolution

  /// Attributes `out_channels`, `kernel_size` (1 to 3 numbers), `strides`, `dilations`, `padding`
  /// (`[begin…, end…]`, `same_upper`, `same_lower` or `valid`), `groups`, `bias`.
  package init(attributes: inout AttributeReader) throws {
    convolution = try Convolution(attributes: &attributes)
  }

  package func encode(into attributes: inout AttributeWriter) {
    convolution.encode(into: &attributes)
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    try convolution.parameters(for: inputs[0])
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [try convolution.output(for: inputs[0])]
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

  package func forward(_ call: ForwardCall) throws { try convolution.forward(call) }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    convolution.backwardScratchBytes(for: inputs, threads: threads)
  }

  package func backward(_ call: BackwardCall) throws { try convolution.backward(call) }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { convolution.inputHalos(for: inputs) }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try convolution.prepare(context)
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    try convolution.prepareTraining(context)
  }
}
