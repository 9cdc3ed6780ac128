import LaminaCore

/// `y[n, o, p] = bias[o] + Σ weight[o, i, t] · x[n, i, p · strides − begin + t · dilations]` over 1
/// to 3 spatial axes, with zeros outside the input.
///
/// Input `[batch, channels, spatial…]`, output `[batch, out_channels, spatial…]`.
/// Parameters: `weight` [out_channels, channels / groups, kernel…], `bias` [out_channels].
public struct Conv: Layer {
  /// `lamina.conv`.
  public static let kind: LayerKind = "lamina.conv"
  private let convolution: Convolution

  /// Attributes `out_channels`, `kernel_size` (1 to 3 numbers), `strides`, `dilations`, `padding`
  /// (`[begin…, end…]`, `same_upper`, `same_lower` or `valid`), `groups`, `bias`.
  public init(attributes: inout AttributeReader) throws {
    convolution = try Convolution(attributes: &attributes)
  }

  public func encode(into attributes: inout AttributeWriter) {
    convolution.encode(into: &attributes)
  }

  public func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    try convolution.parameters(for: inputs[0])
  }

  public func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [try convolution.output(for: inputs[0])]
  }

  public func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    convolution.scratchBytes(for: inputs, threads: threads)
  }

  public func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    convolution.multiplyAdds(for: inputs, outputs: outputs)
  }

  public var window: Window? {
    let window = convolution.window
    return Window(kernel: window.kernel, stride: window.strides, dilation: window.dilations)
  }

  public func forward(_ call: ForwardCall) throws { try convolution.forward(call) }

  public func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try convolution.prepare(context)
  }
}
