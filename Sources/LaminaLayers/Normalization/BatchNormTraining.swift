import LaminaCore
import LaminaKernels

/// Batch normalisation while training, of plain tensors or of maps in blocks of channels.
///
/// With x̂ = (x − μ)/√(σ² + epsilon) of the batch and n numbers in a channel: dbias = Σ dy, dweight = Σ dy·x̂,
/// dx = weight/√(σ² + epsilon)·(dy − dbias/n − x̂·dweight/n). A frozen layer has constant statistics, and
/// dx = weight/√(running_var + epsilon)·dy. A clamp behind it is part of the kernels: dy counts where y lies
/// between the bounds, which x tells.
struct BatchNormTraining: PreparedTraining {
  private let layer: BatchNorm
  private let maps: lk_channel_maps
  private let layouts: (input: TensorLayout, output: TensorLayout)
  /// Floats in a table by channel.
  private let tableCount: Int
  private var bounds: (low: Float, high: Float) = (-.infinity, .infinity)

  var inputLayouts: [TensorLayout]? { [layouts.input] }
  var outputLayouts: [TensorLayout]? { [layouts.output] }
  var gradient: Gradient { .supported(inputs: true, outputs: false) }

  /// Mean and inverse deviation of the batch.
  var savedBytes: Int { 2 * 4 * tableCount }

  var scratchBytes: Int {
    4 * (Self.tables * tableCount + withUnsafePointer(to: maps, lk_channel_sums_scratch_floats))
  }

  private static let tables = 8

  init(_ layer: BatchNorm, _ maps: BlockedMaps) {
    self.init(
      layer, lk_channel_maps(maps: maps.kernel, is_blocked: true), (maps.input, maps.output))
  }

  /// For [N, C, …].
  init(_ layer: BatchNorm, plain shape: Shape) {
    let maps = lk_blocked_maps(
      batch: shape[0], channels: shape[1], height: 1, width: shape.count(from: 2), in_halo: 0,
      out_halo: 0)
    self.init(layer, lk_channel_maps(maps: maps, is_blocked: false), (.plain, .plain))
  }

  private init(
    _ layer: BatchNorm, _ maps: lk_channel_maps,
    _ layouts: (input: TensorLayout, output: TensorLayout)
  ) {
    (self.layer, self.maps, self.layouts) = (layer, maps, layouts)
    tableCount = withUnsafePointer(to: maps, lk_padded_channels)
  }

  private var channels: Int { maps.maps.channels }

  /// Numbers in a channel.
  private var count: Float { Float(maps.maps.batch * maps.maps.height * maps.maps.width) }

  func forward(_ call: ForwardCall) throws {
    guard let scratch = call.scratch.baseAddress?.assumingMemoryBound(to: Float.self) else {
      return
    }
    let tables = scratch + Self.tables * tableCount
    let (scales, shifts, mean, inverse, variance) = (
      scratch, scratch + tableCount, scratch + 2 * tableCount, scratch + 3 * tableCount,
      scratch + 4 * tableCount
    )
    let x = call.inputs[0].floats
    scratch.update(repeating: 0, count: 2 * tableCount)
    if call.isTraining {
      withUnsafePointer(to: maps) {
        lk_f32_channel_moments(call.pool.handle, $0, x, mean, variance, tables)
      }
      for c in 0..<channels { inverse[c] = 1 / (variance[c] + layer.epsilon).squareRoot() }
      layer.affine(call.parameters, mean: mean, inverseDeviation: inverse, scales, shifts)
      if call.saved.count >= savedBytes, let saved = call.saved.baseAddress {
        saved.copyMemory(from: mean, byteCount: savedBytes)
      }
      updateStatistics(call, mean, variance)
    } else {
      layer.affine(call.parameters, scales, shifts)
    }
    var norm = norm(scales, shifts)
    withUnsafePointer(to: maps) {
      lk_f32_batch_norm(call.pool.handle, $0, &norm, x, call.outputs[0].floats)
    }
  }

