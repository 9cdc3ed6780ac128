import LaminaCore

extension GraphBuilder {
  /// Inverted residual (MBConv without squeeze-and-excitation): 1×1 to `expansion`·`inputChannels`,
  /// depthwise `kernel`×`kernel`, 1×1 to `channels` without activation; x is added where shapes are
  /// equal. An expansion of 1 has no first convolution.
  ///
  /// Sandler et al. 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381.
  public mutating func invertedResidual(
    _ name: String, _ x: ValueID, inputChannels: Int, channels: Int, expansion: Int, kernel: Int,
    stride: Int, padding: BlockPadding = .same, activation: BlockActivation = .relu6,
    style: BatchNormStyle = BatchNormStyle()
  ) throws -> ValueID {
    try scope(name) { builder in
      let width = expansion * inputChannels
      var y = x
      if expansion != 1 {
        y = try builder.convolutionBlock(
          convolution: "expand_conv", norm: "bn0", activationName: "expand_act", y,
          channels: width, kernel: 1, style: style, activation: activation)
      }
      y = try builder.convolutionBlock(
        convolution: "depthwise_conv", norm: "bn1", activationName: "depthwise_act", y,
        channels: width, kernel: kernel, stride: stride, padding: padding, groups: width,
        style: style, activation: activation)
      y = try builder.convolutionBlock(
        convolution: "project_conv", norm: "bn2", y, channels: channels, kernel: 1, style: style)
      guard stride == 1, inputChannels == channels else { return y }
      return try builder.add("lamina.add", "add", y, x)
    }
  }
}
