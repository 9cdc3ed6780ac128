import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = op over all of x[n, c], for `float32` maps with 1 to 3 spatial axes.
protocol GlobalPoolingLayer: Layer {
  /// What happens.
  static var reduction: lk_reduction { get }
}

extension GlobalPoolingLayer {
  package static var gradient: Gradient {
    let reads = reduction != LK_REDUCE_SUM
    return .supported(inputs: reads, outputs: reads)
  }

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try inputs[0].expecting(.float32).shape.globallyPooled())]
  }

  package func forward(_ call: ForwardCall) throws {
    PreparedGlobalPooling(Self.reduction, call.inputs[0].shape, .plain).run(call)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dx = call.inputGradients[0] else { return }
    PreparedGlobalPooling(Self.reduction, dx.shape, .plain).backward(call)
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    PreparedGlobalPooling(Self.reduction, context.inputs[0].shape, context.inputLayouts[0])
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    PreparedGlobalPooling(Self.reduction, context.inputs[0].shape, context.inputLayouts[0])
  }
}

extension Shape {
  /// [N, C, 1, …].
  ///
  /// - Throws: `shape` unless this is a map.
  func globallyPooled() throws -> Shape {
    try expectMap()
    return try Shape(dimensions.prefix(2) + dimensions.dropFirst(2).map { _ in 1 })
  }

  /// A window for each of depth, height and width that takes in all of it.
  var wholeWindows: [lk_window_axis] {
    spatial.map {
      lk_window_axis(input: $0, output: 1, kernel: $0, stride: 1, dilation: 1, before: 0, after: 0)
    }
  }
}

/// A global pool over plain planes, or a mean over blocks of channels.
struct PreparedGlobalPooling: PreparedLayer, PreparedTraining {
  let reduction: lk_reduction
  let scale: Float
  let layout: TensorLayout
  let shape: Shape

  var inputLayouts: [TensorLayout]? { [layout] }
  var outputLayouts: [TensorLayout]? { nil }
  var scratchBytes: Int { 0 }
  var summary: String { "" }
  var gradient: Gradient {
    let reads = reduction != LK_REDUCE_SUM
    return .supported(inputs: reads, outputs: reads)
  }

  init(_ reduction: lk_reduction, _ input: Shape, _ offered: TensorLayout) {
    self.reduction = reduction
    shape = input
    scale = reduction == LK_REDUCE_SUM ? 1 / Float(input.count(from: 2)) : 1
    if case .blocked(let channels, _) = offered, channels == lk_block_channels(lk_active_isa()),
      reduction == LK_REDUCE_SUM
    {
      layout = offered
    } else {
      layout = .plain
    }
  }

  func run(_ call: ForwardCall) {
    if layout != .plain {
      var map = layout.map(shape)
      lk_f32_map_means(
        call.pool.handle, shape[0], shape[1], shape[2], shape[3], &map, call.inputs[0].floats,
        call.outputs[0].floats)
      return
    }
    lk_f32_reduce(
      call.pool.handle, reduction, scale, call.inputs[0].floats, call.outputs[0].floats,
      shape.planes, shape.count(from: 2), 1)
  }

  func forward(_ call: ForwardCall) throws { run(call) }

  func backward(_ call: BackwardCall) {
    guard let dy = call.outputGradients[0]?.floats, let dx = call.inputGradients[0]?.floats else {
      return
    }
    if case .blocked(let channels, let halo) = layout {
      return lk_f32_spread_means(
        call.pool.handle, shape[0], shape[1], shape[2], shape[3], channels, halo, scale, dy, dx,
        call.setsInputGradient(0))
    }
    let axes = shape.wholeWindows
    lk_f32_pool_gradient(
      call.pool.handle, reduction == LK_REDUCE_SUM ? LK_POOL_AVERAGE : LK_POOL_MAX, axes,
      axes.map { Float($0.kernel) }, 1, call.inputs[0]?.floats, call.outputs[0]?.floats, dy, dx,
      call.setsInputGradient(0), shape.planes)
  }
}
