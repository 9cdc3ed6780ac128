import LaminaCore
import LaminaKernels

/// A first convolution of few channels that learns: from a plain map to a plain one.
struct PlanarConvolutionTraining: PreparedTraining {
  private var convolution: lk_planar_conv
  private let hasBias: Bool
  private let readsInput: Bool
  private let outputCount: Int
  let scratchBytes: Int
  /// What bounds the results.
  private var clamp: ElementwiseFunction?

  var inputLayouts: [TensorLayout]? { [.plain] }
  var outputLayouts: [TensorLayout]? { [.plain] }
  var gradient: Gradient { .supported(inputs: readsInput, outputs: clamp != nil) }
  var summary: String {
    "planar \(String(cString: lk_isa_name(convolution.isa)))\(clamp == nil ? "" : ", clamp")"
  }

  /// nil where blocks of channels are as good, or the input wants a gradient.
  init?(_ plan: ConvolutionPlan, _ context: TrainingContext, hasBias: Bool) {
    guard context.inputs[0].shape.rank == 4, context.inputLayouts[0] == .plain,
      !context.wantsInputGradients[0], var convolution = plan.planar
    else { return nil }
    let threads = Int32(clamping: context.threads)
    scratchBytes = max(
      lk_planar_conv_scratch_bytes(&convolution, threads),
      lk_planar_conv_gradient_scratch_bytes(&convolution, threads))
    self.convolution = convolution
    self.hasBias = hasBias
    readsInput = context.wantsParameterGradients[0]
    outputCount = context.outputs[0].shape.count
  }

  /// With a clamp.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)? {
    guard clamp == nil, let next = next.clamp(in: outputLayouts) else { return nil }
    var fused = self
    fused.clamp = next.function
    fused.convolution.conv.activation = next.activation
    return fused
  }

  func forward(_ call: ForwardCall) throws {
    guard let scratch = call.scratch.baseAddress else { return }
    withUnsafePointer(to: convolution) { convolution in
      lk_planar_conv_run(
        call.pool.handle, convolution, call.inputs[0].floats, call.parameters[0].floats,
        hasBias ? call.parameters[1].floats : nil, call.outputs[0].floats, scratch)
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let output = call.outputGradients[0]?.floats, let scratch = call.scratch.baseAddress
    else { return }
    if let y = call.outputs[0]?.floats { clamp?.mask(output, at: y, outputCount, call.pool) }
    let weight = call.parameterGradients[0]?.floats
    let bias = hasBias ? call.parameterGradients[1]?.floats : nil
    withUnsafePointer(to: convolution) { convolution in
      lk_planar_conv_gradient(
        call.pool.handle, convolution, call.inputs[0]?.floats, output,
        !call.setsParameterGradient(0), weight, !call.setsParameterGradient(1), bias, scratch)
    }
  }
}
