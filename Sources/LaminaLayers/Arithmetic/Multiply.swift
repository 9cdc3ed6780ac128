import LaminaCore
import LaminaKernels

/// y = x₁ · x₂ · …
package struct Multiply: BinaryLayer {
  package static let kind: LayerKind = "lamina.mul"
  package static var arity: ClosedRange<Int> { 1...Int.max }
  static var operation: lk_binary { LK_MUL }

  package init(attributes: inout AttributeReader) throws {}

  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &* b }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    PreparedScalingTraining(context)
  }
}

/// A product of a map x in blocks of channels and one number s for each channel of each image, as in
/// squeeze-and-excitation. dx = s·dy, ds = Σ x·dy.
///
/// The kernels are those of batch normalisation: with the images counted as channels, s is a scale by channel.
struct PreparedScalingTraining: PreparedTraining {
  private let layout: TensorLayout
  private let shape: Shape
  private let maps: lk_channel_maps
  private let lanes: Int

  var inputLayouts: [TensorLayout]? { [layout, .plain] }
  var outputLayouts: [TensorLayout]? { [layout] }
  var gradient: Gradient { .supported(inputs: true, outputs: false) }
  var scratchBytes: Int {
    4 * (4 * tableCount + withUnsafePointer(to: maps, lk_channel_sums_scratch_floats))
  }

  /// nil for anything else.
  init?(_ context: TrainingContext) {
    guard context.inputs.count == 2, context.outputs[0].type == .float32,
      case let shape = context.outputs[0].shape, shape == context.inputs[0].shape,
      case .blocked(let channels, let halo) = context.inputLayouts[0],
      channels == lk_block_channels(lk_active_isa()),
      context.inputs[1].shape.dimensions == [shape[0], shape[1], 1, 1]
    else { return nil }
    (self.shape, layout, lanes) = (shape, context.inputLayouts[0], channels)
    let blocks = (shape[1] + channels - 1) / channels
    maps = lk_channel_maps(
      maps: lk_blocked_maps(
        batch: 1, channels: blocks * shape[0] * channels, height: shape[2], width: shape[3],
        in_halo: halo, out_halo: halo), is_blocked: true)
  }

  private var tableCount: Int { maps.maps.channels }

  /// Where channel c of image n stands in a table.
  private func place(_ n: Int, _ c: Int) -> Int { (c / lanes * shape[0] + n) * lanes + c % lanes }

  func forward(_ call: ForwardCall) throws {
    var map = layout.map(shape)
    lk_f32_scale_map(
      call.pool.handle, shape[0], shape[1], &map, call.inputs[0].floats, call.inputs[1].floats, nil,
      lk_activation(), call.outputs[0].floats)
  }

  func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0]?.floats, let s = call.inputs[1]?.floats, let scratch = call.floats,
      let dy = call.outputGradients[0]?.floats
    else { return }
    let (factors, zeros) = (scratch, scratch + tableCount)
    let (sums, products) = (scratch + 2 * tableCount, scratch + 3 * tableCount)
    scratch.update(repeating: 0, count: 2 * tableCount)
    for n in 0..<shape[0] {
      for c in 0..<shape[1] { factors[place(n, c)] = s[n * shape[1] + c] }
    }
    var norm = lk_batch_norm(
      scale: UnsafePointer(factors), shift: UnsafePointer(zeros), low: -.infinity, high: .infinity)
    withUnsafePointer(to: maps) { maps in
      if let dx = call.inputGradients[0]?.floats {
        lk_f32_batch_norm_gradient(
          call.pool.handle, maps, &norm, x, zeros, factors, zeros, zeros, dy, dx,
          !call.setsInputGradient(0))
      }
      guard let ds = call.inputGradients[1]?.floats else { return }
      lk_f32_channel_products(
        call.pool.handle, maps, &norm, x, zeros, dy, sums, products, scratch + 4 * tableCount)
      for n in 0..<shape[0] {
        for c in 0..<shape[1] {
          let at = n * shape[1] + c
          ds[at] = (call.setsInputGradient(1) ? 0 : ds[at]) + products[place(n, c)]
        }
      }
    }
  }
}
