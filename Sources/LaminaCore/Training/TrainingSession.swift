#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif
import LaminaKernels

/// A parameter that training changes. Its memory belongs to one session; whoever runs that may read and write it
/// between steps.
public final class TrainedParameter: @unchecked Sendable {
  /// Name in the model: `layer1.0.conv1.weight`.
  public let key: String
  /// Weight or statistic.
  public let role: ParameterRole
  /// The number that the next step uses.
  public let value: Tensor
  /// Of a weight: the gradient of the loss of the last step. Of a statistic: its value behind the last step, which
  /// `TrainingSession.commitBuffers` takes over.
  public let update: Tensor

  init(_ key: String, _ role: ParameterRole, _ start: Tensor) throws {
    self.key = key
    self.role = role
    value = try Tensor(copying: start.view)
    update = role == .weight ? try Tensor(zeros: start.shape) : try Tensor(copying: start.view)
  }
}

/// A model while it learns, with the memory for it. One caller at a time.
///
/// Layers below everything that learns run as in inference and may be run ahead: `features(of:)`.
public final class TrainingSession {
  /// The model as it was before the first step.
  public let model: Model
  /// What is frozen, and how it runs.
  public let options: TrainingOptions
  /// The threads it runs on.
  public let pool: ThreadPool
  /// The weights that learn, in the order of the graph.
  public let weights: [TrainedParameter]
  /// The statistics that layers keep, in the order of the graph.
  public let buffers: [TrainedParameter]
  private let graph: Graph
  private let roles: TrainingRoles
  private var trunk: Session?
  private var executions: [TrainingExecution] = []
  /// Is called behind each step of a pass, those back included, with its place in `stepNames`.
  package var onStep: ((Int) -> Void)?

  /// Most shapes whose plans a session keeps: those of whole batches, and of the last one.
  static let cachedPlans = 3

  /// A session.
  ///
  /// - Throws: `unsupported` listing every layer on the way of a gradient that has none; `argument` when a pattern of
  ///   `options.frozen` matches nothing, or everything is frozen; `limit`.
  public init(model: Model, options: TrainingOptions = TrainingOptions(), pool: ThreadPool? = nil)
    throws
  {
    self.model = model
    self.options = options
    self.pool = pool ?? ThreadPool(threads: options.threads)
    var graph = model.graph
    graph.removeDeadNodes(keeping: graph.outputs.map(\.value))
    self.graph = graph
    roles = try TrainingRoles(graph, model, frozen: options.frozen)
    func parameter(_ key: String, _ role: ParameterRole) throws -> TrainedParameter {
      guard let tensor = model.parameters[key] else {
        throw LaminaError(.weights, "tensor '\(key.escapedForDisplay())' is missing")
      }
      return try TrainedParameter(key, role, tensor)
    }
    weights = try roles.weightKeys.map { try parameter($0, .weight) }
    buffers = try roles.bufferKeys.map { try parameter($0, .buffer) }
  }

  /// Whether layers run as in inference below everything that learns.
  public var hasTrunk: Bool { roles.isTrunk.contains(true) }

  /// What the frozen layers below everything that learns compute of `inputs`, as `step(features:)` takes it: the
  /// same for the same inputs at every step.
  public func features(of inputs: [TensorView]) throws -> [Tensor] {
    let execution = try execution(for: inputs.map { TensorSpec($0.shape, $0.type) })
    return try withFeatures(of: inputs, for: execution) { try $0.map { try Tensor(copying: $0) } }
  }

  /// One pass forward and back.
  ///
  /// - Parameters:
  ///   - seed: key of the step's random numbers.
  ///   - accumulating: whether gradients are added to those of the last step.
  ///   - loss: is given the outputs and writes the gradient of the loss by each of them, whole.
  /// - Returns: what `loss` returns.
  public func step<R>(
    _ inputs: [TensorView], seed: UInt64, accumulating: Bool = false,
    loss: (_ outputs: [TensorView], _ gradients: [MutableTensorView]) throws -> R
  ) throws -> R {
    let execution = try execution(for: inputs.map { TensorSpec($0.shape, $0.type) })
    return try withFeatures(of: inputs, for: execution) { features in
      try flushingDenormals {
        try execution.run(
          features, seed: seed, accumulating: accumulating, onStep: onStep, loss: loss)
      }
    }
  }