  private func norm(
    _ scales: UnsafeMutablePointer<Float>, _ shifts: UnsafeMutablePointer<Float>
  ) -> lk_batch_norm {
    lk_batch_norm(
      scale: UnsafePointer(scales), shift: UnsafePointer(shifts), low: bounds.low,
      high: bounds.high)
  }

  /// With a clamp.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)? {
    guard let bounds = (next as? PreparedElementwiseTraining)?.function.bounds,
      self.bounds == (-.infinity, .infinity)
    else { return nil }
    var fused = self
    fused.bounds = bounds
    return fused
  }

  var summary: String { bounds == (-.infinity, .infinity) ? "" : "batch norm and clamp" }

  private func updateStatistics(
    _ call: ForwardCall, _ mean: UnsafePointer<Float>, _ variance: UnsafePointer<Float>
  ) {
    let (old, new) = (call.parameters.suffix(2), call.bufferUpdates.suffix(2))
    let correction = layer.unbiased && count > 1 ? count / (count - 1) : 1
    for (parameter, (update, (batch, factor))) in zip(
      old, zip(new, [(mean, Float(1)), (variance, correction)]))
    {
      guard let update else { continue }
      for c in 0..<channels {
        update.floats[c] =
          (1 - layer.momentum) * parameter.floats[c] + layer.momentum * (batch[c] * factor)
      }
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0]?.floats, let dy = call.outputGradients[0]?.floats,
      let scratch = call.floats
    else { return }
    let (tables, sums) = (scratch, scratch + Self.tables * tableCount)
    func table(_ index: Int) -> UnsafeMutablePointer<Float> { tables + index * tableCount }
    let (scales, shifts, mean, inverse) = (table(0), table(1), table(2), table(3))
    let (sum, product, b, c) = (table(4), table(5), table(6), table(7))
    tables.update(repeating: 0, count: Self.tables * tableCount)
    if call.isTraining {
      guard call.saved.count >= savedBytes, let saved = call.saved.baseAddress else { return }
      UnsafeMutableRawPointer(mean).copyMemory(from: saved, byteCount: savedBytes)
    } else {
      let (runningMean, variance) = (
        call.parameters[call.parameters.count - 2].floats,
        call.parameters[call.parameters.count - 1].floats
      )
      for channel in 0..<channels {
        mean[channel] = runningMean[channel]
        inverse[channel] = 1 / (variance[channel] + layer.epsilon).squareRoot()
      }
    }
    layer.affine(call.parameters, mean: mean, inverseDeviation: inverse, scales, shifts)
    var norm = norm(scales, shifts)
    let weight = layer.scale ? 0 : nil
    let bias = layer.center ? (layer.scale ? 1 : 0) : nil
    withUnsafePointer(to: maps) { maps in
      if call.isTraining || call.parameterGradients.contains(where: { $0 != nil }) {
        lk_f32_channel_products(
          call.pool.handle, maps, &norm, x, mean, dy, sum, product, sums)
      }
      for channel in 0..<channels {
        let dweight = product[channel] * inverse[channel]
        add(dweight, to: weight, channel, call)
        add(sum[channel], to: bias, channel, call)
        guard call.isTraining else { continue }
        b[channel] = -scales[channel] * inverse[channel] * dweight / count
        c[channel] = -scales[channel] * sum[channel] / count
      }
      guard let dx = call.inputGradients[0] else { return }
      lk_f32_batch_norm_gradient(
        call.pool.handle, maps, &norm, x, mean, scales, b, c, dy, dx.floats,
        call.setsInputGradients.first != true)
    }
  }

  private func add(_ number: Float, to parameter: Int?, _ channel: Int, _ call: BackwardCall) {
    guard let parameter, let target = call.parameterGradients[parameter]?.floats else { return }
    target[channel] = (call.setsParameterGradient(parameter) ? 0 : target[channel]) + number
  }
}
