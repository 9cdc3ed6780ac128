// Chollet 2016, Xception: Deep Learning with Depthwise Separable Convolutions, arXiv:1610.02357,
// figure 5; names as those of timm's legacy_xception.

import LaminaCore

/// A separable convolution in an Xception block.
public struct SeparableStep: Sendable, Hashable {
  /// Channels of its result.
  public var channels: Int
  /// Whether a ReLU stands before it.
  public var activates: Bool

  /// A convolution to `channels`.
  public init(_ channels: Int, activates: Bool = true) {
    self.channels = channels
    self.activates = activates
  }
}

extension GraphBuilder {
  /// pointwise(depthwise(x)), `[N, C, H, W]` → `[N, channels, H, W]`: 3×3 in each channel, then 1×1,
  /// the nodes `conv1` and `pointwise` in the scope `name`.
  public mutating func separableConvolution(
    _ name: String, _ x: ValueID, inputChannels: Int, channels: Int
  ) throws -> ValueID {
    try scope(name) { builder in
      let y = try builder.convolution(
        "conv1", x, channels: inputChannels, kernel: 3, padding: .zeros(1), groups: inputChannels)
      return try builder.convolution("pointwise", y, channels: channels, kernel: 1)
    }
  }

  /// The steps, each norm(separable(relu(x))), plus the shortcut. With a `pooling`, a block of the
  /// entry or exit flow: a 3×3 maximum of stride 2 behind the steps, and a strided 1×1 convolution
  /// with normalisation as the shortcut. Without one, of the middle flow: the input is the shortcut.
  public mutating func xceptionBlock(
    _ name: String, _ x: ValueID, inputChannels: Int, _ steps: [SeparableStep],
    pooling: BlockPadding? = nil, style: BatchNormStyle
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = x
      var (index, channels) = (0, inputChannels)
      for step in steps {
        if step.activates {
          y = try builder.activation(.relu, "rep.\(index)", y)
          index += 1
        }
        y = try builder.separableConvolution(
          "rep.\(index)", y, inputChannels: channels, channels: step.channels)
        y = try builder.batchNorm("rep.\(index + 1)", y, style: style)
        (index, channels) = (index + 2, step.channels)
      }
      guard let pooling else { return try builder.add("lamina.add", "add", y, x) }
      y = try builder.maxPool("rep.\(index)", y, kernel: 3, stride: 2, padding: pooling)
      let shortcut = try builder.convolutionBlock(
        convolution: "skip", norm: "skipbn", x, channels: channels, kernel: 1, stride: 2,
        style: style)
      return try builder.add("lamina.add", "add", y, shortcut)
    }
  }
}
