import LaminaCore

extension GraphBuilder {
  /// activation(x + factor·conv2d(module(x))), shape kept: a 1×1 convolution with bias and without
  /// normalisation brings the module's channels back to x's `channels`.
  ///
  /// Szegedy et al. 2016, Inception-v4, Inception-ResNet and the Impact of Residual Connections on
  /// Learning, arXiv:1602.07261, figure 20.
  public mutating func inceptionResidual(
    _ name: String, _ x: ValueID, _ module: InceptionModule, channels: Int, factor: Double,
    activation: BlockActivation = .relu, style: InceptionStyle
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = try builder.inceptionBranches(x, module, style: style)
      y = try builder.convolution("conv2d", y, channels: channels, kernel: 1, bias: true)
      if factor != 1 {
        y = try builder.add("lamina.scale", "scale", y, attributes: ["factor": .float(factor)])
      }
      return try builder.activation(activation, "act", builder.add("lamina.add", "add", y, x))
    }
  }
}

// Names and numbers of channels as timm's.
extension InceptionModule {
  /// The module on the 35×35 map that the stem ends in.
  public static let residualStem = InceptionModule(
    [.convolution("branch0", 96)],
    [.convolution("branch1.0", 48), .convolution("branch1.1", 64, 5)],
    [
      .convolution("branch2.0", 64), .convolution("branch2.1", 96, 3),
      .convolution("branch2.2", 96, 3),
    ],
    [.averagePool, .convolution("branch3.1", 64)])

  /// Figure 16, for 35×35 maps.
  public static let residualA = InceptionModule(
    [.convolution("branch0", 32)],
    [.convolution("branch1.0", 32), .convolution("branch1.1", 32, 3)],
    [
      .convolution("branch2.0", 32), .convolution("branch2.1", 48, 3),
      .convolution("branch2.2", 64, 3),
    ])

  /// Figure 17, for 17×17 maps.
  public static let residualB = InceptionModule(
    [.convolution("branch0", 192)],
    [
      .convolution("branch1.0", 128), .convolution("branch1.1", 160, .row(7)),
      .convolution("branch1.2", 192, .column(7)),
    ])

  /// Figure 18, from 17×17 to 8×8.
  public static let residualReductionB = InceptionModule(
    [.convolution("branch0.0", 256), .convolution("branch0.1", 384, 3, stride: 2)],
    [.convolution("branch1.0", 256), .convolution("branch1.1", 288, 3, stride: 2)],
    [
      .convolution("branch2.0", 256), .convolution("branch2.1", 288, 3),
      .convolution("branch2.2", 320, 3, stride: 2),
    ],
    [.maxPool(stride: 2)])

  /// Figure 19, for 8×8 maps.
  public static let residualC = InceptionModule(
    [.convolution("branch0", 192)],
    [
      .convolution("branch1.0", 192), .convolution("branch1.1", 224, .row(3)),
      .convolution("branch1.2", 256, .column(3)),
    ])
}
