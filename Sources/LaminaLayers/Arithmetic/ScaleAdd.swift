import LaminaCore
import LaminaKernels

/// y = activation(s·x + r): a map scaled channel by channel, plus a residual, as at the end of a squeeze-and-excitation
/// block (Hu et al. 2018).
///
/// Inputs: x [N, C, H, W], s [N, C, 1, 1], r [N, C, H, W], all `float32`. Output [N, C, H, W]. Attributes: those of
/// `FusedActivation`.
package struct ScaleAdd: Layer {
  package static let kind: LayerKind = "lamina.scale_add"
  package static let arity = 3...3
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: true) }
  private let activation: FusedActivation

  package init(attributes: inout AttributeReader) throws {
    activation = try FusedActivation(attributes: &attributes)
  }

  package func encode(into attributes: inout AttributeWriter) {
    activation.encode(into: &attributes)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let inputs = try inputs.map { try $0.expecting(.float32) }
    guard inputs[0].shape.rank == 4 else {
      throw LaminaError(.shape, "expected 4 axes, found \(inputs[0].shape)")
    }
    let scales = TensorSpec(try Self.scales(of: inputs[0].shape))
    guard inputs[1] == scales else {
      throw LaminaError(.shape, "expected scales of \(scales), found \(inputs[1])")
    }
    guard inputs[2] == inputs[0] else {
      throw LaminaError(.shape, "expected a residual of \(inputs[0]), found \(inputs[2])")
    }
    return [inputs[0]]
  }

  /// [N, C, 1, 1].
  static func scales(of map: Shape) throws -> Shape { try Shape([map[0], map[1], 1, 1]) }

  package func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0], call.outputs[0])
    Broadcast(x.shape, call.inputs[1].shape, to: y.shape)
      .run(LK_MUL, x.floats, call.inputs[1].floats, y.floats, call.pool)
    Broadcast(y.shape, y.shape, to: y.shape)
      .run(LK_ADD, UnsafePointer(y.floats), call.inputs[2].floats, y.floats, call.pool)
    activation.function?.run(y.shape.count, from: UnsafePointer(y.floats), to: y.floats, call.pool)
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    3 * inputs[0].byteCount
  }

  package func backward(_ call: BackwardCall) throws {
    guard var dy = call.outputGradients[0], let x = call.inputs[0], let scales = call.inputs[1],
      let y = call.outputs[0], let scratch = call.floats
    else { return }
    let count = dy.shape.count
    if let function = activation.function {
      lk_f32_unary_gradient(
        call.pool.handle, function.code, function.a, function.b, y.floats, dy.floats, scratch,
        false, count)
      dy = TensorView(dy.shape, .float32, UnsafeRawPointer(scratch))
    }
    let whole = BroadcastSum(x.shape, in: x.shape)
    Broadcast(x.shape, scales.shape, to: x.shape).addGradients(
      LK_MUL, x, scales, dy, Array(call.inputGradients.prefix(2)),
      sums: [whole, BroadcastSum(scales.shape, in: x.shape)], scratch: scratch + count, call.pool)
    if let residual = call.inputGradients[2] {
      whole.add(dy.floats, into: residual.floats, scratch: nil, call.pool)
    }
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { [outputHalos[0], 0, outputHalos[0]] }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    PreparedScaleAdd(activation, context)
  }
}

/// The sum in one pass over maps in blocks of channels.
struct PreparedScaleAdd: PreparedLayer {
  let activation: lk_activation
  let layout: TensorLayout
  let shape: Shape

  var inputLayouts: [TensorLayout]? { [layout, .plain, layout] }
  var outputLayouts: [TensorLayout]? { [layout] }
  var scratchBytes: Int { 0 }

  /// nil where no map comes in blocks, or the zeros around it would not stay zeros.
  init?(_ activation: FusedActivation, _ context: PrepareContext) {
    let layouts = [context.inputLayouts[0], context.inputLayouts[2]]
    guard let layout = layouts.first(where: { $0 != .plain }),
      case .blocked(lk_block_channels(lk_active_isa()), _) = layout,
      context.inputs.allSatisfy({ $0.value == nil }), activation.function?.keepsZero ?? true
    else { return nil }
    self.activation = activation.kernel
    self.layout = layout
    shape = context.outputs[0].shape
  }

  func run(_ call: ForwardCall) throws {
    var map = layout.map(shape)
    lk_f32_scale_map(
      call.pool.handle, shape[0], shape[1], &map, call.inputs[0].floats, call.inputs[1].floats,
      call.inputs[2].floats, activation, call.outputs[0].floats)
  }
}
