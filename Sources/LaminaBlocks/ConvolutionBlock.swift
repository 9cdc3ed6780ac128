import LaminaCore

/// The activation behind a convolution.
public enum BlockActivation: Sendable, Hashable {
  case none
  case relu
  /// min(max(x, 0), 6)
  case relu6
}

/// The borders of a convolution or pooling window.
public enum BlockPadding: Sendable, Hashable {
  /// As many rows and columns of zeros on every side.
  case zeros(Int)
  /// As many rows of zeros above and below, and columns left and right.
  case sides(top: Int, left: Int, bottom: Int, right: Int)
  /// TensorFlow's `same`: the output is ⌈input / stride⌉, the odd row and column go below and
  /// right.
  case same

  var attribute: AttributeValue {
    switch self {
    case .zeros(let count): .ints([count, count, count, count])
    case .sides(let top, let left, let bottom, let right): .ints([top, left, bottom, right])
    case .same: "same_upper"
    }
  }
}

/// How the batch normalisations of a network are set up.
public struct BatchNormStyle: Sendable, Hashable {
  /// Added to the variance.
  public var epsilon: Double
  /// Weight of the new batch in the running statistics.
  public var momentum: Double
  /// Whether there is a weight beside the bias.
  public var scale: Bool
  /// Whether the running variance is that of n − 1 numbers.
  public var unbiased: Bool

  /// A style; by default PyTorch's.
  public init(
    epsilon: Double = 1e-5, momentum: Double = 0.1, scale: Bool = true, unbiased: Bool = true
  ) {
    self.epsilon = epsilon
    self.momentum = momentum
    self.scale = scale
    self.unbiased = unbiased
  }

  /// Keras's.
  public static func keras(epsilon: Double = 1e-3, scale: Bool = true) -> BatchNormStyle {
    BatchNormStyle(epsilon: epsilon, momentum: 0.01, scale: scale, unbiased: false)
  }
}

extension GraphBuilder {
  /// A square convolution, `[N, C, H, W]` → `[N, channels, H′, W′]`, without bias unless asked for.
  public mutating func convolution(
    _ name: String, _ x: ValueID, channels: Int, kernel: Int, stride: Int = 1,
    padding: BlockPadding = .zeros(0), groups: Int = 1, bias: Bool = false
  ) throws -> ValueID {
    var attributes: Attributes = [
      "out_channels": .int(channels), "kernel_size": .ints([kernel, kernel]),
    ]
    if stride != 1 { attributes["strides"] = .ints([stride, stride]) }
    if padding != .zeros(0) { attributes["padding"] = padding.attribute }
    if groups != 1 { attributes["groups"] = .int(groups) }
    if !bias { attributes["bias"] = false }
    return try add("lamina.conv2d", name, x, attributes: attributes)
  }

  /// A batch normalisation, shape kept.
  public mutating func batchNorm(
    _ name: String, _ x: ValueID, style: BatchNormStyle = BatchNormStyle()
  ) throws -> ValueID {
    var attributes: Attributes = [
      "epsilon": .float(style.epsilon), "momentum": .float(style.momentum),
    ]
    if !style.scale { attributes["scale"] = false }
    if !style.unbiased { attributes["unbiased"] = false }
    return try add("lamina.batch_norm", name, x, attributes: attributes)
  }

  /// An activation, shape kept; `.none` adds no node.
  public mutating func activation(
    _ activation: BlockActivation, _ name: String, _ x: ValueID
  ) throws -> ValueID {
    switch activation {
    case .none: x
    case .relu: try add("lamina.relu", name, x)
    case .relu6: try add("lamina.clip", name, x, attributes: ["min": 0.0, "max": 6.0])
    }
  }

  /// activation(batchNorm(convolution(x))): the nodes `convolution`, `norm` and, unless it is
  /// `.none`, `activationName`.
  public mutating func convolutionBlock(
    convolution: String, norm: String, activationName: String = "", _ x: ValueID, channels: Int,
    kernel: Int, stride: Int = 1, padding: BlockPadding = .zeros(0), groups: Int = 1,
    bias: Bool = false, style: BatchNormStyle = BatchNormStyle(),
    activation: BlockActivation = .none
  ) throws -> ValueID {
    let y = try self.convolution(
      convolution, x, channels: channels, kernel: kernel, stride: stride, padding: padding,
      groups: groups, bias: bias)
    return try self.activation(activation, activationName, batchNorm(norm, y, style: style))
  }
}
