import LaminaCore
import LaminaKernels

/// What the convolution layers share: attributes, shapes, and how they run.
///
/// Attributes: those of `SpatialWindow`, `out_channels`, `groups` (1) and `bias` (true).
struct Convolution: Sendable, Hashable {
  let window: SpatialWindow
  let outChannels: Int
  let groups: Int
  let hasBias: Bool

  /// Reads the attributes; `rank` nil takes as many axes as `kernel_size` has.
  init(attributes: inout AttributeReader, rank: Int? = nil) throws {
    window = try SpatialWindow(attributes: &attributes, rank: rank)
    outChannels = try attributes.int("out_channels", in: 1...Shape.maximumExtent)
    groups = try attributes.int("groups", default: 1, in: 1...Shape.maximumExtent)
    hasBias = try attributes.bool("bias", default: true)
    guard outChannels % groups == 0 else {
      throw LaminaError(
        .graph, "expected 'out_channels' divisible by \(groups) groups, found \(outChannels)")
    }
  }

  func encode(into attributes: inout AttributeWriter) {
    attributes.int("out_channels", outChannels)
    window.encode(into: &attributes)
    if groups != 1 { attributes.int("groups", groups) }
    if !hasBias { attributes.bool("bias", hasBias) }
  }

  /// `weight` [out_channels, channels / groups, kernel…] and `bias` [out_channels].
  func parameters(for input: TensorSpec) throws -> [ParameterSpec] {
    let channels = try inChannels(of: input)
    let shape = try Shape([outChannels, channels / groups] + window.kernel)
    var specs = [ParameterSpec("weight", shape, initializer: .heNormal(fanOut: true))]
    if hasBias { specs.append(ParameterSpec("bias", [outChannels], initializer: .zeros)) }
    return specs
  }

  private func inChannels(of input: TensorSpec) throws -> Int {
    _ = try window.spatialExtents(of: input)
    let channels = input.shape[1]
    guard channels % groups == 0 else {
      throw LaminaError(
        .shape, "expected channels divisible by \(groups) groups, found \(channels)")
    }
    return channels
  }

  /// `[batch, out_channels, spatial…]`.
  func output(for input: TensorSpec) throws -> TensorSpec {
    _ = try parameters(for: input)
    let spatial = try window.resolve(try window.spatialExtents(of: input)).output
    return TensorSpec(try Shape([input.shape[0], outChannels] + spatial))
  }

  func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    guard let input = inputs.first, let output = outputs.first, input.shape.rank > 1 else {
      return 0
    }
    return saturatingProduct(
      output.shape.count, saturatingProduct(input.shape[1] / groups, window.taps))
  }

  /// The kernel call for `input`. Algorithms that transform the weight are for weights that stay.
  func plan(
    for input: TensorSpec, activation: lk_activation = lk_activation(), allowsWinograd: Bool = false
  ) throws -> ConvolutionPlan {
    try ConvolutionPlan(self, input, activation, allowsWinograd)
  }
}

/// A convolution of given shapes as one two-dimensional kernel call, or, where the window is deep,
/// one for each slice of the output: the input's slices that an output slice reads are channels of
/// that call.
struct ConvolutionPlan: Sendable {
  private let call: lk_conv2d
  private let channels: Int
  private let inDepth: Int
  private let outDepth: Int
  private let kernelDepth: Int
  private let strideDepth: Int
  private let dilationDepth: Int
  private let padFront: Int

  fileprivate init(
    _ convolution: Convolution, _ input: TensorSpec, _ activation: lk_activation,
    _ allowsWinograd: Bool
  ) throws {
    let window = convolution.window
    let extents = try window.spatialExtents(of: input)
    let (begins, output) = try window.resolve(extents)
    func three(_ values: [Int], _ fill: Int) -> [Int] {
      [Int](repeating: fill, count: 3 - values.count) + values
    }
    let (from, to) = (three(extents, 1), three(output, 1))
    let (kernel, strides) = (three(window.kernel, 1), three(window.strides, 1))
    let (dilations, pads) = (three(window.dilations, 1), three(begins, 0))
    channels = input.shape[1]
    (inDepth, outDepth, kernelDepth) = (from[0], to[0], kernel[0])
    (strideDepth, dilationDepth, padFront) = (strides[0], dilations[0], pads[0])
    call = lk_conv2d(
      batch: input.shape[0], in_channels: channels * kernel[0], in_height: from[1],
      in_width: from[2],
      out_channels: convolution.outChannels, out_height: to[1], out_width: to[2],
      kernel_height: kernel[1], kernel_width: kernel[2], stride_height: strides[1],
      stride_width: strides[2], dilation_height: dilations[1], dilation_width: dilations[2],
      pad_top: pads[1], pad_left: pads[2], groups: convolution.groups, activation: activation,
      allow_winograd: allowsWinograd)
  }

