import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A model ready to run, with the memory for it. One caller at a time; make one session for each thread.
///
/// The first run with new shapes makes a plan; runs with shapes seen before allocate nothing. Within a run
/// denormal numbers count as zero; the caller's floating-point mode is as before behind it.
public final class Session: @unchecked Sendable {
  /// The model.
  public let model: Model
  /// How it plans and runs.
  public let options: SessionOptions
  /// The threads it runs on.
  public let pool: ThreadPool
  /// Called with the position of each step of the plan that a run has finished.
  package var onStep: ((Int) -> Void)?
  private let isBusy = Atomic(false)
  private var executions: [Execution] = []

  /// Most shapes whose plans a session keeps.
  static let cachedPlans = 4

  /// A session.
  ///
  /// - Parameter pool: threads to share with others; by default threads of its own.
  /// - Throws: `notFound` for an unknown name in `options.outputs`.
  public init(model: Model, options: SessionOptions = SessionOptions(), pool: ThreadPool? = nil)
    throws
  {
    self.model = model
    self.options = options
    self.pool = pool ?? ThreadPool(threads: options.threads)
    for name in options.outputs ?? [] { _ = try model.graph.requireValue(named: name) }
  }

  /// Names of the results.
  public var outputNames: [String] { options.outputs ?? model.graph.outputs.map(\.name) }

  /// Runs the model.
  ///
  /// - Parameter inputs: one view for each input of the graph, in its order.
  /// - Returns: a copy of each result, in the order of `outputNames`.
  /// - Throws: `shape` when an input does not fit, `busy` when another thread is running this session, and
  ///   what planning and the layers throw.
  public func run(_ inputs: [TensorView]) throws -> [Tensor] {
    try withOutputs(of: inputs) { outputs in try outputs.map { try Tensor(copying: $0) } }
  }

  /// Runs the model on tensors.
  public func run(_ inputs: [Tensor]) throws -> [Tensor] {
    try run(inputs.map(\.view))
  }

  /// Runs the model and writes each result into the caller's memory.
  ///
  /// - Throws: `shape` when a target has another shape or type than its result; nothing is written then.
  public func run(_ inputs: [TensorView], into targets: [MutableTensorView]) throws {
    guard targets.count == outputNames.count else {
      throw LaminaError(.argument, "expected \(outputNames.count) outputs, found \(targets.count)")
    }
    try withOutputs(of: inputs) { outputs in
      for (index, output) in outputs.enumerated() {
        guard targets[index].shape == output.shape, targets[index].type == output.type else {
          throw LaminaError(
            .shape,
            "expected \(output.type.rawValue) \(output.shape), found \(targets[index].type.rawValue) \(targets[index].shape)",
            path: "output \(outputNames[index].escapedForDisplay())")
        }
      }
      for (index, output) in outputs.enumerated() {
        memcpy(targets[index].baseAddress, output.baseAddress, output.byteCount)
      }
    }
  }

  /// Runs the model and hands `body` the results where they lie; they are valid within `body` only.
  public func withOutputs<R>(of inputs: [TensorView], _ body: ([TensorView]) throws -> R) throws
    -> R
  {
    try exclusively {
      let execution = try execution(for: inputs)
      try flushingDenormals { try execution.run(inputs, onStep: onStep) }
      return try body(execution.results)
    }
  }

