import LaminaCore
import LaminaKernels

/// y[n, c, o] = op over the window of o in x[n, c], for `float32` maps [N, C, W], [N, C, H, W] or [N, C, D, H, W].
protocol WindowPoolingLayer: Layer {
  /// The window.
  var geometry: PoolingGeometry { get }
  /// What happens in it.
  var operation: lk_pooling { get }
  /// Whether an average counts the padding.
  var includesPadding: Bool { get }
  /// The exponent of an Lp pool.
  var exponent: Float { get }
}

extension WindowPoolingLayer {
  var includesPadding: Bool { false }
  var exponent: Float { 2 }
  package var window: Window? { geometry.window }
  package static var gradient: Gradient { .supported(inputs: true, outputs: true) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try geometry.outputShape(for: inputs[0].expecting(.float32).shape))]
  }

  package func forward(_ call: ForwardCall) throws {
    try PreparedPooling(self, call.inputs[0].shape, .plain, outputHalo: 0).run(call)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dx = call.inputGradients[0] else { return }
    try PreparedPooling(self, dx.shape, .plain, outputHalo: 0).backward(call)
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try PreparedPooling(
      self, context.inputs[0].shape, context.inputLayouts[0], outputHalo: context.outputHalos[0])
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    try PreparedPooling(
      self, context.inputs[0].shape, context.inputLayouts[0], outputHalo: context.outputHalos[0])
  }
}

/// A pool with its sizes and divisors worked out.
struct PreparedPooling: PreparedLayer, PreparedTraining {
  let operation: lk_pooling
  let exponent: Float
  let axes: [lk_window_axis]
  let divisors: [Float]
  let planes: Int
  let layout: TensorLayout
  let outputLayout: TensorLayout
  /// Floats of the output, its halo included.
  private let outputCount: Int
  /// What bounds the results.
  private var clamp: ElementwiseFunction?

  var inputLayouts: [TensorLayout]? { [layout] }
  var outputLayouts: [TensorLayout]? { [outputLayout] }
  var scratchBytes: Int { 0 }
  var summary: String { clamp == nil ? "" : "pool and clamp" }

  init(
    _ layer: some WindowPoolingLayer, _ input: Shape, _ offered: TensorLayout,
    outputHalo: Int
  ) throws {
    operation = layer.operation
    exponent = layer.exponent
    let axes = try layer.geometry.axes(for: input)
    self.axes = axes
    if operation == LK_POOL_AVERAGE, input.count > 0 {
      divisors = axes.flatMap { axis in
        [Float](unsafeUninitializedCapacity: axis.output) { buffer, count in
          withUnsafePointer(to: axis) {
            lk_window_divisors($0, layer.includesPadding, buffer.baseAddress)
          }
          count = axis.output
        }
      }
    } else {
      divisors = []
    }
    // A dilated window may lie in the padding alone, where a maximum is −infinity and would fill the
    // missing channels of a block.
    let isBlockable =
      operation == LK_POOL_AVERAGE
      || operation == LK_POOL_MAX && axes.allSatisfy { $0.dilation == 1 }
    if case .blocked(let channels, _) = offered, isBlockable {
      layout = offered
      outputLayout = .blocked(channels: channels, halo: outputHalo)
      planes = input[0] * ((input[1] + channels - 1) / channels)
    } else {
      (layout, outputLayout) = (.plain, .plain)
      planes = input.planes
    }
    outputCount = outputLayout.byteCount(TensorSpec(try layer.geometry.outputShape(for: input))) / 4
  }

  /// The same with bounded results; nil where that is not the pool of bounded numbers.
  func clamped(by function: ElementwiseFunction) -> PreparedPooling? {
    guard operation == LK_POOL_MAX, clamp == nil, axes.allSatisfy({ $0.dilation == 1 }) else {
      return nil
    }
    var result = self
    result.clamp = function
    return result
  }

  func run(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
    divisors.withUnsafeBufferPointer { divisors in
      let divisors = divisors.isEmpty ? nil : divisors.baseAddress
      if case .blocked(let channels, let halo) = layout,
        case .blocked(_, let outputHalo) = outputLayout
      {
        lk_f32_pool_blocked(
          call.pool.handle, operation, axes, divisors, channels, halo, outputHalo, x, y, planes)
      } else {
        lk_f32_pool(call.pool.handle, operation, axes, divisors, exponent, x, y, planes)
      }
    }
  }

  func forward(_ call: ForwardCall) throws {
    try run(call)
    let y = call.outputs[0].floats
    clamp?.run(outputCount, from: y, to: y, call.pool)
  }

  var gradient: Gradient {
    let reads = operation != LK_POOL_AVERAGE
    return .supported(inputs: reads, outputs: reads)
  }

  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0]?.floats, let dx = call.inputGradients[0] else { return }
    let (x, y) = (call.inputs[0]?.floats, call.outputs[0]?.floats)
    if let y { clamp?.mask(dy, at: y, outputCount, call.pool) }
    divisors.withUnsafeBufferPointer { divisors in
      let divisors = divisors.isEmpty ? nil : divisors.baseAddress
      if case .blocked(let channels, let halo) = layout,
        case .blocked(_, let outputHalo) = outputLayout
      {
        lk_f32_pool_blocked_gradient(
          call.pool.handle, operation, axes, divisors, channels, halo, outputHalo, x, y, dy,
          dx.floats, call.setsInputGradient(0), planes)
      } else {
        lk_f32_pool_gradient(
          call.pool.handle, operation, axes, divisors, exponent, x, y, dy, dx.floats,
          call.setsInputGradient(0), planes)
      }
    }
  }
}
