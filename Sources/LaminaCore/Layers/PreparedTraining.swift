/// What a layer may know when it prepares its training.
public struct TrainingContext: Sendable {
  /// Inputs.
  public var inputs: [TensorSpec]
  /// Outputs.
  public var outputs: [TensorSpec]
  /// Parameters in the order of `parameters(for:)`.
  public var parameters: [TensorSpec]
  /// The layout in which each input would come without a conversion.
  public var inputLayouts: [TensorLayout]
  /// The halo in which consumers would like each output to come, should it come in blocks of channels.
  public var outputHalos: [Int]
  /// Whether the gradient of each input is wanted.
  public var wantsInputGradients: [Bool]
  /// Whether the gradient of each parameter is wanted.
  public var wantsParameterGradients: [Bool]
  /// Whether the layer trains: batch statistics, dropout.
  public var isTraining: Bool
  /// Threads of the plan.
  public var threads: Int
  /// Whether results must be those of direct evaluation, without faster algorithms of lower accuracy.
  public var isStrict: Bool

  /// A context.
  public init(
    inputs: [TensorSpec], outputs: [TensorSpec], parameters: [TensorSpec],
    inputLayouts: [TensorLayout]? = nil, outputHalos: [Int]? = nil,
    wantsInputGradients: [Bool]? = nil, wantsParameterGradients: [Bool]? = nil,
    isTraining: Bool = true, threads: Int = 1, isStrict: Bool = false
  ) {
    self.inputs = inputs
    self.outputs = outputs
    self.parameters = parameters
    self.inputLayouts = inputLayouts ?? inputs.map { _ in .plain }
    self.outputHalos = outputHalos ?? outputs.map { _ in 0 }
    self.wantsInputGradients = wantsInputGradients ?? inputs.map { _ in true }
    self.wantsParameterGradients = wantsParameterGradients ?? parameters.map { _ in true }
    self.isTraining = isTraining
    self.threads = threads
    self.isStrict = isStrict
  }
}

/// A layer made ready to train with given shapes. Immutable: it serves many sessions at once.
///
/// A gradient lies in the layout of its value, its halo zeros. `BackwardCall.setsInputGradients` and
/// `setsParameterGradients` tell which gradients are to be written whole and which to be added into.
public protocol PreparedTraining: Sendable {
  /// The layouts of the inputs and their gradients. Default: plain.
  var inputLayouts: [TensorLayout]? { get }
  /// The layouts of the outputs and their gradients. Default: plain.
  var outputLayouts: [TensorLayout]? { get }
  /// Which forward values `backward` reads.
  var gradient: Gradient { get }
  /// Bytes that `forward` leaves for `backward`. Default 0.
  var savedBytes: Int { get }
  /// Bytes of scratch memory of either pass.
  var scratchBytes: Int { get }
  /// What runs, for people. Default empty.
  var summary: String { get }
  /// This and `next`, which alone reads the one output of this and has no other inputs and no parameters, as one:
  /// its inputs and parameters are those of this. nil: they stay two. Default nil.
  func followed(by next: any PreparedTraining) -> (any PreparedTraining)?
  /// The forward pass.
  func forward(_ call: ForwardCall) throws
  /// The backward pass. It may overwrite the output gradients: nobody reads them afterwards.
  func backward(_ call: BackwardCall) throws
}

extension PreparedTraining {
  /// Plain.
  public var inputLayouts: [TensorLayout]? { nil }
  /// Plain.
  public var outputLayouts: [TensorLayout]? { nil }
  /// None.
  public var savedBytes: Int { 0 }
  /// They stay two.
  public func followed(by next: any PreparedTraining) -> (any PreparedTraining)? { nil }
  /// Nothing to say.
  public var summary: String { "" }
}
