import LaminaCore
import LaminaKernels

/// A convolution that learns, of maps in blocks of channels: its weight is packed anew in each pass.
struct ConvolutionTraining: PreparedTraining {
  private var convolution: lk_blocked_conv
  private let inputGradient: lk_input_gradient?
  private let hasBias: Bool
  private let readsInput: Bool
  private let layouts: (input: TensorLayout, output: TensorLayout)
  /// Floats of the output, its halo included.
  private let outputCount: Int
  /// What bounds the results.
  private var clamp: ElementwiseFunction?

  var inputLayouts: [TensorLayout]? { [layouts.input] }
  var outputLayouts: [TensorLayout]? { [layouts.output] }
  var gradient: Gradient { .supported(inputs: readsInput, outputs: clamp != nil) }

  /// nil when blocks of channels do not suit the convolution.
  init?(_ plan: ConvolutionPlan, _ context: TrainingContext, hasBias: Bool) {
    guard context.inputs[0].shape.rank == 4, let halo = plan.halo, let needed = plan.gradientHalo
    else { return nil }
    let wantsInput = context.wantsInputGradients[0]
    let channels = lk_block_channels(lk_active_isa())
    let shapes = [context.inputs[0].shape, context.outputs[0].shape]
    /// The convolution and its gradient between maps in the given layouts.
    func make(
      _ input: TensorLayout, _ output: TensorLayout
    ) -> (lk_blocked_conv, lk_input_gradient?)? {
      guard
        var found = plan.blocked(
          from: input, to: output, residual: nil, shapes, threads: context.threads)
      else { return nil }
      guard wantsInput else { return (found, nil) }
      var gradient = lk_input_gradient()
      return lk_make_input_gradient(&gradient, &found) ? (found, gradient) : nil
    }
    var (input, output) = (
      TensorLayout.plain,
      TensorLayout.blocked(channels: channels, halo: context.outputHalos[0])
    )
    var made = context.inputLayouts[0] == .plain ? make(input, output) : nil
    if made == nil {
      input = .blocked(channels: channels, halo: halo)
      if case .blocked(channels, halo...) = context.inputLayouts[0] {
        input = context.inputLayouts[0]
      }
      if wantsInput {
        output = .blocked(channels: channels, halo: max(context.outputHalos[0], needed))
      }
      made = make(input, output)
    }
    guard let (found, gradient) = made else { return nil }
    convolution = found
    inputGradient = gradient
    self.hasBias = hasBias
    readsInput = context.wantsParameterGradients[0]
    layouts = (input, output)
    outputCount = output.byteCount(context.outputs[0]) / 4
  }

  /// With a clamp.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)? {
    guard clamp == nil, let next = next.clamp(in: outputLayouts) else { return nil }
    var fused = self
    fused.clamp = next.function
    fused.convolution.conv.activation = next.activation
    return fused
  }

  var summary: String {
    withUnsafePointer(to: convolution) { String(cString: lk_blocked_conv_algorithm($0)) } + " "
      + String(cString: lk_isa_name(convolution.isa)) + (clamp == nil ? "" : ", clamp")
  }

  private var packedBytes: Int {
    withUnsafePointer(to: convolution) { lk_blocked_conv_packed_bytes($0) }
  }

  var scratchBytes: Int {
    var bytes = withUnsafePointer(to: convolution) { convolution in
      max(
        lk_blocked_conv_packed_bytes(convolution) + lk_blocked_conv_scratch_bytes(convolution),
        readsInput ? lk_weight_gradient_scratch_bytes(convolution) : 0)
    }
    if var gradient = inputGradient {
      bytes = max(
        bytes,
        lk_input_gradient_packed_bytes(&gradient) + lk_input_gradient_scratch_bytes(&gradient))
    }
    return bytes
  }

  func forward(_ call: ForwardCall) throws {
    guard let packed = call.scratch.baseAddress else { return }
    withUnsafePointer(to: convolution) { convolution in
      lk_blocked_conv_repack(
        call.pool.handle, convolution, call.parameters[0].floats,
        hasBias ? call.parameters[1].floats : nil, false, packed)
      lk_blocked_conv_run(
        call.pool.handle, convolution, call.inputs[0].floats, packed, nil,
        call.outputs[0].floats, packed + packedBytes)
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let output = call.outputGradients[0]?.floats, let scratch = call.scratch.baseAddress
    else { return }
    let pool = call.pool.handle
    if let y = call.outputs[0]?.floats { clamp?.mask(output, at: y, outputCount, call.pool) }
    withUnsafePointer(to: convolution) { convolution in
      if let weight = call.parameterGradients[0], let input = call.inputs[0] {
        lk_weight_gradient_run(
          pool, convolution, input.floats, output, !call.setsParameterGradient(0),
          weight.floats, scratch)
      }
      if hasBias, let bias = call.parameterGradients[1] {
        lk_bias_gradient_run(
          pool, convolution, output, !call.setsParameterGradient(1), bias.floats)
      }
    }
    guard let input = call.inputGradients[0], var gradient = inputGradient else { return }
    lk_input_gradient_pack(pool, &gradient, call.parameters[0].floats, scratch)
    lk_input_gradient_run(
      pool, &gradient, output, scratch, !call.setsInputGradient(0), input.floats,
      scratch + lk_input_gradient_packed_bytes(&gradient))
  }
}
