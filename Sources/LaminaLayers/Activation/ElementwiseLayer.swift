import LaminaCore
import LaminaKernels

/// A function of one number: a kernel and its constants.
struct ElementwiseFunction: Sendable {
  var code: lk_unary
  var a: Float = 0
  var b: Float = 0

  /// Whether f(0) = 0, so that the zeros around blocked maps stay zeros.
  var keepsZero: Bool {
    var (zero, result) = (Float(0), Float.nan)
    lk_f32_unary(nil, code, a, b, &zero, &result, 1)
    return result == 0
  }

  func run(
    _ count: Int, from x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>,
    _ pool: ThreadPool
  ) {
    lk_f32_unary(pool.handle, code, a, b, x, y, count)
  }
}

/// y = f(x) for every `float32` element of a tensor of any shape.
protocol ElementwiseLayer: Layer {
  /// The function.
  var function: ElementwiseFunction { get }
}

extension ElementwiseLayer {
  package static var outputMemory: OutputMemory { .mayOverwriteInput }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [try inputs[0].expecting(.float32)]
  }

  package func forward(_ call: ForwardCall) throws {
    function.run(
      call.inputs[0].shape.count, from: call.inputs[0].floats, to: call.outputs[0].floats, call.pool
    )
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { outputHalos }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    PreparedElementwise(function, context)
  }
}

/// An elementwise function in the layout in which its input comes.
struct PreparedElementwise: PreparedLayer {
  let function: ElementwiseFunction
  let layout: TensorLayout
  let count: Int

  var inputLayouts: [TensorLayout]? { [layout] }
  var outputLayouts: [TensorLayout]? { [layout] }
  var scratchBytes: Int { 0 }

  init(_ function: ElementwiseFunction, _ context: PrepareContext) {
    self.function = function
    layout = function.keepsZero ? context.inputLayouts[0] : .plain
    count = layout.byteCount(context.inputs[0]) / 4
  }

  func run(_ call: ForwardCall) throws {
    function.run(count, from: call.inputs[0].floats, to: call.outputs[0].floats, call.pool)
  }
}

extension TensorSpec {
  /// The spec without its value.
  ///
  /// - Throws: `shape` when the element type is none of `types`.
  func expecting(_ types: ElementType...) throws -> TensorSpec {
    guard types.contains(type) else {
      let names = types.map(\.rawValue).joined(separator: " or ")
      throw LaminaError(.shape, "expected \(names) elements, found \(type.rawValue)")
    }
    return TensorSpec(shape, type)
  }
}
