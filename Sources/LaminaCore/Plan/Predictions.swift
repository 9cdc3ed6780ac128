#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A class that a model found in a picture.
public struct Prediction: Sendable, Hashable {
  /// Position in the model's output.
  public var index: Int
  /// Name of the class; its number when the model has no labels.
  public var label: String
  /// Probability, or the raw output of a model that does not give probabilities or logits.
  public var probability: Float
}

extension Model {
  /// The `top` classes of each picture of a batch, best first; ties go to the smaller index, NaN comes last.
  ///
  /// Logits become probabilities by softmax over all classes.
  ///
  /// - Parameter output: `float32 [batch, classes]`, or any shape with the classes on axis 1 and ones behind.
  /// - Throws: `shape` when the output is no list of scores, `argument` when the number of classes is not
  ///   that of the labels or `top` is below 1.
  public func predictions(from output: TensorView, top: Int) throws -> [[Prediction]] {
    guard top >= 1 else { throw LaminaError(.argument, "expected top of at least 1, found \(top)") }
    guard output.type == .float32, output.shape.rank >= 2,
      output.shape[0] * output.shape[1] == output.shape.count
    else {
      throw LaminaError(
        .shape,
        "expected scores float32 [batch, classes], found \(output.type.rawValue) \(output.shape)")
    }
    let classes = output.shape[1]
    guard metadata.labels.isEmpty || metadata.labels.count == classes else {
      throw LaminaError(
        .argument,
        "expected \(classes) labels for \(classes) classes, found \(metadata.labels.count)")
    }
    let scores = output.elements(as: Float.self)
    return (0..<output.shape[0]).map { item in
      var values = Array(scores[item * classes..<(item + 1) * classes])
      if metadata.outputKind == .logits { softmax(&values) }
      func rank(_ index: Int) -> Float { values[index].isNaN ? -.infinity : values[index] }
      let order = values.indices.sorted { a, b in
        rank(a) != rank(b) ? rank(a) > rank(b) : a < b
      }
      return order.prefix(top).map { index in
        Prediction(
          index: index,
          label: metadata.labels.isEmpty ? String(index) : metadata.labels[index],
          probability: values[index])
      }
    }
  }

  private func softmax(_ values: inout [Float]) {
    guard let maximum = values.max() else { return }
    var sum = 0.0
    for index in values.indices {
      values[index] = expf(values[index] - maximum)
      sum += Double(values[index])
    }
    for index in values.indices { values[index] = Float(Double(values[index]) / sum) }
  }
}
