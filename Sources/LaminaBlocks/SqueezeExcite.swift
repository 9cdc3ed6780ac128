import LaminaCore

/// The layers between the means of squeeze-and-excitation and its gates.
public enum SqueezeExciteForm: Sendable, Hashable {
  /// 1×1 convolutions, weights `[out, in, 1, 1]`.
  case convolution
  /// Dense layers, weights `[out, in]`.
  case dense
}

extension GraphBuilder {
  /// Squeeze-and-excitation: x · sigmoid(fc2(relu(fc1(mean of each channel of x)))), shape kept; fc1
  /// has `channels / reduction` channels, fc2 has `channels`, as many as x. It fits behind any block
  /// and at any place in one.
  ///
  /// Hu, Shen, Albanie, Sun, Wu 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3.
  public mutating func squeezeExcite(
    _ name: String, _ x: ValueID, channels: Int, reduction: Int = 16,
    form: SqueezeExciteForm = .convolution
  ) throws -> ValueID {
    try scope(name) { builder in
      func layer(_ name: String, _ x: ValueID, _ channels: Int) throws -> ValueID {
        switch form {
        case .convolution:
          try builder.convolution(name, x, channels: channels, kernel: 1, bias: true)
        case .dense: try builder.dense(name, x, features: channels)
        }
      }
      var y = try builder.add("lamina.global_average_pool", "squeeze", x)
      if form == .dense { y = try builder.add("lamina.flatten", "flatten", y) }
      y = try layer("fc1", y, channels / max(1, reduction))
      y = try layer("fc2", builder.activation(.relu, "relu", y), channels)
      y = try builder.add("lamina.sigmoid", "gate", y)
      if form == .dense {
        y = try builder.add("lamina.unsqueeze", "unsqueeze", y, attributes: ["axes": [2, 3]])
      }
      return try builder.add("lamina.mul", "scale", x, y)
    }
  }
}
