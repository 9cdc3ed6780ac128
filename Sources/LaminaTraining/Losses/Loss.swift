import LaminaCore

/// A number that training makes small: the mean, over the items of a batch, of how far an output is from its label.
public protocol Loss: Sendable {
  /// The loss of one output.
  ///
  /// - Parameters:
  ///   - output: `float32 [batch, …]`.
  ///   - gradient: where given, is written whole: `weight` times the gradient of the loss by the output.
  /// - Returns: the loss, without `weight`.
  /// - Throws: `shape` when output and labels do not fit; `argument` for a label that is out of range.
  func evaluate(
    _ output: TensorView, _ labels: Labels, gradient: MutableTensorView?, weight: Double
  ) throws -> Double
}

/// `float32 [batch, classes]`, with ones behind, as rows.
struct Rows {
  let count: Int
  let classes: Int
  let elements: UnsafeBufferPointer<Float>

  init(_ output: TensorView) throws {
    guard output.type == .float32, output.shape.rank >= 2,
      output.shape[0] * output.shape[1] == output.shape.count, output.shape.count > 0
    else {
      throw LaminaError(
        .shape,
        "expected logits float32 [batch, classes], found \(output.type.rawValue) \(output.shape)")
    }
    count = output.shape[0]
    classes = output.shape[1]
    elements = output.elements(as: Float.self)
  }

  subscript(row: Int) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(rebasing: elements[row * classes..<(row + 1) * classes])
  }

  /// One class for each row.
  func check(_ labels: [Int]) throws {
    guard labels.count == count else {
      throw LaminaError(.shape, "expected \(count) labels, found \(labels.count)")
    }
    for (index, label) in labels.enumerated() where !(0..<classes).contains(label) {
      throw LaminaError(
        .argument, "expected a class from 0 to \(classes - 1), found \(label)",
        path: "label \(index)")
    }
  }
}

extension TensorView {
  /// The numbers of labels for each of its elements.
  func elements(of labels: Tensor) throws -> TensorView {
    guard type == .float32, labels.type == .float32, labels.shape.count == shape.count,
      shape.count > 0
    else {
      throw LaminaError(.shape, "expected labels float32 \(shape), found \(labels.spec)")
    }
    return labels.view
  }
}

extension MutableTensorView {
  subscript(index: Int) -> Float {
    get { floats[index] }
    nonmutating set { floats[index] = newValue }
  }
}
