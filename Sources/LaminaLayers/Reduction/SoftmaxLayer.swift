import LaminaCore
import LaminaKernels

/// A function over all elements along `axis`, for `float32`; with `flatten` over `axis` and all axes behind it
/// (ONNX before version 13).
protocol SoftmaxLayer: Layer {
  /// The axis; negative counts from the end.
  var axis: Int { get }
  /// Whether axes behind take part.
  var flatten: Bool { get }
  /// Whether the result is a logarithm.
  static var isLogarithm: Bool { get }
}

extension SoftmaxLayer {
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: true) }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.int("axis", axis)
    attributes.bool("flatten", flatten)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs[0].shape.axis(axis, inclusive: flatten)
    return [try inputs[0].expecting(.float32)]
  }

  package func forward(_ call: ForwardCall) throws {
    let shape = call.inputs[0].shape
    let (outer, length, inner) = try space(shape)
    lk_f32_softmax(
      call.pool.handle, Self.isLogarithm, call.inputs[0].floats, call.outputs[0].floats, outer,
      length, inner)
  }

  /// The function runs along the middle one of three axes.
  private func space(_ shape: Shape) throws -> (outer: Int, length: Int, inner: Int) {
    let axis = try shape.axis(axis, inclusive: flatten)
    let inner = flatten ? 1 : shape.count(from: axis + 1)
    let length = flatten ? shape.count(from: axis) : shape[axis]
    return (shape.count(before: axis), length, inner)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let y = call.outputs[0], let dy = call.outputGradients[0], let dx = call.inputGradients[0]
    else { return }
    let (outer, length, inner) = try space(y.shape)
    lk_f32_softmax_gradient(
      call.pool.handle, Self.isLogarithm, y.floats, dy.floats, dx.floats, outer, length, inner)
  }
}