  /// Specs of the results for given input specs; makes the plan.
  public func outputSpecs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    try plan(for: inputs).outputSpecs
  }

  /// The plan for given input specs. Inputs whose values decide shapes must carry them.
  public func plan(for inputs: [TensorSpec]) throws -> Plan {
    try exclusively {
      if let known = executions.first(where: { $0.plan.inputSpecs == inputs }) { return known.plan }
      return try add(try makePlan(inputs)).plan
    }
  }

  private func exclusively<R>(_ body: () throws -> R) throws -> R {
    guard isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
    else { throw LaminaError(.busy, "the session is running on another thread") }
    defer { isBusy.store(false, ordering: .releasing) }
    return try body()
  }

  private func makePlan(_ inputs: [TensorSpec]) throws -> Plan {
    try model.plans.plan(for: model, inputs: inputs, options: options, pool: pool)
  }

  private func add(_ plan: Plan) throws -> Execution {
    let execution = try Execution(plan, pool: pool)
    if executions.count == Session.cachedPlans { executions.removeLast() }
    executions.insert(execution, at: 0)
    return execution
  }

  private func execution(for inputs: [TensorView]) throws -> Execution {
    if let first = executions.first, first.matches(inputs) { return first }
    if let index = executions.firstIndex(where: { $0.matches(inputs) }) {
      let found = executions.remove(at: index)
      executions.insert(found, at: 0)
      return found
    }
    let specs = inputs.map { TensorSpec($0.shape, $0.type) }
    do {
      return try add(try makePlan(specs))
    } catch let error as LaminaError where error.code == .shape {
      // Shapes that follow from input values (a `shape` or `axes` input): plan again with small inputs known.
      let known = try inputs.map { view in
        view.shape.rank <= 1 && view.shape.count <= Graph.boundInputLimit
          ? TensorSpec(constant: try Tensor(copying: view)) : TensorSpec(view.shape, view.type)
      }
      guard known.contains(where: { $0.value != nil }) else { throw error }
      return try add(try makePlan(known))
    }
  }
}

extension Graph {
  /// Most elements of an input whose value may decide shapes.
  static let boundInputLimit = 1024
}

/// Plans that all sessions of a model share, so that weights are packed once.
final class PlanCache: Sendable {
  private struct Key: Hashable {
    var shapes: [Shape]
    var types: [ElementType]
    var options: SessionOptions
    var threads: Int
    var instructionSet: Int32
  }

  private static let capacity = 8
  private let plans = Mutex<[(key: Key, plan: Plan)]>([])

  func plan(for model: Model, inputs: [TensorSpec], options: SessionOptions, pool: ThreadPool)
    throws
    -> Plan
  {
    guard inputs.allSatisfy({ $0.value == nil }) else {
      return try Plan(model: model, inputs: inputs, options: options, pool: pool)
    }
    let key = Key(
      shapes: inputs.map(\.shape), types: inputs.map(\.type), options: options,
      threads: pool.threadCount,
      instructionSet: activeInstructionSet())
    return try plans.withLock { plans in
      if let known = plans.first(where: { $0.key == key }) { return known.plan }
      let plan = try Plan(model: model, inputs: inputs, options: options, pool: pool)
      if plans.count == PlanCache.capacity { plans.removeLast() }
      plans.insert((key, plan), at: 0)
      return plan
    }
  }
}

/// A plan with the memory to run it.
private final class Execution {
  let plan: Plan
  private let arena: AlignedBuffer
  private var calls: [ForwardCall] = []
  private(set) var results: [TensorView] = []
  /// Where the caller's inputs are read: positions in `calls` and in `results`.
  private var inputReaders: [(input: Int, step: Int, position: Int)] = []
  private var parameterReaders: [(input: Int, step: Int, position: Int)] = []
  private var resultReaders: [(input: Int, position: Int)] = []
  /// Copies of inputs that came misaligned.
  private var aligned: [Int: AlignedBuffer] = [:]
  private let pool: ThreadPool

