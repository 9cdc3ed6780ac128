import LaminaCore

/// How a pre-activation block's input reaches its sum.
public enum PreActivationShortcut: Sendable, Hashable {
  /// The input itself: shapes are equal.
  case identity
  /// A strided 1×1 convolution of the activated input, without normalisation.
  case projection
  /// Every `stride`-th row and column of the input: a max pooling of 1×1.
  case subsampling
}

extension GraphBuilder {
  /// conv2(relu(bn2(conv1(a)))) + shortcut of a = relu(bn1(x)), with two 3×3 convolutions.
  ///
  /// He, Zhang, Ren, Sun 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027, figure
  /// 1(b).
  public mutating func preActivationBasicBlock(
    _ name: String, _ x: ValueID, channels: Int, stride: Int = 1,
    style: BatchNormStyle = BatchNormStyle(), shortcut: PreActivationShortcut
  ) throws -> ValueID {
    try scope(name) { builder in
      let active = try builder.normActivation(1, x, style)
      let identity = try builder.shortcut(
        shortcut, x, active, channels: channels, stride: stride, bias: false)
      var y = try builder.convolution(
        "conv1", active, channels: channels, kernel: 3, stride: stride, padding: .zeros(1))
      y = try builder.convolution(
        "conv2", builder.normActivation(2, y, style), channels: channels, kernel: 3,
        padding: .zeros(1))
      return try builder.add("lamina.add", "add", y, identity)
    }
  }

  /// conv3(relu(bn3(conv2(relu(bn2(conv1(a))))))) + shortcut of a = relu(bn1(x)): 1×1 to `width`
  /// channels, 3×3 with the stride, 1×1 to 4·`width`. With `bias` the last convolution and the
  /// projection have one.
  ///
  /// He, Zhang, Ren, Sun 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027, figure
  /// 1(b).
  public mutating func preActivationBottleneck(
    _ name: String, _ x: ValueID, width: Int, stride: Int = 1, bias: Bool = false,
    style: BatchNormStyle = BatchNormStyle(), shortcut: PreActivationShortcut
  ) throws -> ValueID {
    try scope(name) { builder in
      let active = try builder.normActivation(1, x, style)
      let identity = try builder.shortcut(
        shortcut, x, active, channels: 4 * width, stride: stride, bias: bias)
      var y = try builder.convolution("conv1", active, channels: width, kernel: 1)
      y = try builder.convolution(
        "conv2", builder.normActivation(2, y, style), channels: width, kernel: 3, stride: stride,
        padding: .zeros(1))
      y = try builder.convolution(
        "conv3", builder.normActivation(3, y, style), channels: 4 * width, kernel: 1, bias: bias)
      return try builder.add("lamina.add", "add", y, identity)
    }
  }

  private mutating func normActivation(_ number: Int, _ x: ValueID, _ style: BatchNormStyle) throws
    -> ValueID
  {
    try activation(.relu, "relu\(number)", batchNorm("bn\(number)", x, style: style))
  }

  private mutating func shortcut(
    _ shortcut: PreActivationShortcut, _ x: ValueID, _ active: ValueID, channels: Int, stride: Int,
    bias: Bool
  ) throws -> ValueID {
    switch shortcut {
    case .identity: x
    case .projection:
      try convolution(
        "downsample.0", active, channels: channels, kernel: 1, stride: stride, bias: bias)
    case .subsampling: try maxPool("downsample.pool", x, kernel: 1, stride: stride)
    }
  }
}