  private var isFlat: Bool { inDepth == 1 && outDepth == 1 && kernelDepth == 1 && padFront == 0 }
  private var sliceIn: Int { call.in_height * call.in_width }
  private var sliceOut: Int { call.out_height * call.out_width }
  private var gatherBytes: Int { isFlat ? 0 : aligned(call.batch * call.in_channels * sliceIn * 4) }
  private var resultBytes: Int {
    isFlat ? 0 : aligned(call.batch * call.out_channels * sliceOut * 4)
  }

  private func aligned(_ bytes: Int) -> Int { (bytes + 63) & ~63 }

  /// Bytes of the packed weight.
  var packedBytes: Int { aligned(withUnsafePointer(to: call) { lk_f32_conv2d_packed_bytes($0) }) }

  /// Bytes of scratch memory.
  func scratchBytes(threads: Int) -> Int {
    gatherBytes + resultBytes
      + aligned(withUnsafePointer(to: call) { lk_f32_conv2d_scratch_bytes($0, Int32(threads)) })
  }

  /// The halo that the window reads around a map; nil where maps do not come in blocks of channels.
  var halo: Int? {
    guard isFlat else { return nil }
    func behind(_ output: Int, _ kernel: Int, _ stride: Int, _ dilation: Int, _ end: Int) -> Int {
      (output - 1) * stride + (kernel - 1) * dilation + 1 - end
    }
    let bottom = behind(
      call.out_height, call.kernel_height, call.stride_height, call.dilation_height,
      call.in_height + call.pad_top)
    let right = behind(
      call.out_width, call.kernel_width, call.stride_width, call.dilation_width,
      call.in_width + call.pad_left)
    let halo = max(call.pad_top, call.pad_left, bottom, right, 0)
    return halo <= Self.widestHalo ? halo : nil
  }

  /// The halo that the output's gradient needs for the input's; nil where maps do not come in blocks.
  var gradientHalo: Int? {
    guard isFlat else { return nil }
    let halo = withUnsafePointer(to: call) { lk_input_gradient_halo($0) }
    return halo <= Self.widestHalo ? halo : nil
  }

  private static var widestHalo: Int { 8 }

  /// The same convolution of maps in the given layouts; nil when blocks of channels do not suit it.
  func blocked(
    from input: TensorLayout, to output: TensorLayout, residual: TensorLayout?, _ shapes: [Shape],
    threads: Int
  ) -> lk_blocked_conv? {
    guard isFlat, call.batch > 0 else { return nil }
    var blocked = lk_blocked_conv()
    blocked.conv = call
    blocked.in = input.map(shapes[0])
    blocked.out = output.map(shapes[1])
    blocked.residual = (residual ?? .blocked(channels: output.map(shapes[1]).channels, halo: 0))
      .map(shapes[1])
    guard lk_make_blocked_conv(&blocked, input == .plain, Int32(clamping: threads)) else {
      return nil
    }
    return blocked
  }

  /// The same convolution from a plain map to a plain one, with pixels in the lanes of vectors; nil when
  /// blocks of channels are as good.
  var planar: lk_planar_conv? {
    guard isFlat else { return nil }
    var planar = lk_planar_conv()
    return withUnsafePointer(to: call) { lk_make_planar_conv(&planar, $0) } ? planar : nil
  }

  /// What runs: `gemm avx512` or `depthwise avx512`.
  var summary: String {
    withUnsafePointer(to: call) { String(cString: lk_f32_conv2d_algorithm($0)) } + " "
      + String(cString: lk_isa_name(lk_active_isa()))
  }

  func pack(_ weight: UnsafePointer<Float>, to packed: UnsafeMutableRawPointer) {
    withUnsafePointer(to: call) { lk_f32_conv2d_pack($0, weight, packed) }
  }

