import LaminaCore
import LaminaKernels

/// A dense layer that learns, and perhaps the clamp behind it.
struct DenseTraining: PreparedTraining {
  private let layer: Dense
  private let readsInput: Bool
  /// What bounds the results.
  private var clamp: ElementwiseFunction?
  private var activation = lk_activation()
  let scratchBytes: Int

  /// nil when there is nothing to compute.
  init?(_ layer: Dense, _ context: TrainingContext) {
    guard context.inputs[0].shape.count > 0 else { return nil }
    self.layer = layer
    readsInput = context.wantsParameterGradients[0]
    scratchBytes = max(
      layer.scratchBytes(for: context.inputs, threads: context.threads),
      layer.backwardScratchBytes(for: context.inputs, threads: context.threads))
  }

  /// With a clamp.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)? {
    guard clamp == nil, let next = next.clamp(in: [.plain]) else { return nil }
    var fused = self
    (fused.clamp, fused.activation) = (next.function, next.activation)
    return fused
  }

  var gradient: Gradient { .supported(inputs: readsInput, outputs: clamp != nil) }

  var summary: String {
    "gemm " + String(cString: lk_isa_name(lk_active_isa())) + (clamp == nil ? "" : ", clamp")
  }

  func forward(_ call: ForwardCall) throws { layer.run(call, activation) }

  func backward(_ call: BackwardCall) throws {
    if let output = call.outputGradients[0], let y = call.outputs[0] {
      clamp?.mask(output.floats, at: y.floats, output.shape.count, call.pool)
    }
    try layer.backward(call)
  }
}
