import LaminaCore

/// Whose names the nodes of an inverted residual have.
public enum InvertedResidualNames: Sendable, Hashable {
  /// `expand_conv`, `bn0`, `depthwise_conv`, `bn1`, `project_conv`, `bn2`.
  case efficientNet
  /// Numbers in `conv`, which begin with the first convolution that there is.
  case torchvision

  /// Convolution, norm and activation of the expansion, the depthwise and the last convolution.
  package func parts(expands: Bool) -> [[String]] {
    switch self {
    case .efficientNet:
      return [
        ["expand_conv", "bn0", "expand_act"], ["depthwise_conv", "bn1", "depthwise_act"],
        ["project_conv", "bn2", ""],
      ]
    case .torchvision:
      let first = expands ? 1 : 0
      return [
        ["conv.0.0", "conv.0.1", "conv.0.2"],
        ["conv.\(first).0", "conv.\(first).1", "conv.\(first).2"],
        ["conv.\(first + 1)", "conv.\(first + 2)", ""],
      ]
    }
  }
}

extension GraphBuilder {
  /// Inverted residual (MBConv without squeeze-and-excitation): 1×1 to `expansion`·`inputChannels`,
  /// depthwise `kernel`×`kernel`, 1×1 to `channels` without activation; x is added where shapes are
  /// equal. An expansion of 1 has no first convolution.
  ///
  /// Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381.
  public mutating func invertedResidual(
    _ name: String, _ x: ValueID, inputChannels: Int, channels: Int, expansion: Int, kernel: Int,
    stride: Int, padding: BlockPadding = .same, activation: BlockActivation = .relu6,
    style: BatchNormStyle = BatchNormStyle(), names: InvertedResidualNames = .efficientNet
  ) throws -> ValueID {
    try scope(name) { builder in
      let parts = names.parts(expands: expansion != 1)
      let width = expansion * inputChannels
      var y = x
      if expansion != 1 {
        y = try builder.convolutionBlock(
          convolution: parts[0][0], norm: parts[0][1], activationName: parts[0][2], y,
          channels: width, kernel: 1, style: style, activation: activation)
      }
      y = try builder.convolutionBlock(
        convolution: parts[1][0], norm: parts[1][1], activationName: parts[1][2], y,
        channels: width, kernel: kernel, stride: stride, padding: padding, groups: width,
        style: style, activation: activation)
      y = try builder.convolutionBlock(
        convolution: parts[2][0], norm: parts[2][1], y, channels: channels, kernel: 1, style: style)
      guard stride == 1, inputChannels == channels else { return y }
      return try builder.add("lamina.add", "add", y, x)
    }
  }
}
