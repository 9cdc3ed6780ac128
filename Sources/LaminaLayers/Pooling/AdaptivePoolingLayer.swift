import LaminaCore
import LaminaKernels

/// y[n, c, i] = op over x[n, c, ⌊i·input/output⌋ ..< ⌈(i + 1)·input/output⌉], along each of 1 to 3 spatial axes, for
/// `float32`. `output_size` is the extent of each.
protocol AdaptivePoolingLayer: Layer {
  /// Extents of the result.
  var outputSize: [Int] { get }
  /// What happens in a bin.
  static var operation: lk_pooling { get }
}

extension AdaptivePoolingLayer {
  package static var gradient: Gradient {
    let reads = operation != LK_POOL_AVERAGE
    return .supported(inputs: reads, outputs: reads)
  }

  static func readOutputSize(_ attributes: inout AttributeReader) throws -> [Int] {
    let size = try attributes.ints("output_size", in: 1...Int(Int32.max))
    guard (1...3).contains(size.count) else {
      throw LaminaError(
        .graph, "expected 1 to 3 integers in attribute 'output_size', found \(size.count)")
    }
    return size
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("output_size", outputSize)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let input = try inputs[0].expecting(.float32).shape
    try input.expectMap(spatialAxes: outputSize.count)
    return [TensorSpec(try Shape(input.dimensions.prefix(2) + outputSize))]
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func forward(_ call: ForwardCall) throws {
    let (input, output) = (call.inputs[0].shape, call.outputs[0].shape)
    let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
    let bins = Array(zip(input.spatial, output.spatial))
    guard bins.allSatisfy({ $0 % $1 == 0 }) else {
      return lk_f32_adaptive_pool(
        call.pool.handle, Self.operation, input.spatial, output.spatial, x, y, input.planes)
    }
    let axes = bins.map {
      lk_window_axis(
        input: $0, output: $1, kernel: $0 / $1, stride: $0 / $1, dilation: 1, before: 0, after: 0)
    }
    let divisors = axes.flatMap { [Float](repeating: Float($0.kernel), count: $0.output) }
    lk_f32_pool(call.pool.handle, Self.operation, axes, divisors, 1, x, y, input.planes)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0] else { return }
    lk_f32_adaptive_pool_gradient(
      call.pool.handle, Self.operation, dx.shape.spatial, dy.shape.spatial, call.inputs[0]?.floats,
      call.outputs[0]?.floats, dy.floats, dx.floats, dx.shape.planes)
  }
}
