import LaminaCore

/// How a residual block's input reaches its sum when the block changes the shape
/// (He et al. 2015, section 3.3).
public enum ResidualShortcut: Sendable, Hashable {
  /// The input itself: shapes are equal.
  case identity
  /// Option A: every `stride`-th row and column, and zeros for the channels that are new, half of
  /// them before and half behind.
  case padding(newChannels: Int)
  /// Option B: a strided 1×1 convolution and a batch normalisation.
  case projection
}

/// Where a bottleneck block takes its stride.
public enum BottleneckStride: Sendable, Hashable {
  /// The first 1×1 convolution, as in the paper (v1).
  case reduction
  /// The 3×3 convolution, as in torchvision (v1.5).
  case spatial
}

/// How the blocks of a residual network are set up, beyond width and stride.
public struct ResidualStyle: Sendable, Hashable {
  /// Squeeze-and-excitation in a block.
  public enum Excitation: Sendable, Hashable {
    /// None.
    case none
    /// Behind the last normalisation, before the sum.
    case beforeSum
    /// The same, with an activation between the last normalisation and it.
    case behindActivation
  }

  /// Whether convolutions have bias.
  public var bias = false
  /// The normalisations.
  public var norm = BatchNormStyle()
  /// Borders of the 3×3 convolutions.
  public var padding = BlockPadding.zeros(1)
  /// Groups of a bottleneck's 3×3 convolution.
  public var groups = 1
  /// Extent of the kernel of a projection; the wider ones are padded to keep the size.
  public var projectionKernel = 1
  /// Squeeze-and-excitation, with a reduction of 16 and the name `se`.
  public var excitation = Excitation.none

  /// torchvision's style: no bias, no squeeze-and-excitation.
  public init() {}
}

extension GraphBuilder {
  /// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)) with two 3×3 convolutions; names as
  /// torchvision's `BasicBlock` in the scope `name`.
  public mutating func basicBlock(
    _ name: String, _ x: ValueID, channels: Int, stride: Int = 1,
    style: ResidualStyle = ResidualStyle(), shortcut: ResidualShortcut
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = try builder.convolutionBlock(
        convolution: "conv1", norm: "bn1", activationName: "relu1", x, channels: channels,
        kernel: 3, stride: stride, padding: style.padding, bias: style.bias, style: style.norm,
        activation: .relu)
      y = try builder.convolutionBlock(
        convolution: "conv2", norm: "bn2", y, channels: channels, kernel: 3,
        padding: style.padding, bias: style.bias, style: style.norm)
      return try builder.sum(
        y, x, "relu2", channels: channels, stride: stride, style: style, shortcut: shortcut)
    }
  }

  /// relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)): 1×1 to `width`
  /// channels, 3×3 to `spatialWidth`, 1×1 to `channels`, by default `width` and 4·`width`; names as
  /// torchvision's `Bottleneck` in the scope `name`.
  public mutating func bottleneckBlock(
    _ name: String, _ x: ValueID, width: Int, spatialWidth: Int? = nil, channels: Int? = nil,
    stride: Int = 1, strideAt: BottleneckStride = .spatial, style: ResidualStyle = ResidualStyle(),
    shortcut: ResidualShortcut
  ) throws -> ValueID {
    try scope(name) { builder in
      let channels = channels ?? 4 * width
      var y = try builder.convolutionBlock(
        convolution: "conv1", norm: "bn1", activationName: "relu1", x, channels: width, kernel: 1,
        stride: strideAt == .reduction ? stride : 1, bias: style.bias, style: style.norm,
        activation: .relu)
      y = try builder.convolutionBlock(
        convolution: "conv2", norm: "bn2", activationName: "relu2", y,
        channels: spatialWidth ?? width, kernel: 3, stride: strideAt == .spatial ? stride : 1,
        padding: style.padding, groups: style.groups, bias: style.bias, style: style.norm,
        activation: .relu)
      y = try builder.convolutionBlock(
        convolution: "conv3", norm: "bn3", y, channels: channels, kernel: 1, bias: style.bias,
        style: style.norm)
      return try builder.sum(
        y, x, "relu3", channels: channels, stride: stride, style: style, shortcut: shortcut)
    }
  }

  /// relu(squeezeExcite(y) + shortcut(x)).
  private mutating func sum(
    _ y: ValueID, _ x: ValueID, _ activationName: String, channels: Int, stride: Int,
    style: ResidualStyle, shortcut: ResidualShortcut
  ) throws -> ValueID {
    var y = y
    if style.excitation == .behindActivation { y = try activation(.relu, "se_relu", y) }
    if style.excitation != .none { y = try squeezeExcite("se", y, channels: channels) }
    let identity = try self.shortcut(
      shortcut, x, channels: channels, stride: stride, style: style)
    return try activation(.relu, activationName, add("lamina.add", "add", y, identity))
  }

  private mutating func shortcut(
    _ shortcut: ResidualShortcut, _ x: ValueID, channels: Int, stride: Int, style: ResidualStyle
  ) throws -> ValueID {
    switch shortcut {
    case .identity: return x
    case .projection:
      return try convolutionBlock(
        convolution: "downsample.0", norm: "downsample.1", x, channels: channels,
        kernel: style.projectionKernel, stride: stride, padding: .zeros(style.projectionKernel / 2),
        bias: style.bias, style: style.norm)
    case .padding(let newChannels):
      let end = Int(Int32.max)
      let sampled = try add(
        "lamina.slice", "downsample.slice", x,
        attributes: [
          "starts": [0, 0], "ends": .ints([end, end]), "axes": [2, 3],
          "steps": .ints([stride, stride]),
        ])
      let before = newChannels / 2
      return try add(
        "lamina.pad", "downsample.pad", sampled,
        attributes: ["pads": .ints([0, before, 0, 0, 0, newChannels - before, 0, 0])])
    }
  }
}
