/// The stable name of a layer in graph files: `lamina.conv2d`, `com.example.mish`.
public struct LayerKind: Sendable, Hashable, Comparable, ExpressibleByStringLiteral,
  CustomStringConvertible
{
  /// The name.
  public let name: String

  /// A kind by its name.
  public init(_ name: String) { self.name = name }
  /// A kind by its name.
  public init(stringLiteral value: String) { name = value }
  /// The name.
  public var description: String { name }
  /// By name.
  public static func < (a: LayerKind, b: LayerKind) -> Bool { a.name < b.name }
}

/// An operation of the graph: an immutable description without parameters or state.
///
/// Parameters belong to the model, activations to the session; one instance may run on many threads at
/// once. Only `kind`, `init`, `encode` and `forward` are required of a layer without parameters whose output
/// has its first input's shape.
public protocol Layer: Sendable {
  /// Stable name in graph files.
  static var kind: LayerKind { get }
  /// Rises when the meaning of the attributes or of the result changes. Default 1.
  static var version: Int { get }
  /// How many inputs it takes. Default 1...1.
  static var arity: ClosedRange<Int> { get }
  /// Whether the first output may live in the first input's memory. Default `.separate`.
  static var outputMemory: OutputMemory { get }
  /// `.unsupported`, or which forward values `backward` reads. Default `.unsupported`.
  static var gradient: Gradient { get }
  /// Whether a pass while training draws random numbers, so that it differs from one for inference: dropout.
  /// Default false.
  static var isRandom: Bool { get }

  /// Reads every attribute it knows; the registry rejects what stays unread, with the nearest known name.
  init(attributes: inout AttributeReader) throws
  /// Writes the attributes that make the same layer again.
  func encode(into attributes: inout AttributeWriter)

  /// Number of outputs. Default 1.
  var outputCount: Int { get }
  /// Name, shape, role and initialiser of what it needs from the model. Default none.
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec]
  /// Output specs, or an error that states what was expected and what came. Default: the first input's.
  ///
  /// An output whose value follows from specs and known input values alone carries it in `value`; the plan
  /// then never runs the node. Element counts of valid shapes never overflow; sums of attributes may.
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec]
  /// Bytes of scratch memory `forward` wants. Default 0.
  func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int
  /// Multiply-add operations of one forward pass, counted as direct evaluation. Default 0.
  func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int
  /// The spatial window it slides over its input; nil for layers that see one position. For receptive fields.
  var window: Window? { get }

  /// The halo, in pixels, in which each input would best come when the outputs are wanted in
  /// `outputHalos`, should they come in blocks of channels. Default 0.
  func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int]) -> [Int]

  /// Whether the images of a batch do not touch each other: element n of the outputs' first axis depends
  /// on elements n of the inputs' first axes alone. A plan may then run part of a batch at a time. Default
  /// false.
  func isBatchwise(for inputs: [TensorSpec]) -> Bool

  /// Plain NCHW in, plain NCHW out. Writes every element of every output.
  func forward(_ call: ForwardCall) throws
  /// Bytes that a training forward pass leaves for `backward`: statistics of a batch, places of maxima.
  /// Default 0.
  func savedBytes(for inputs: [TensorSpec]) -> Int
  /// Adds into the non-nil gradients.
  func backward(_ call: BackwardCall) throws
  /// Bytes of scratch memory `backward` wants. Default 0.
  func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int
  /// The fast path: packs weights once, declares the layouts it likes, returns kernels to run.
  /// nil: the plan calls `forward` on plain NCHW. Default nil.
  func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)?
  /// The fast path of training, with parameters that change at every step. nil: the plan calls `forward` and
  /// `backward` on plain NCHW. Default nil.
  func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)?
}