  /// Convolves; `residual` has the output's shape and needs a flat window.
  func run(
    pool: ThreadPool, input: UnsafePointer<Float>, packed: UnsafeRawPointer,
    bias: UnsafePointer<Float>?, residual: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>, scratch: UnsafeMutableRawPointer
  ) {
    guard call.batch > 0 else { return }
    withUnsafePointer(to: call) { call in
      if isFlat {
        lk_f32_conv2d(pool.handle, call, input, packed, bias, residual, output, scratch)
        return
      }
      let gathered = scratch.assumingMemoryBound(to: Float.self)
      let result = (scratch + gatherBytes).assumingMemoryBound(to: Float.self)
      for slice in 0..<outDepth {
        gather(slice, input, to: gathered)
        lk_f32_conv2d(
          pool.handle, call, gathered, packed, bias, nil, result,
          scratch + gatherBytes + resultBytes)
        for plane in 0..<call.pointee.batch * call.pointee.out_channels {
          (output + (plane * outDepth + slice) * sliceOut)
            .update(from: result + plane * sliceOut, count: sliceOut)
        }
      }
    }
  }

  private func gather(
    _ slice: Int, _ input: UnsafePointer<Float>, to gathered: UnsafeMutablePointer<Float>
  ) {
    for plane in 0..<call.batch * channels {
      for tap in 0..<kernelDepth {
        let target = gathered + (plane * kernelDepth + tap) * sliceIn
        let depth = slice * strideDepth + tap * dilationDepth - padFront
        if (0..<inDepth).contains(depth) {
          target.update(from: input + (plane * inDepth + depth) * sliceIn, count: sliceIn)
        } else {
          target.update(repeating: 0, count: sliceIn)
        }
      }
    }
  }
}

/// A convolution with its weight packed.
struct PreparedConvolution: PreparedLayer {
  private let plan: ConvolutionPlan
  private let packed: AlignedBuffer
  private let hasBias: Bool
  let scratchBytes: Int
  let summary: String

  var packedBytes: Int { packed.byteCount }

  init(_ plan: ConvolutionPlan, weight: Tensor, hasBias: Bool, threads: Int) throws {
    self.plan = plan
    self.hasBias = hasBias
    packed = try AlignedBuffer(byteCount: plan.packedBytes)
    scratchBytes = plan.scratchBytes(threads: threads)
    summary = plan.summary
    plan.pack(weight.view.floats, to: packed.baseAddress)
  }

  func run(_ call: ForwardCall) throws {
    guard let scratch = call.scratch.baseAddress else { return }
    plan.run(
      pool: call.pool, input: call.inputs[0].floats, packed: packed.baseAddress,
      bias: hasBias ? call.parameters[1].floats : nil,
      residual: call.inputs.count > 1 ? call.inputs[1].floats : nil,
      output: call.outputs[0].floats, scratch: scratch)
  }
}

/// A convolution of maps in blocks of channels, with weight and bias packed.
struct BlockedConvolution: PreparedLayer {
  fileprivate let convolution: lk_blocked_conv
  fileprivate let packed: AlignedBuffer
  private let layouts: (inputs: [TensorLayout], output: TensorLayout)
  let scratchBytes: Int

  var inputLayouts: [TensorLayout]? { layouts.inputs }
  var outputLayouts: [TensorLayout]? { [layouts.output] }
  var packedBytes: Int { packed.byteCount }
  var summary: String {
    withUnsafePointer(to: convolution) { String(cString: lk_blocked_conv_algorithm($0)) } + " "
      + String(cString: lk_isa_name(convolution.isa))
  }

