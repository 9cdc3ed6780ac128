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

  /// The bounds of a function that does nothing but bound.
  var bounds: (low: Float, high: Float)? {
    switch code {
    case LK_RELU: (0, .infinity)
    case LK_CLIP: (a, b)
    default: nil
    }
  }

  /// Zeros in the gradient by y where y is at a bound of this clamp.
  func mask(
    _ gradient: UnsafePointer<Float>, at y: UnsafePointer<Float>, _ count: Int, _ pool: ThreadPool
  ) {
    let masked = UnsafeMutablePointer(mutating: gradient)
    lk_f32_unary_gradient(pool.handle, code, a, b, y, gradient, masked, false, count)
  }

  /// Whether the derivative is computed from y, not from x.
  var gradient: Gradient {
    let readsOutput = lk_unary_gradient_reads_output(code)
    return .supported(inputs: !readsOutput, outputs: readsOutput)
  }

  /// The gradient of the first input, from its value or that of the first output, whichever is read.
  func addGradient(_ call: BackwardCall, count: Int? = nil, sets: Bool = false) {
    let value = lk_unary_gradient_reads_output(code) ? call.outputs[0] : call.inputs[0]
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0], let value else {
      return
    }
    lk_f32_unary_gradient(
      call.pool.handle, code, a, b, value.floats, dy.floats, dx.floats, !sets,
      count ?? dx.shape.count)
  }
}

/// y = f(x) for every `float32` element of a tensor of any shape.
protocol ElementwiseLayer: Layer {
  /// The function.
  var function: ElementwiseFunction { get }
}

extension ElementwiseLayer {
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [try inputs[0].expecting(.float32)]
  }

  package func forward(_ call: ForwardCall) throws {
    function.run(
      call.inputs[0].shape.count, from: call.inputs[0].floats, to: call.outputs[0].floats, call.pool
    )
  }

  package func backward(_ call: BackwardCall) throws { function.addGradient(call) }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { outputHalos }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    PreparedElementwise(function, context)
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    PreparedElementwiseTraining(function, context)
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

/// The same with its gradient.
struct PreparedElementwiseTraining: PreparedTraining {
  let function: ElementwiseFunction
  private let layout: TensorLayout
  private let count: Int

  var inputLayouts: [TensorLayout]? { [layout] }
  var outputLayouts: [TensorLayout]? { [layout] }
  var gradient: Gradient { function.gradient }
  var scratchBytes: Int { 0 }

  init(_ function: ElementwiseFunction, _ context: TrainingContext) {
    self.function = function
    layout = function.keepsZero ? context.inputLayouts[0] : .plain
    count = layout.byteCount(context.inputs[0]) / 4
  }

  func forward(_ call: ForwardCall) throws {
    function.run(count, from: call.inputs[0].floats, to: call.outputs[0].floats, call.pool)
  }

  func backward(_ call: BackwardCall) throws {
    function.addGradient(call, count: count, sets: call.setsInputGradients[0])
  }

  /// The largest of clamped numbers is the clamped largest: of fewer numbers.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)? {
    guard function.bounds != nil, let pool = next as? PreparedPooling, pool.layout == layout
    else { return nil }
    return pool.clamped(by: function)
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

extension PreparedTraining {
  /// The clamp that this is, and how a kernel in front of it applies it; nil when it is none, or runs in other
  /// layouts.
  func clamp(
    in layouts: [TensorLayout]?
  ) -> (function: ElementwiseFunction, activation: lk_activation)? {
    guard let clamp = self as? PreparedElementwiseTraining, let bounds = clamp.function.bounds,
      clamp.outputLayouts == layouts
    else { return nil }
    let activation = lk_activation(
      kind: LK_ACTIVATION_CLAMP, low: bounds.low, high: bounds.high, slope: 0)
    return (clamp.function, activation)
  }
}
