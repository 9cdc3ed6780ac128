import LaminaCore
import LaminaKernels

/// y = x / (k + a·Σx²)^beta over `size` neighbours, for `float32` maps (Krizhevsky et al. 2012).
///
/// Neighbours are channels of [N, C, …], or with `region = "within_channel"` a square window of `size`² positions of
/// [N, C, H, W], zeros outside (Caffe). a is `alpha`, divided by the number of neighbours with
/// `alpha_divided_by_size` (ONNX, Caffe, PyTorch; not the paper, TensorFlow). A window of even size reaches one
/// further behind (`even_window = "onnx"`) or before (`"torch"`).
package struct LocalResponseNorm: Layer {
  package static let kind: LayerKind = "lamina.lrn"
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  enum EvenWindow: String, CaseIterable { case onnx, torch }
  enum Region: String, CaseIterable {
    case acrossChannels = "across_channels"
    case withinChannel = "within_channel"
  }
  let size: Int
  let alpha: Float
  let beta: Float
  let k: Float
  let alphaDividedBySize: Bool
  let evenWindow: EvenWindow
  let region: Region

  package init(attributes: inout AttributeReader) throws {
    size = try attributes.int("size", in: 1...Int(Int32.max))
    alpha = try attributes.float("alpha", default: 1e-4)
    beta = try attributes.float("beta", default: 0.75)
    k = try attributes.float("k", default: 1)
    alphaDividedBySize = try attributes.bool("alpha_divided_by_size", default: true)
    evenWindow = try attributes.choice("even_window", default: .onnx)
    region = try attributes.choice("region", default: .acrossChannels)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.int("size", size)
    attributes.float("alpha", alpha)
    attributes.float("beta", beta)
    attributes.float("k", k)
    attributes.bool("alpha_divided_by_size", alphaDividedBySize)
    attributes.choice("even_window", evenWindow)
    attributes.choice("region", region)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs[0].channels
    if region == .withinChannel { try inputs[0].shape.expectMap(spatialAxes: 2) }
    return [try inputs[0].expecting(.float32)]
  }

  /// How many neighbours lie before and behind, and a.
  private var neighbourhood: (before: Int, after: Int, factor: Float) {
    let (shorter, longer) = ((size - 1) / 2, size / 2)
    let (before, after) = evenWindow == .onnx ? (shorter, longer) : (longer, shorter)
    let neighbours = region == .acrossChannels ? Float(size) : Float(size) * Float(size)
    return (before, after, alphaDividedBySize ? alpha / neighbours : alpha)
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func forward(_ call: ForwardCall) throws {
    let shape = call.inputs[0].shape
    let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
    let (before, after, a) = neighbourhood
    switch region {
    case .acrossChannels:
      lk_f32_lrn(
        call.pool.handle, x, y, shape[0], shape[1], shape.count(from: 2), before, after, a, beta, k)
    case .withinChannel:
      lk_f32_lrn_within(
        call.pool.handle, x, y, shape.planes, shape[2], shape[3], before, after, a, beta, k)
    }
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    inputs[0].byteCount
  }

  package func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0], let dy = call.outputGradients[0]?.floats,
      let dx = call.inputGradients[0]?.floats
    else { return }
    let (shape, (before, after, a)) = (x.shape, neighbourhood)
    switch region {
    case .acrossChannels:
      lk_f32_lrn_gradient(
        call.pool.handle, x.floats, dy, dx, shape[0], shape[1], shape.count(from: 2), before, after,
        a, beta, k, call.floats)
    case .withinChannel:
      lk_f32_lrn_within_gradient(
        call.pool.handle, x.floats, dy, dx, shape.planes, shape[2], shape[3], before, after, a,
        beta, k, call.floats)
    }
  }

  /// Maps in blocks of channels are normalised as they are where a window reaches no further than the next block.
  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    let (before, after, a) = neighbourhood
    guard region == .acrossChannels, let maps = BlockedMaps(context),
      max(before, after) <= maps.channels
    else { return nil }
    return PreparedBlockedMaps(maps) { [beta, k] call, maps in
      lk_f32_lrn_blocked(
        call.pool.handle, maps, call.inputs[0].floats, call.outputs[0].floats, before, after, a,
        beta, k)
    }
  }
}
