import LaminaCore
import LaminaKernels

/// The first input and the first output of a layer as equal maps in blocks of channels.
struct BlockedMaps: Sendable {
  let input: TensorLayout
  let output: TensorLayout
  let kernel: lk_blocked_maps
  /// Channels in a block.
  let channels: Int

  /// nil where the input comes otherwise.
  init?(_ context: PrepareContext) {
    self.init(context.inputs[0].shape, context.inputLayouts[0], context.outputHalos[0])
  }

  /// The same.
  init?(_ context: TrainingContext) {
    self.init(context.inputs[0].shape, context.inputLayouts[0], context.outputHalos[0])
  }

  private init?(_ shape: Shape, _ layout: TensorLayout, _ outputHalo: Int) {
    channels = lk_block_channels(lk_active_isa())
    guard case .blocked(channels, let halo) = layout else { return nil }
    input = layout
    output = .blocked(channels: channels, halo: outputHalo)
    kernel = lk_blocked_maps(
      batch: shape[0], channels: shape[1], height: shape[2], width: shape[3], in_halo: halo,
      out_halo: outputHalo)
  }
}

/// A kernel from one map in blocks of channels to another.
struct PreparedBlockedMaps: PreparedLayer {
  private let maps: BlockedMaps
  private let body: @Sendable (ForwardCall, UnsafePointer<lk_blocked_maps>) -> Void

  var inputLayouts: [TensorLayout]? { [maps.input] }
  var outputLayouts: [TensorLayout]? { [maps.output] }
  var scratchBytes: Int { 0 }

  init(
    _ maps: BlockedMaps,
    body: @escaping @Sendable (ForwardCall, UnsafePointer<lk_blocked_maps>) -> Void
  ) {
    (self.maps, self.body) = (maps, body)
  }

  func run(_ call: ForwardCall) throws {
    withUnsafePointer(to: maps.kernel) { body(call, $0) }
  }
}
