import LaminaCore

/// How the auxiliary classifier of GoogLeNet gets its 4×4 map.
public enum AuxiliaryPooling: Sendable, Hashable {
  /// Means of 5×5 windows of stride 3, as in the paper: 14×14 becomes 4×4, other sizes do not fit.
  case window
  /// Means of 4×4 bins (torchvision).
  case adaptive
}

extension GraphBuilder {
  /// fc2(dropout(relu(fc1(flatten(conv(pool(x))))))), `[N, C, H, W]` → `[N, classes]`: a 4×4 map of
  /// 128 channels, 1024 features, 70 % dropout, logits. Its loss is added to that of the network
  /// during training, and inference leaves it out.
  ///
  /// Szegedy et al. 2014, Going Deeper with Convolutions, arXiv:1409.4842, section 5.
  public mutating func auxiliaryClassifier(
    _ name: String, _ x: ValueID, classes: Int, pooling: AuxiliaryPooling, style: InceptionStyle
  ) throws -> ValueID {
    try scope(name) { builder in
      var y =
        switch pooling {
        case .window:
          try builder.add(
            "lamina.average_pool", "pool", x,
            attributes: ["kernel_size": [5, 5], "strides": [3, 3]])
        case .adaptive:
          try builder.add(
            "lamina.adaptive_average_pool", "pool", x, attributes: ["output_size": [4, 4]])
        }
      y = try builder.basicConvolution("conv", y, channels: 128, style: style)
      y = try builder.add("lamina.flatten", "flatten", y)
      y = try builder.activation(.relu, "relu", builder.dense("fc1", y, features: 1024))
      y = try builder.add("lamina.dropout", "dropout", y, attributes: ["rate": 0.7])
      return try builder.dense("fc2", y, features: classes)
    }
  }

  /// fc(flatten(mean(conv1(conv0(pool(x)))))), `[N, C, H, W]` → `[N, classes]`: means of 5×5
  /// windows of stride 3, 1×1 to 128 channels, 5×5 to 768; logits.
  ///
  /// Szegedy et al. 2015, Rethinking the Inception Architecture, arXiv:1512.00567, figure 8.
  public mutating func convolutionalAuxiliaryClassifier(
    _ name: String, _ x: ValueID, classes: Int, style: InceptionStyle
  ) throws -> ValueID {
    try scope(name) { builder in
      var y = try builder.add(
        "lamina.average_pool", "pool", x, attributes: ["kernel_size": [5, 5], "strides": [3, 3]])
      y = try builder.basicConvolution("conv0", y, channels: 128, style: style)
      y = try builder.basicConvolution(
        "conv1", y, channels: 768, kernel: 5, padded: false, style: style)
      return try builder.poolingClassifier("fc", y, classes: classes)
    }
  }
}