  init(_ plan: Plan, pool: ThreadPool) throws {
    self.plan = plan
    self.pool = pool
    arena = try AlignedBuffer(byteCount: plan.arenaByteCount)
    let base = arena.baseAddress
    let scratch = UnsafeMutableRawBufferPointer(
      start: base + plan.scratchOffset, count: plan.scratchByteCount)
    func view(_ operand: Plan.Operand, _ onInput: (Int) -> Void) -> TensorView {
      switch operand.place {
      case .arena(let offset): return TensorView(operand.shape, operand.type, base + offset)
      case .constant(let tensor): return tensor.view
      case .input(let index):
        onInput(index)
        return TensorView(operand.shape, operand.type, base)
      }
    }
    for (number, step) in plan.steps.enumerated() {
      let inputs = step.inputs.enumerated().map { position, operand in
        view(operand) { inputReaders.append(($0, number, position)) }
      }
      let parameters = step.parameters.enumerated().map { position, operand in
        view(operand) { parameterReaders.append(($0, number, position)) }
      }
      let outputs = step.outputs.map { operand in
        let offset = if case .arena(let offset) = operand.place { offset } else { 0 }
        return MutableTensorView(operand.shape, operand.type, base + offset)
      }
      calls.append(
        ForwardCall(
          inputs: inputs, parameters: parameters, outputs: outputs, scratch: scratch, pool: pool))
    }
    for (position, operand) in plan.outputs.enumerated() {
      results.append(view(operand) { resultReaders.append(($0, position)) })
    }
  }

  /// Whether the plan serves these inputs: same shapes and types, and same values where they were known.
  func matches(_ inputs: [TensorView]) -> Bool {
    guard inputs.count == plan.inputSpecs.count else { return false }
    for (input, spec) in zip(inputs, plan.inputSpecs) {
      guard input.shape == spec.shape, input.type == spec.type else { return false }
      if let value = spec.value,
        memcmp(value.view.baseAddress, input.baseAddress, value.byteCount) != 0
      {
        return false
      }
    }
    return true
  }

  private func bind(_ input: Int, _ views: [TensorView]) throws -> UnsafeRawPointer {
    let view = views[input]
    guard UInt(bitPattern: view.baseAddress) % UInt(view.type.byteCount) != 0 else {
      return view.baseAddress
    }
    let copy = try aligned[input] ?? AlignedBuffer(byteCount: view.byteCount)
    aligned[input] = copy
    memcpy(copy.baseAddress, view.baseAddress, view.byteCount)
    return UnsafeRawPointer(copy.baseAddress)
  }

  func run(_ inputs: [TensorView], onStep: ((Int) -> Void)?) throws {
    let trunk = 0..<plan.trunk.stepCount
    for piece in 0..<plan.trunk.pieces {
      try bindInputs(inputs, of: trunk, piece: piece)
      for index in trunk { try run(index, piece: piece, onStep) }
    }
    let rest = trunk.upperBound..<calls.count
    try bindInputs(inputs, of: rest)
    for (input, position) in resultReaders {
      let old = results[position]
      results[position] = TensorView(old.shape, old.type, try bind(input, inputs))
    }
    for index in rest { try run(index, onStep) }
  }

  /// Has steps read the caller's inputs, part `piece` of them.
  private func bindInputs(_ inputs: [TensorView], of steps: Range<Int>, piece: Int = 0) throws {
    func place(_ old: TensorView, _ input: Int) throws -> TensorView {
      TensorView(old.shape, old.type, try bind(input, inputs) + piece * old.byteCount)
    }
    for (input, step, position) in inputReaders where steps.contains(step) {
      calls[step].inputs[position] = try place(calls[step].inputs[position], input)
    }
    for (input, step, position) in parameterReaders where steps.contains(step) {
      calls[step].parameters[position] = try place(calls[step].parameters[position], input)
    }
  }

  private func run(_ index: Int, piece: Int = 0, _ onStep: ((Int) -> Void)?) throws {
    do {
      switch plan.steps[index].operation {
      case .layer(let layer): try layer.forward(calls[index])
      case .prepared(let prepared): try prepared.run(calls[index])
      case .convert(let from, let to):
        let call = calls[index]
        convertLayout(
          call.inputs[0].shape, from: call.inputs[0].floats, from, to: call.outputs[0].floats, to,
          pool: pool)
      case .collect:
        let call = calls[index]
        let part = call.inputs[0]
        memcpy(
          call.outputs[0].baseAddress + piece * part.byteCount, part.baseAddress, part.byteCount)
      }
    } catch let error as LaminaError {
      throw error.at(plan.steps[index].path)
    }
    onStep?(index)
  }
}