extension Layer {
  /// 1.
  public static var version: Int { 1 }
  /// One input.
  public static var arity: ClosedRange<Int> { 1...1 }
  /// Separate memory.
  public static var outputMemory: OutputMemory { .separate }
  /// No backward pass.
  public static var gradient: Gradient { .unsupported }
  /// The same in both.
  public static var isRandom: Bool { false }
  /// One output.
  public var outputCount: Int { 1 }
  /// None.
  public func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] { [] }
  /// The first input's shape and type.
  public func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    guard let first = inputs.first else { return [] }
    return [TensorSpec(first.shape, first.type)]
  }
  /// None.
  public func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int { 0 }
  /// Not counted.
  public func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int { 0 }
  /// One position.
  public var window: Window? { nil }
  /// None.
  public func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { inputs.map { _ in 0 } }
  /// Unknown.
  public func isBatchwise(for inputs: [TensorSpec]) -> Bool { false }
  /// None.
  public func savedBytes(for inputs: [TensorSpec]) -> Int { 0 }
  /// None.
  public func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int { 0 }
  /// Throws `unsupported`.
  public func backward(_ call: BackwardCall) throws {
    throw LaminaError(.unsupported, "\(Self.kind) has no backward pass")
  }
  /// No fast path.
  public func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? { nil }
  /// No fast path.
  public func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? { nil }
}

/// Where a layer's first output may live.
public enum OutputMemory: Sendable, Hashable {
  /// In memory of its own.
  case separate
  /// In the first input's memory, when nothing else reads that input later: `forward` may then be called
  /// with equal addresses. Shapes and types must be equal.
  case mayOverwriteInput
  /// The output is the first input's bytes under another shape: never run, never copied. In training this
  /// does not hold for a layer that `isRandom`.
  case aliasesInput
}

/// The role of a parameter.
public enum ParameterRole: String, Sendable, CaseIterable {
  /// Learned by gradient descent.
  case weight
  /// Kept up to date by the layer, such as running statistics; constants of imported graphs.
  case buffer
}

/// How a parameter starts.
public enum Initializer: Sendable, Hashable {
  case zeros
  case ones
  /// Every element this number.
  case constant(Float)
  /// N(0, deviation²).
  case normal(deviation: Float)
  /// U(−bound, bound).
  case uniform(bound: Float)
  /// He et al. 2015: N(0, 2 / fan), over the input or the output side.
  case heNormal(fanOut: Bool)
  /// He et al. 2015: U(−√(6/fan), √(6/fan)), over the input or the output side.
  case heUniform(fanOut: Bool)
  /// LeCun et al. 1998: N(0, 1 / fanIn).
  case leCunNormal
  /// LeCun et al. 1998: U(−√(3/fanIn), √(3/fanIn)).
  case leCunUniform
  /// Glorot and Bengio 2010: N(0, 2 / (fanIn + fanOut)).
  case glorotNormal
  /// Glorot and Bengio 2010: U(−√(6/(fanIn+fanOut)), √(6/(fanIn+fanOut))).
  case glorotUniform
}

/// What a layer needs from the model.
public struct ParameterSpec: Sendable {
  /// Name within the node: `weight`, `bias`, `running_mean`.
  public var name: String
  /// Shape and element type.
  public var spec: TensorSpec
  /// Weight or buffer.
  public var role: ParameterRole
  /// How it starts.
  public var initializer: Initializer

  /// A parameter.
  public init(
    _ name: String, _ shape: Shape, type: ElementType = .float32, role: ParameterRole = .weight,
    initializer: Initializer
  ) {
    self.name = name
    spec = TensorSpec(shape, type)
    self.role = role
    self.initializer = initializer
  }
}

/// Which forward values a backward pass reads; the planner frees the rest.
public enum Gradient: Sendable, Hashable {
  /// No backward pass.
  case unsupported
  /// Reads what is named.
  case supported(inputs: Bool, outputs: Bool)
}