  /// The same from features that `features(of:)` gave for inputs of the shapes `inputs`.
  public func step<R>(
    features: [TensorView], of inputs: [TensorSpec], seed: UInt64, accumulating: Bool = false,
    loss: (_ outputs: [TensorView], _ gradients: [MutableTensorView]) throws -> R
  ) throws -> R {
    let execution = try execution(for: inputs)
    guard features.map({ TensorSpec($0.shape, $0.type) }) == execution.plan.features.map(\.spec)
    else {
      throw LaminaError(
        .shape,
        "expected features \(execution.plan.features.map(\.spec)), found \(features.map { TensorSpec($0.shape, $0.type) })"
      )
    }
    return try flushingDenormals {
      try execution.run(
        features, seed: seed, accumulating: accumulating, onStep: onStep, loss: loss)
    }
  }

  /// Takes over the statistics that layers wrote in the last step.
  public func commitBuffers() {
    for buffer in buffers {
      buffer.value.withMutableBytes { target in
        buffer.update.withBytes { target.copyMemory(from: $0) }
      }
    }
  }

  /// The model as it is now.
  public func makeModel() throws -> Model {
    var parameters = model.parameters
    for parameter in weights + buffers {
      parameters[parameter.key] = try Tensor(copying: parameter.value.view)
    }
    return try model.replacingParameters(parameters)
  }

  /// Bytes of activations and gradients of activations for inputs of given shapes.
  public func arenaByteCount(for inputs: [TensorSpec]) throws -> Int {
    try execution(for: inputs).plan.arenaByteCount
  }

  /// The steps of the plan for given input shapes, forward and back, for people.
  public func explain(_ inputs: [TensorSpec]) throws -> String {
    try execution(for: inputs).plan.explain()
  }

  /// The steps of a pass, forward and back, and the loss between them.
  package func stepNames(_ inputs: [TensorSpec]) throws -> [String] {
    try execution(for: inputs).plan.stepNames
  }

  private func execution(for inputs: [TensorSpec]) throws -> TrainingExecution {
    if let index = executions.firstIndex(where: { $0.inputs == inputs }) {
      if index > 0 { executions.insert(executions.remove(at: index), at: 0) }
      return executions[0]
    }
    try graph.checkInputs(inputs)
    var compiler = try TrainingCompiler(
      graph, inputs: inputs, roles: roles, options: options, threads: pool.threadCount)
    let execution = try TrainingExecution(
      TrainingPlan(&compiler), inputs: inputs, weights: weights, buffers: buffers, pool: pool)
    if executions.count == Self.cachedPlans { executions.removeLast() }
    executions.insert(execution, at: 0)
    return execution
  }

  private func withFeatures<R>(
    of inputs: [TensorView], for execution: TrainingExecution, _ body: ([TensorView]) throws -> R
  ) throws -> R {
    let names = execution.plan.features.map(\.name)
    let inputNames = graph.inputs.map(\.name)
    func feature(_ name: String, _ computed: [TensorView], _ computedNames: [String]) throws
      -> TensorView
    {
      if let index = inputNames.firstIndex(of: name) { return inputs[index] }
      guard let index = computedNames.firstIndex(of: name) else {
        throw LaminaError(.internal, "feature '\(name)' is not computed")
      }
      return computed[index]
    }
    let computed = names.filter { !inputNames.contains($0) }
    guard !computed.isEmpty else { return try body(names.map { try feature($0, [], []) }) }
    let session = try trunk ?? makeTrunk(computed)
    trunk = session
    return try session.withOutputs(of: inputs) { views in
      try body(names.map { try feature($0, views, computed) })
    }
  }