  /// nil when weight or bias are not constant, or blocks of channels do not suit the convolution.
  init?(_ plan: ConvolutionPlan, _ context: PrepareContext) throws {
    guard let halo = plan.halo, context.inputs[0].shape.rank == 4,
      let parameters = context.constantParameters
    else { return nil }
    let channels = lk_block_channels(lk_active_isa())
    let output = TensorLayout.blocked(channels: channels, halo: context.outputHalos[0])
    let shapes = [context.inputs[0].shape, context.outputs[0].shape]
    var residual: TensorLayout?
    if context.inputs.count > 1 {
      residual = .blocked(channels: channels, halo: 0)
      if case .blocked(channels, _) = context.inputLayouts[1] { residual = context.inputLayouts[1] }
    }
    var input = TensorLayout.blocked(channels: channels, halo: halo)
    if case .blocked(channels, halo...) = context.inputLayouts[0] {
      input = context.inputLayouts[0]
    }
    var found = plan.blocked(
      from: input, to: output, residual: residual, shapes, threads: context.threads)
    // With more channels, transforms of 5×5 windows gain more than the conversion costs.
    if context.inputLayouts[0] == .plain, shapes[0][1] <= 4,
      let direct = plan.blocked(
        from: .plain, to: output, residual: residual, shapes, threads: context.threads)
    {
      (found, input) = (direct, .plain)
    }
    guard var found else { return nil }
    convolution = found
    layouts = ([input] + (residual.map { [$0] } ?? []), output)
    packed = try AlignedBuffer(byteCount: lk_blocked_conv_packed_bytes(&found))
    scratchBytes = lk_blocked_conv_scratch_bytes(&found)
    lk_blocked_conv_pack(
      context.pool?.handle, &found, parameters[0].view.floats,
      parameters.count > 1 ? parameters[1].view.floats : nil,
      packed.baseAddress)
  }

  func followed(by next: any PreparedLayer) -> (any PreparedLayer)? {
    (next as? BlockedConvolution).flatMap { SeparableConvolution(self, $0) }
  }

  func run(_ call: ForwardCall) throws {
    guard let scratch = call.scratch.baseAddress else { return }
    withUnsafePointer(to: convolution) { convolution in
      lk_blocked_conv_run(
        call.pool.handle, convolution, call.inputs[0].floats, packed.baseAddress,
        call.inputs.count > 1 ? call.inputs[1].floats : nil, call.outputs[0].floats, scratch)
    }
  }
}

/// A depthwise convolution and the 1×1 convolution that reads it, piece by piece of the map.
struct SeparableConvolution: PreparedLayer {
  private let convolution: lk_separable_conv
  private let depthwise: BlockedConvolution
  private let pointwise: BlockedConvolution

  var inputLayouts: [TensorLayout]? {
    (depthwise.inputLayouts ?? []) + (pointwise.inputLayouts ?? []).dropFirst()
  }
  var outputLayouts: [TensorLayout]? { pointwise.outputLayouts }
  var packedBytes: Int { depthwise.packedBytes + pointwise.packedBytes }
  var scratchBytes: Int {
    withUnsafePointer(to: convolution) { lk_separable_conv_scratch_bytes($0) }
  }
  var summary: String { "depthwise, " + pointwise.summary }

  /// nil when the two are not such a pair.
  init?(_ depthwise: BlockedConvolution, _ pointwise: BlockedConvolution) {
    guard depthwise.inputLayouts?.count == 1 else { return nil }
    var convolution = lk_separable_conv()
    var (first, second) = (depthwise.convolution, pointwise.convolution)
    guard lk_make_separable_conv(&convolution, &first, &second) else { return nil }
    self.convolution = convolution
    self.depthwise = depthwise
    self.pointwise = pointwise
  }

  func run(_ call: ForwardCall) throws {
    guard let scratch = call.scratch.baseAddress else { return }
    withUnsafePointer(to: convolution) { convolution in
      lk_separable_conv_run(
        call.pool.handle, convolution, call.inputs[0].floats, depthwise.packed.baseAddress,
        pointwise.packed.baseAddress, call.inputs.count > 1 ? call.inputs[1].floats : nil,
        call.outputs[0].floats, scratch)
    }
  }
}

extension Convolution {
  /// The halo that the input should come in; the residual's does not matter.
  func inputHalos(for inputs: [TensorSpec]) -> [Int] {
    let halo = (try? plan(for: inputs[0]))?.halo ?? 0
    return inputs.indices.map { $0 == 0 ? halo : 0 }
  }

  /// Packs the weight into scratch memory and convolves.
  func forward(_ call: ForwardCall, activation: lk_activation = lk_activation()) throws {
    let input = call.inputs[0]
    let plan = try plan(for: TensorSpec(input.shape, input.type), activation: activation)
    guard let packed = call.scratch.baseAddress else { return }
    plan.pack(call.parameters[0].floats, to: packed)
    plan.run(
      pool: call.pool, input: input.floats, packed: packed,
      bias: hasBias ? call.parameters[1].floats : nil,
      residual: call.inputs.count > 1 ? call.inputs[1].floats : nil,
      output: call.outputs[0].floats, scratch: packed + plan.packedBytes)
  }

