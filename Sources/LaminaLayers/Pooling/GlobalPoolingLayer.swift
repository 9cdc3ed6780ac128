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

/// A global pool over plain planes, or over blocks of channels where these are complete.
struct PreparedGlobalPooling: PreparedLayer {
  let reduction: lk_reduction
  let scale: Float
  let layout: TensorLayout
  let outer: Int
  let length: Int
  let inner: Int

  var inputLayouts: [TensorLayout]? { [layout] }
  var scratchBytes: Int { 0 }

  init(_ reduction: lk_reduction, _ input: Shape, _ offered: TensorLayout) {
    self.reduction = reduction
    let area = input.count(from: 2)
    scale = reduction == LK_REDUCE_SUM ? 1 / Float(area) : 1
    // The zeros around a blocked map add nothing to a sum, but may exceed all else.
    if case .blocked(let channels, let halo) = offered, input[1] % channels == 0,
      halo == 0 || reduction == LK_REDUCE_SUM
    {
      layout = offered
      outer = input.planes / channels
      length = (input[2] + 2 * halo) * (input[3] + 2 * halo)
      inner = channels
    } else {
      layout = .plain
      outer = input.planes
      length = area
      inner = 1
    }
  }

  func run(_ call: ForwardCall) {
    lk_f32_reduce(
      call.pool.handle, reduction, scale, call.inputs[0].floats, call.outputs[0].floats, outer,
      length, inner)
  }
}