  private func makeTrunk(_ outputs: [String]) throws -> Session {
    var options = SessionOptions()
    options.outputs = outputs
    options.isStrict = self.options.isStrict
    options.limits = self.options.limits
    return try Session(model: model, options: options, pool: pool)
  }
}

/// A training plan with the memory to run it.
private final class TrainingExecution {
  let plan: TrainingPlan
  let inputs: [TensorSpec]
  private let arena: AlignedBuffer
  private let weights: [TrainedParameter]
  private let buffers: [TrainedParameter]
  private let pool: ThreadPool
  private var forward: [ForwardCall] = []
  private var backward: [BackwardCall?] = []
  /// Where features are read.
  private var forwardReaders: [(feature: Int, step: Int, position: Int)] = []
  private var backwardReaders: [(feature: Int, step: Int, position: Int)] = []
  private let outputs: [TensorView]
  private let outputGradients: [MutableTensorView]

  init(
    _ plan: TrainingPlan, inputs: [TensorSpec], weights: [TrainedParameter],
    buffers: [TrainedParameter], pool: ThreadPool
  ) throws {
    self.plan = plan
    self.inputs = inputs
    self.weights = weights
    self.buffers = buffers
    self.pool = pool
    let arena = try AlignedBuffer(byteCount: plan.arenaByteCount)
    self.arena = arena
    func mutable(_ operand: TrainingPlan.Operand) -> MutableTensorView {
      let offset = if case .arena(let offset) = operand.place { offset } else { 0 }
      return MutableTensorView(operand.shape, operand.type, arena.baseAddress + offset)
    }
    func view(_ operand: TrainingPlan.Operand) -> TensorView {
      if case .constant(let tensor) = operand.place { return tensor.view }
      let target = mutable(operand)
      return TensorView(target.shape, target.type, target.baseAddress)
    }
    outputs = plan.outputs.map(view)
    outputGradients = plan.outputGradients.map(mutable)
    let scratch = UnsafeMutableRawBufferPointer(
      start: arena.baseAddress + plan.scratch.lowerBound, count: plan.scratch.count)
    func parameter(_ parameter: TrainingPlan.Parameter) -> TensorView {
      switch parameter {
      case .fixed(let tensor): tensor.view
      case .weight(let number): weights[number].value.view
      case .buffer(let number): buffers[number].value.view
      case .value(let operand): view(operand)
      }
    }
    func saved(_ step: TrainingPlan.Step) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(
        start: step.saved.isEmpty ? nil : arena.baseAddress + step.saved.lowerBound,
        count: step.saved.count)
    }
    for (number, step) in plan.steps.enumerated() {
      for (position, operand) in step.inputs.enumerated() {
        if case .input(let feature) = operand.place {
          forwardReaders.append((feature, number, position))
        }
      }
      let updates = step.parameters.map { parameter -> MutableTensorView? in
        guard step.isTraining, case .buffer(let number) = parameter else { return nil }
        return buffers[number].update.mutableView
      }
      forward.append(
        ForwardCall(
          inputs: step.inputs.map(view), parameters: step.parameters.map(parameter),
          outputs: step.outputs.map(mutable), scratch: scratch, pool: pool,
          isTraining: step.isTraining, saved: saved(step),
          bufferUpdates: updates.contains { $0 != nil } ? updates : []))
    }
    for (number, backwardStep) in plan.backwardSteps.enumerated() {
      guard
        case .step(
          let index, let outputGradients, let inputGradients, let setsInputs, let weightGradients,
          let setsWeights) = backwardStep
      else {
        backward.append(nil)
        continue
      }
      let step = plan.steps[index]
      for (position, operand) in step.inputs.enumerated() where step.needs.inputs {
        if case .input(let feature) = operand.place {
          backwardReaders.append((feature, number, position))
        }
      }
      backward.append(
        BackwardCall(
          outputGradients: outputGradients.map { $0.map(view) },
          inputs: step.inputs.map { step.needs.inputs ? view($0) : nil },
          outputs: step.outputs.map { step.needs.outputs ? view($0) : nil },
          parameters: step.parameters.map(parameter),
          inputGradients: inputGradients.map { $0.map(mutable) },
          parameterGradients: weightGradients.map { $0.map { weights[$0].update.mutableView } },
          setsInputGradients: setsInputs, setsParameterGradients: setsWeights, saved: saved(step),
          scratch: scratch, pool: pool, isTraining: step.isTraining))
    }
  }

  func run<R>(
    _ features: [TensorView], seed: UInt64, accumulating: Bool, onStep: ((Int) -> Void)?,
    loss: ([TensorView], [MutableTensorView]) throws -> R
  ) throws -> R {
    for (feature, step, position) in forwardReaders {
      forward[step].inputs[position] = features[feature]
    }
    for (feature, step, position) in backwardReaders {
      backward[step]?.inputs[position] = features[feature]
    }
    for index in forward.indices {
      try runForward(index, seed)
      onStep?(index)
    }
    let result = try loss(outputs, outputGradients)
    onStep?(forward.count)
    for index in plan.backwardSteps.indices {
      try runBackward(index, seed, accumulating)
      onStep?(forward.count + 1 + index)
    }
    return result
  }

  private func runForward(_ index: Int, _ seed: UInt64) throws {
    let step = plan.steps[index]
    forward[index].seed = CounterRandom(seed: seed, name: step.name).bits(0)
    let call = forward[index]
    try withErrorPath(step.path) {
      switch step.operation {
      case .layer(let layer): try layer.forward(call)
      case .prepared(let prepared): try prepared.forward(call)
      case .convert(let from, let to):
        convertLayout(
          call.inputs[0].shape, from: call.inputs[0].floats, from, to: call.outputs[0].floats, to,
          pool: pool)
      }
    }
  }

  private func address(_ operand: TrainingPlan.Operand) -> UnsafeMutablePointer<Float> {
    let offset = if case .arena(let offset) = operand.place { offset } else { 0 }
    return (arena.baseAddress + offset).assumingMemoryBound(to: Float.self)
  }

  private func runBackward(_ index: Int, _ seed: UInt64, _ accumulating: Bool) throws {
    switch plan.backwardSteps[index] {
    case .zero(let operand, let byteCount): memset(address(operand), 0, byteCount)
    case .zeroWeight(let weight):
      guard !accumulating else { return }
      let gradient = weights[weight].update
      gradient.withMutableBytes { bytes in
        _ = bytes.baseAddress.map { memset($0, 0, bytes.count) }
      }
    case .convert(let source, let from, let to, let target, let byteCount, let adds):
      let place = address(adds ?? target)
      convertLayout(source.shape, from: address(source), from, to: place, to, pool: pool)
      if adds != nil {
        var shape = lk_broadcast()
        shape.rank = 1
        shape.extents.0 = byteCount / 4
        shape.a_strides.0 = 1
        shape.b_strides.0 = 1
        lk_f32_binary(pool.handle, LK_ADD, &shape, address(target), place, address(target))
      }
    case .step(let number, _, _, _, _, let setsWeights):
      guard var call = backward[index] else { return }
      let step = plan.steps[number]
      call.seed = CounterRandom(seed: seed, name: step.name).bits(0)
      if accumulating { call.setsParameterGradients = setsWeights.map { _ in false } }
      try withErrorPath(step.path) {
        switch step.operation {
        case .layer(let layer): try layer.backward(call)
        case .prepared(let prepared): try prepared.backward(call)
        case .convert: break
        }
      }
    }
  }
}

extension Model {
  /// Whether the model can be trained, without the memory of a session.
  ///
  /// - Throws: `unsupported` listing every layer on the way of a gradient that has none; `argument` when a pattern of
  ///   `options.frozen` matches nothing, or everything is frozen.
  public func checkTrainable(_ options: TrainingOptions = TrainingOptions()) throws {
    var graph = graph
    graph.removeDeadNodes(keeping: graph.outputs.map(\.value))
    _ = try TrainingRoles(graph, self, frozen: options.frozen)
  }
}
