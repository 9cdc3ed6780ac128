import LaminaCore

extension GraphBuilder {
  /// x·sigmoid(fc2(relu(fc1(mean(x))))), shape kept: each channel scaled by what all of them say. fc1
  /// and fc2 are 1×1 convolutions with bias, to `channels` / `reduction` and back; nodes in the scope
  /// `name`.
  ///
  /// Hu, Shen, Sun 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507.
  public mutating func squeezeExcite(
    _ name: String, _ x: ValueID, channels: Int, reduction: Int = 16
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = try builder.add("lamina.global_average_pool", "avg_pool", x)
      y = try builder.convolution("fc1", y, channels: channels / reduction, kernel: 1, bias: true)
      y = try builder.activation(.relu, "relu", y)
      y = try builder.convolution("fc2", y, channels: channels, kernel: 1, bias: true)
      return try builder.add("lamina.mul", "mul", x, builder.add("lamina.sigmoid", "sigmoid", y))
    }
  }
}