  /// Bytes that `forward` wants.
  func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let input = inputs.first, let plan = try? plan(for: input) else { return 0 }
    return plan.packedBytes + plan.scratchBytes(threads: threads)
  }

  /// The products of the gradients of an input [batch, channels, spatial…].
  private func products(for input: Shape) throws -> PatchProducts {
    let extents = Array(input.dimensions[2...])
    let (begins, output) = try window.resolve(extents)
    return PatchProducts(
      patches: Patches(window: window, begins: begins, picture: extents, positions: output),
      batch: input[0], groups: groups, filters: outChannels / groups, channels: input[1] / groups)
  }

  /// Bytes that `backward` wants: those of the products, and of the output's gradient where an activation
  /// changes it.
  func backwardScratchBytes(
    for inputs: [TensorSpec], threads: Int, activation: FusedActivation? = nil
  ) -> Int {
    guard let input = inputs.first, let products = try? products(for: input.shape) else { return 0 }
    let bytes = products.scratchBytes(threads: threads)
    guard activation?.kernel.kind == LK_ACTIVATION_CLAMP, let output = try? output(for: input)
    else {
      return bytes
    }
    let (total, overflow) = bytes.addingReportingOverflow(output.byteCount + 63)
    return overflow ? Int.max / 4 : min(total, Int.max / 4)
  }

  /// The gradients by input, weight, bias and residual. The activation's is 1 strictly between its bounds,
  /// where the output tells.
  func backward(_ call: BackwardCall, activation: FusedActivation? = nil) throws {
    guard let output = call.outputGradients[0], output.shape.count > 0,
      var scratch = call.scratch.baseAddress
    else { return }
    var gradient = output.floats
    if let activation, activation.kernel.kind == LK_ACTIVATION_CLAMP, let values = call.outputs[0] {
      let masked = scratch.assumingMemoryBound(to: Float.self)
      activation.differentiate(gradient, at: values, into: masked, pool: call.pool)
      gradient = UnsafePointer(masked)
      scratch += (output.byteCount + 63) & ~63
    }
    if call.inputGradients.count > 1, let residual = call.inputGradients[1]?.floats {
      for index in 0..<output.shape.count { residual[index] += gradient[index] }
    }
    if hasBias, let bias = call.parameterGradients[1] {
      PatchProducts.addSums(
        of: gradient, batch: output.shape[0], channels: outChannels,
        count: output.shape.count(from: 2),
        to: bias.floats, pool: call.pool)
    }
    guard let shape = call.inputGradients[0]?.shape ?? call.inputs[0]?.shape else { return }
    let products = try products(for: shape)
    if let wide = call.inputGradients[0] {
      products.scatter(
        weight: call.parameters[0].floats, narrow: gradient, wideSum: wide.floats, pool: call.pool,
        scratch: scratch)
    }
    if let weight = call.parameterGradients[0], let wide = call.inputs[0] {
      products.gather(
        wide: wide.floats, narrow: gradient, weightSum: weight.floats, weight: nil, narrowSum: nil,
        pool: call.pool, scratch: scratch)
    }
  }

  /// The fast path of training.
  func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    guard context.inputs[0].shape.count > 0, context.outputs[0].shape.count > 0 else { return nil }
    let plan = try plan(for: context.inputs[0], allowsWinograd: !context.isStrict)
    return PlanarConvolutionTraining(plan, context, hasBias: hasBias)
      ?? ConvolutionTraining(plan, context, hasBias: hasBias)
  }

  /// The fast path, when the weight is constant.
  func prepare(_ context: PrepareContext, activation: lk_activation = lk_activation()) throws
    -> (any PreparedLayer)?
  {
    guard let weight = context.parameters.first?.value, let input = context.inputs.first else {
      return nil
    }
    let plan = try plan(for: input, activation: activation, allowsWinograd: !context.isStrict)
    return try BlockedConvolution(plan, context)
      ?? PreparedConvolution(plan, weight: weight, hasBias: hasBias, threads: context.threads)
  }
}
