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

extension GraphBuilder {
  /// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)) with two 3×3 convolutions; names as
  /// torchvision's `BasicBlock` in the scope `name`.
  public mutating func basicBlock(
    _ name: String, _ x: ValueID, channels: Int, stride: Int = 1, shortcut: ResidualShortcut
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = try builder.convolutionBlock(
        convolution: "conv1", norm: "bn1", activationName: "relu1", x, channels: channels,
        kernel: 3, stride: stride, padding: .zeros(1), activation: .relu)
      y = try builder.convolutionBlock(
        convolution: "conv2", norm: "bn2", y, channels: channels, kernel: 3, padding: .zeros(1))
      let identity = try builder.shortcut(shortcut, x, channels: channels, stride: stride)
      return try builder.activation(.relu, "relu2", builder.add("lamina.add", "add", y, identity))
    }
  }

  /// relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)): 1×1 to `width`
  /// channels, 3×3, 1×1 to 4·`width`; names as torchvision's `Bottleneck` in the scope `name`.
  public mutating func bottleneckBlock(
    _ name: String, _ x: ValueID, width: Int, stride: Int = 1,
    strideAt: BottleneckStride = .spatial, shortcut: ResidualShortcut
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = try builder.convolutionBlock(
        convolution: "conv1", norm: "bn1", activationName: "relu1", x, channels: width, kernel: 1,
        stride: strideAt == .reduction ? stride : 1, activation: .relu)
      y = try builder.convolutionBlock(
        convolution: "conv2", norm: "bn2", activationName: "relu2", y, channels: width, kernel: 3,
        stride: strideAt == .spatial ? stride : 1, padding: .zeros(1), activation: .relu)
      y = try builder.convolutionBlock(
        convolution: "conv3", norm: "bn3", y, channels: 4 * width, kernel: 1)
      let identity = try builder.shortcut(shortcut, x, channels: 4 * width, stride: stride)
      return try builder.activation(.relu, "relu3", builder.add("lamina.add", "add", y, identity))
    }
  }

  private mutating func shortcut(
    _ shortcut: ResidualShortcut, _ x: ValueID, channels: Int, stride: Int
  ) throws -> ValueID {
    switch shortcut {
    case .identity: return x
    case .projection:
      return try convolutionBlock(
        convolution: "downsample.0", norm: "downsample.1", x, channels: channels, kernel: 1,
        stride: stride)
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
