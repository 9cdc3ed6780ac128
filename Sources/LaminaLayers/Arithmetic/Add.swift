import LaminaCore
import LaminaKernels

/// y = x₁ + x₂ + …
package struct Add: BinaryLayer {
  package static let kind: LayerKind = "lamina.add"
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_ADD }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &+ b }

  package func backward(_ call: BackwardCall) throws {
    addToAll(call) { _ in 1 }
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    PreparedSumTraining(context)
  }
}

/// A sum of `float32` tensors of one shape, all plain or all in one blocked layout; of two, with a ReLU behind it.
struct PreparedSumTraining: PreparedTraining {
  private let layout: TensorLayout
  private let inputCount: Int
  private let count: Int
  private var hasReLU = false

  var inputLayouts: [TensorLayout]? { [TensorLayout](repeating: layout, count: inputCount) }
  var outputLayouts: [TensorLayout]? { [layout] }
  var gradient: Gradient { .supported(inputs: false, outputs: hasReLU) }
  var scratchBytes: Int { 0 }
  var summary: String { hasReLU ? "sum and relu" : "" }

  /// nil when the inputs are something else.
  init?(_ context: TrainingContext) {
    let output = context.outputs[0]
    guard output.type == .float32, context.inputs.count > 1,
      context.inputs.allSatisfy({ $0.shape == output.shape })
    else { return nil }
    let blocked = context.inputLayouts.first { $0 != .plain }
    let isComputed = context.inputs.allSatisfy { $0.value == nil }
    layout = isComputed ? blocked ?? .plain : .plain
    inputCount = context.inputs.count
    count = layout.byteCount(output) / 4
  }

  /// With a ReLU.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)? {
    guard inputCount == 2, !hasReLU,
      (next as? PreparedElementwiseTraining)?.function.code == LK_RELU
    else { return nil }
    var fused = self
    fused.hasReLU = true
    return fused
  }

  func forward(_ call: ForwardCall) throws {
    let all = try Shape([count])
    let (shape, y) = (Broadcast(all, all, to: all), call.outputs[0].floats)
    for (index, input) in call.inputs.enumerated().dropFirst() {
      let sum = index == 1 ? call.inputs[0].floats : UnsafePointer(y)
      shape.run(hasReLU ? LK_ADD_RELU : LK_ADD, sum, input.floats, y, call.pool)
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0]?.floats else { return }
    for (index, gradient) in call.inputGradients.enumerated() {
      guard let gradient else { continue }
      let y = call.outputs[0]?.floats
      lk_f32_unary_gradient(
        call.pool.handle, hasReLU ? LK_RELU : LK_SCALE, 1, 0, y ?? dy, dy, gradient.floats,
        !call.setsInputGradient(index), count)
    }
  }
}
