import LaminaCore

extension GraphBuilder {
  /// dense(dropout(flatten(globalAveragePool(x)))), `[N, C, H, W]` → `[N, classes]`: the logits. A
  /// rate of 0 adds no dropout.
  public mutating func poolingClassifier(
    _ name: String, _ x: ValueID, classes: Int, dropout: Double = 0
  ) throws -> ValueID {
    var y = try add("lamina.global_average_pool", "avgpool", x)
    y = try add("lamina.flatten", "flatten", y)
    if dropout > 0 { y = try self.dropout("dropout", y, rate: dropout) }
    return try dense(name, y, features: classes)
  }

  /// A fully connected layer, `[N, in]` → `[N, features]`, with bias unless told otherwise.
  public mutating func dense(
    _ name: String, _ x: ValueID, features: Int, bias: Bool = true
  ) throws -> ValueID {
    var attributes: Attributes = ["out_features": .int(features)]
    if !bias { attributes["bias"] = false }
    return try add("lamina.dense", name, x, attributes: attributes)
  }

  /// Training sets elements to 0 at random, `rate` of them; shape kept.
  public mutating func dropout(
    _ name: String, _ x: ValueID, rate: Double = 0.5
  ) throws -> ValueID {
    try add("lamina.dropout", name, x, attributes: ["rate": .float(rate)])
  }

  /// The largest value of each `kernel`×`kernel` window. With `ceilMode` a last window may reach
  /// over the border.
  public mutating func maxPool(
    _ name: String, _ x: ValueID, kernel: Int, stride: Int, padding: BlockPadding = .zeros(0),
    ceilMode: Bool = false
  ) throws -> ValueID {
    var attributes: Attributes = [
      "kernel_size": .ints([kernel, kernel]), "strides": .ints([stride, stride]),
    ]
    if padding != .zeros(0) { attributes["padding"] = padding.attribute }
    if ceilMode { attributes["ceil_mode"] = true }
    return try add("lamina.max_pool", name, x, attributes: attributes)
  }
}
