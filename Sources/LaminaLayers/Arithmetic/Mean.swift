import LaminaCore
import LaminaKernels

/// y = (x₁ + … + xₙ) / n, for `float32`.
package struct Mean: BinaryLayer {
  package static let kind: LayerKind = "lamina.mean"
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_ADD }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &+ b }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs.commonType()
    let shape = try inputs.dropFirst().reduce(inputs[0].shape) { try $0.broadcast(with: $1.shape) }
    return [TensorSpec(shape, try inputs[0].expecting(.float32).type)]
  }

  package func forward(_ call: ForwardCall) throws {
    try combine(call)
    let y = call.outputs[0]
    var count = Float(call.inputs.count)
    Broadcast(y.shape, .scalar, to: y.shape).run(LK_DIV, y.floats, &count, y.floats, call.pool)
  }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? { nil }

  package func backward(_ call: BackwardCall) throws {
    let part = 1 / Float(call.inputGradients.count)
    addToAll(call) { _ in part }
  }
}
