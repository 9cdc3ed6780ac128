import LaminaKernels

/// How a feature map lies in memory.
public enum TensorLayout: Sendable, Hashable {
  /// Row-major in the order of the axes: NCHW.
  case plain
  /// In blocks of channels, `[⌈C/channels⌉, N, H + 2·halo, W + 2·halo, channels]`, with a halo of zeros
  /// around each map; missing channels of the last block are zeros. Blocks come before the batch, so that
  /// channels from a whole block on lie in one piece, and the pixels of a block too.
  case blocked(channels: Int, halo: Int)

  /// Bytes of a tensor in this layout.
  public func byteCount(_ spec: TensorSpec) -> Int {
    switch self {
    case .plain: return spec.byteCount
    case .blocked(let channels, let halo):
      let shape = spec.shape
      guard shape.rank == 4 else { return spec.byteCount }
      let blocks = (shape[1] + channels - 1) / channels
      return shape[0] * blocks * (shape[2] + 2 * halo) * (shape[3] + 2 * halo) * channels
        * spec.type.byteCount
    }
  }

  /// Whether a feature map's bytes in this layout are its bytes in `other` too, perhaps with more behind.
  func holds(_ other: TensorLayout, _ spec: TensorSpec) -> Bool {
    if self == other { return true }
    guard spec.shape.rank == 4, spec.shape[0] == 1, spec.shape[2] == 1, spec.shape[3] == 1 else {
      return false
    }
    for case .blocked(_, let halo) in [self, other] where halo > 0 { return false }
    return byteCount(spec) >= other.byteCount(spec)
  }

  /// Where the pixels of a feature map [N, C, H, W] lie.
  package func map(_ shape: Shape) -> lk_map {
    var map = lk_map(channels: 1, halo: 0, block: 0, image: 0, row: 0)
    if case .blocked(let channels, let halo) = self { (map.channels, map.halo) = (channels, halo) }
    map.row = (shape[3] + 2 * map.halo) * map.channels
    let plane = (shape[2] + 2 * map.halo) * map.row
    map.image = self == .plain ? shape[1] * plane : plane
    map.block = self == .plain ? plane : shape[0] * plane
    return map
  }
}

extension TensorLayout: CustomStringConvertible {
  /// `NCHW`, or `NCHWc16+1` for blocks of 16 with a halo of 1.
  public var description: String {
    switch self {
    case .plain: "NCHW"
    case .blocked(let channels, let halo): "NCHWc\(channels)" + (halo > 0 ? "+\(halo)" : "")
    }
  }
}

/// What a layer may know when it prepares its fast path.
public struct PrepareContext: Sendable {
  /// Inputs, with known values where they are constant.
  public var inputs: [TensorSpec]
  /// Outputs.
  public var outputs: [TensorSpec]
  /// Parameters in the order of `parameters(for:)`; `value` is nil for one that is computed at run time.
  public var parameters: [TensorSpec]
  /// The layout in which each input would come without a conversion.
  public var inputLayouts: [TensorLayout]
  /// The halo in which consumers would like each output to come, should it come in blocks of channels.
  public var outputHalos: [Int]
  /// The threads that the plan will run on, here to pack weights with; nil for the caller's alone.
  public var pool: ThreadPool?
  /// Whether results must be those of direct evaluation, without faster algorithms of lower accuracy.
  public var isStrict: Bool

  /// A context.
  public init(
    inputs: [TensorSpec], outputs: [TensorSpec], parameters: [TensorSpec],
    inputLayouts: [TensorLayout]? = nil, outputHalos: [Int]? = nil, pool: ThreadPool? = nil,
    isStrict: Bool = false
  ) {
    self.inputs = inputs
    self.outputs = outputs
    self.parameters = parameters
    self.inputLayouts = inputLayouts ?? inputs.map { _ in .plain }
    self.outputHalos = outputHalos ?? outputs.map { _ in 0 }
    self.pool = pool
    self.isStrict = isStrict
  }

  /// How many threads the plan will run on.
  public var threads: Int { pool?.threadCount ?? 1 }

  /// The constant values of all parameters, or nil when one is computed at run time.
  public var constantParameters: [Tensor]? {
    let values = parameters.compactMap(\.value)
    return values.count == parameters.count ? values : nil
  }
}

/// A layer made ready for given shapes and constant parameters. Immutable: it serves many sessions at once.
///
/// The plan converts inputs that come in another layout, and allocates outputs in the layout declared here.
public protocol PreparedLayer: Sendable {
  /// The layouts in which `run` wants its inputs. Default: plain.
  var inputLayouts: [TensorLayout]? { get }
  /// The layouts in which `run` writes its outputs. Default: plain.
  var outputLayouts: [TensorLayout]? { get }
  /// Bytes of scratch memory.
  var scratchBytes: Int { get }
  /// Bytes of packed weights it holds, for reports. Default 0.
  var packedBytes: Int { get }
  /// Whether the one output is the bytes of the inputs one behind the other. The plan may then have their
  /// producers write into the output, and not run this. Default false.
  var joinsInputs: Bool { get }
  /// This and `next`, which alone reads the one output of this as its first input, as one: its inputs are
  /// those of this, then the others of `next`; its outputs are those of `next`. nil: they stay two. Default
  /// nil.
  func followed(by next: any PreparedLayer) -> (any PreparedLayer)?
  /// What runs, for `explain()`: `gemm avx512 14×32`. Default empty.
  var summary: String { get }
  /// Runs. Views give the tensor's shape; the memory behind them has the declared layouts.
  func run(_ call: ForwardCall) throws
}

extension PreparedLayer {
  /// Plain.
  public var inputLayouts: [TensorLayout]? { nil }
  /// Plain.
  public var outputLayouts: [TensorLayout]? { nil }
  /// None.
  public var packedBytes: Int { 0 }
  /// Something else.
  public var joinsInputs: Bool { false }
  /// They stay two.
  public func followed(by next: any PreparedLayer) -> (any PreparedLayer)? { nil }
  /// Nothing to say.
  public var summary: String { "" }
}
