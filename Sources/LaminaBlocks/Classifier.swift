import LaminaCore

extension GraphBuilder {
  /// dense(dropout(flatten(globalAveragePool(x)))), `[N, C, H, W]` → `[N, classes]`: the logits. A
  /// rate of 0 adds no dropout.
  public mutating func poolingClassifier(
    _ name: String, _ x: ValueID, classes: Int, dropout: Double = 0
  ) throws -> ValueID {
    var y = try add("lamina.global_average_pool", "avgpool", x)
    y = try add("lamina.flatten", "flatten", y)
    if dropout > 0 {
      y = try add("lamina.dropout", "dropout", y, attributes: ["rate": .float(dropout)])
    }
    return try dense(name, y, features: classes)
  }

  /// A fully connected layer with bias, `[N, in]` → `[N, features]`.
  public mutating func dense(_ name: String, _ x: ValueID, features: Int) throws -> ValueID {
    try add("lamina.dense", name, x, attributes: ["out_features": .int(features)])
  }

  /// The largest value of each `kernel`×`kernel` window.
  public mutating func maxPool(
    _ name: String, _ x: ValueID, kernel: Int, stride: Int, padding: BlockPadding = .zeros(0)
  ) throws -> ValueID {
    var attributes: Attributes = [
      "kernel_size": .ints([kernel, kernel]), "strides": .ints([stride, stride]),
    ]
    if padding != .zeros(0) { attributes["padding"] = padding.attribute }
    return try add("lamina.max_pool", name, x, attributes: attributes)
  }
}
