import LaminaCore
import LaminaKernels

/// y[n, c, 0, …] = op over all of x[n, c], for `float32` maps with 1 to 3 spatial axes.
protocol GlobalPoolingLayer: Layer {
  /// What happens.
  static var reduction: lk_reduction { get }
}

extension GlobalPoolingLayer {
  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(try inputs[0].expecting(.float32).shape.globallyPooled())]
  }

  package func forward(_ call: ForwardCall) throws {
    PreparedGlobalPooling(Self.reduction, call.inputs[0].shape, .plain).run(call)
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
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
}

/// A global pool over plain planes, or a mean over blocks of channels.
struct PreparedGlobalPooling: PreparedLayer {
  let reduction: lk_reduction
  let scale: Float
  let layout: TensorLayout
  let shape: Shape

  var inputLayouts: [TensorLayout]? { [layout] }
  var scratchBytes: Int { 0 }

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
}