/// One forward pass of one layer.
public struct ForwardCall {
  /// Inputs in order.
  public var inputs: [TensorView]
  /// Parameters in the order of `parameters(for:)`.
  public var parameters: [TensorView]
  /// Outputs, to be written whole.
  public var outputs: [MutableTensorView]
  /// At least `scratchBytes`, aligned to 64, content undefined.
  public var scratch: UnsafeMutableRawBufferPointer
  /// Threads to run on.
  public var pool: ThreadPool
  /// Whether the layer trains: batch statistics, dropout.
  public var isTraining: Bool
  /// Key of the random numbers of this node in this step.
  public var seed: UInt64
  /// `savedBytes` for the backward pass, aligned to 64; empty when none will follow.
  public var saved: UnsafeMutableRawBufferPointer
  /// Where a training pass writes the new values of its buffers, in the order of `parameters`; nil for
  /// weights. Empty when the buffers stay as they are.
  public var bufferUpdates: [MutableTensorView?]

  /// A call.
  public init(
    inputs: [TensorView], parameters: [TensorView], outputs: [MutableTensorView],
    scratch: UnsafeMutableRawBufferPointer, pool: ThreadPool, isTraining: Bool = false,
    seed: UInt64 = 0,
    saved: UnsafeMutableRawBufferPointer = UnsafeMutableRawBufferPointer(start: nil, count: 0),
    bufferUpdates: [MutableTensorView?] = []
  ) {
    self.inputs = inputs
    self.parameters = parameters
    self.outputs = outputs
    self.scratch = scratch
    self.pool = pool
    self.isTraining = isTraining
    self.seed = seed
    self.saved = saved
    self.bufferUpdates = bufferUpdates
  }
}

/// One backward pass of one layer. Values that `gradient` does not name are nil, and so are gradients that
/// nobody wants (frozen parameters, inputs below the freeze point).
public struct BackwardCall {
  /// Gradients of the loss by the outputs.
  public var outputGradients: [TensorView?]
  /// Forward inputs.
  public var inputs: [TensorView?]
  /// Forward outputs.
  public var outputs: [TensorView?]
  /// Parameters.
  public var parameters: [TensorView]
  /// To add into.
  public var inputGradients: [MutableTensorView?]
  /// To add into.
  public var parameterGradients: [MutableTensorView?]
  /// For prepared training alone: whether the memory of each input gradient holds nothing yet and is to be
  /// written whole, not added into. Empty: none.
  public var setsInputGradients: [Bool]
  /// The same for the gradients of the parameters.
  public var setsParameterGradients: [Bool]
  /// What the forward pass saved.
  public var saved: UnsafeMutableRawBufferPointer
  /// At least `backwardScratchBytes`, aligned to 64, content undefined.
  public var scratch: UnsafeMutableRawBufferPointer
  /// Threads to run on.
  public var pool: ThreadPool
  /// As in the forward pass: false for a layer whose statistics are frozen.
  public var isTraining: Bool
  /// As in the forward pass.
  public var seed: UInt64

  /// A call.
  public init(
    outputGradients: [TensorView?], inputs: [TensorView?], outputs: [TensorView?],
    parameters: [TensorView], inputGradients: [MutableTensorView?],
    parameterGradients: [MutableTensorView?], setsInputGradients: [Bool] = [],
    setsParameterGradients: [Bool] = [],
    saved: UnsafeMutableRawBufferPointer = UnsafeMutableRawBufferPointer(start: nil, count: 0),
    scratch: UnsafeMutableRawBufferPointer, pool: ThreadPool, isTraining: Bool = true,
    seed: UInt64 = 0
  ) {
    self.outputGradients = outputGradients
    self.inputs = inputs
    self.outputs = outputs
    self.parameters = parameters
    self.inputGradients = inputGradients
    self.parameterGradients = parameterGradients
    self.setsInputGradients = setsInputGradients
    self.setsParameterGradients = setsParameterGradients
    self.saved = saved
    self.scratch = scratch
    self.pool = pool
    self.isTraining = isTraining
    self.seed = seed
  }
}
