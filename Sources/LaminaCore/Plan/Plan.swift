import LaminaKernels

/// How a session plans and runs.
public struct SessionOptions: Sendable, Hashable {
  /// Threads, by default as many as the process may use.
  public var threads: Int?
  /// How far the graph may be changed.
  public var optimization = OptimizationLevel.full
  /// Names of the values wanted, instead of the graph's outputs.
  public var outputs: [String]?
  /// Only algorithms with the accuracy of direct evaluation.
  public var isStrict = false
  /// Bounds on memory.
  public var limits = Limits()

  /// The defaults.
  public init() {}
}

/// A graph compiled for given input shapes: rewritten, prepared, with every tensor's place in one arena.
///
/// Immutable; sessions on many threads share one.
public final class Plan: Sendable {
  /// A tensor that a step reads or writes.
  struct Operand: Sendable {
    var shape: Shape
    var type: ElementType
    var place: Place
  }

  /// Where a tensor lives.
  enum Place: Sendable {
    /// At an offset in the session's arena.
    case arena(Int)
    /// In the plan or the model.
    case constant(Tensor)
    /// In the caller's memory.
    case input(Int)
  }

  /// What a step does.
  enum Operation: Sendable {
    case layer(any Layer)
    case prepared(any PreparedLayer)
    case convert(from: TensorLayout, to: TensorLayout)
    /// Copies what a piece of the batch gave to its place in the whole.
    case collect
  }

  /// One thing to run.
  struct Step: Sendable {
    var path: String
    var name: String
    var operation: Operation
    var inputs: [Operand]
    var parameters: [Operand]
    var outputs: [Operand]
    var layouts: [TensorLayout]
    var multiplyAdds: Int
    var runsInPlace: Bool
  }

  /// What the plan was made for.
  public let inputSpecs: [TensorSpec]
  /// Names of the results.
  public let outputNames: [String]
  /// Specs of the results.
  public let outputSpecs: [TensorSpec]
  /// Bytes of activations and scratch memory that a session needs.
  public let arenaByteCount: Int
  /// Bytes of packed weights.
  public let packedByteCount: Int
  /// A line for each change that a rewrite made.
  public let rewrites: [String]
  let steps: [Step]
  /// How many of the first steps run once for each of `pieces` parts of the batch.
  let trunk: (stepCount: Int, pieces: Int)
  let outputs: [Operand]
  let scratchOffset: Int
  let scratchByteCount: Int
  private let optimization: OptimizationLevel
  private let threads: Int

  init(model: Model, inputs: [TensorSpec], options: SessionOptions, pool: ThreadPool) throws {
    try model.graph.checkInputs(inputs)
    var compiler = try PlanCompiler(
      model: model, inputs: inputs, options: options, pool: pool)
    try compiler.rewrite()
    try compiler.emitSteps()
    compiler.joinSteps()
    let memory = try compiler.placeBuffers()
    inputSpecs = inputs
    outputNames = compiler.requested.map(\.name)
    steps = memory.steps
    trunk = (memory.trunkStepCount, compiler.pieces)
    outputs = memory.outputs
    outputSpecs = memory.outputs.map { TensorSpec($0.shape, $0.type) }
    scratchOffset = memory.arenaByteCount
    scratchByteCount = compiler.scratchByteCount
    arenaByteCount = memory.arenaByteCount + compiler.scratchByteCount
    try options.limits.checkMemory(arenaByteCount, for: "a session of '\(model.graph.name)'")
    packedByteCount = compiler.packedByteCount
    rewrites = compiler.notes
    optimization = options.optimization
    threads = pool.threadCount
  }

  /// What was done and what will run, for people: rewrites, then a line for each step with its kernel,
  /// output and place, then memory.
  public func explain() -> String {
    var lines = ["plan at level \(optimization.rawValue), \(threads) threads"]
    for (name, spec) in zip(outputNames, outputSpecs) { lines.append("output \(name): \(spec)") }
    lines.append("\(rewrites.count) rewrites")
    lines += rewrites.map { "  " + $0 }
    lines.append("\(steps.count) steps")
    if trunk.pieces > 1 {
      lines.append(
        "the first \(trunk.stepCount) steps run for each of \(trunk.pieces) parts of the batch")
    }
    for step in steps {
      var line = "  \(step.path)"
      switch step.operation {
      case .layer: break
      case .prepared(let prepared):
        if !prepared.summary.isEmpty { line += " [\(prepared.summary)]" }
      case .convert(let from, let to): line += " \(from) → \(to)"
      case .collect: break
      }
      for (operand, layout) in zip(step.outputs, step.layouts) {
        line += " → \(operand.shape)"
        if layout != .plain { line += " \(layout)" }
        if case .arena(let offset) = operand.place { line += " @ \(offset)" }
      }
      if step.runsInPlace { line += " in place" }
      lines.append(line)
    }
    lines.append(
      "\(arenaByteCount) bytes of arena (\(scratchByteCount) of scratch), \(packedByteCount) bytes of packed weights"
    )
    return lines.joined(separator: "\n") + "\n"
  }
}

/// Makes a plan: rewrites, prepares, then places.
private struct PlanCompiler {
  let model: Model
  let inputs: [TensorSpec]
  let options: SessionOptions
  let pool: ThreadPool
  var graph: Graph
  var inference: Graph.Inference
  var parameters: [String: Tensor]
  var requested: [(name: String, value: ValueID)] = []
  var notes: [String] = []
  var scratchByteCount = 0
  var packedByteCount = 0

  /// A step whose tensors are values or converted copies of values.
  struct Draft {
    var node: Int?
    var path: String
    var operation: Plan.Operation
    var inputs: [Slot]
    var parameters: [Slot]
    var outputs: [Slot]
    var multiplyAdds = 0
  }

  /// A tensor that a step reads or writes.
  enum Slot {
    case constant(Tensor)
    case buffer(Int, Shape, ElementType)
  }

  /// Memory for one value in one layout.
  struct Buffer {
    var byteCount: Int
    var layout: TensorLayout
    /// The caller's input it stands for.
    var input: Int?
    var isRequested = false
    /// The buffer whose memory this one is, or lies in from `offset` on.
    var home: (buffer: Int, offset: Int)?
    var first = Int.max
    var last = -1
  }

  var drafts: [Draft] = []
  /// Parts of the batch that the first `trunkDraftCount` drafts run for, and where they leave results.
  var pieces = 1
  var trunkDraftCount = 0
  var collected: [Int] = []
  var buffers: [Buffer] = []
  /// The buffer of each value, by value index.
  var bufferOfValue: [Int?] = []
  /// The halo that consumers of each value would like, by value index.
  var halos: [Int] = []
  /// Converted copies, by buffer.
  var conversions: [Int: [TensorLayout: Int]] = [:]

  init(model: Model, inputs: [TensorSpec], options: SessionOptions, pool: ThreadPool) throws {
    self.model = model
    self.inputs = inputs
    self.options = options
    self.pool = pool
    graph = model.graph
    parameters = model.parameters
    for name in options.outputs ?? [] {
      requested.append((name, try graph.requireValue(named: name)))
    }
    if options.outputs == nil { requested = graph.outputs }
    // `inference` is by node: whenever nodes go, it is made anew.
    graph.removeDeadNodes(keeping: requested.map(\.value))
    inference = try graph.inferSpecs(
      inputs: inputs, parameters: parameters,
      foldingLimit: options.optimization == .none ? Graph.defaultFoldingLimit : .max,
      limits: options.limits)
  }

  // MARK: Rewriting

  mutating func rewrite() throws {
    guard options.optimization > .none else { return }
    for rewrite in model.registry.rewrites where rewrite.level <= options.optimization {
      var rewritable = RewritableGraph(
        graph: graph, inference: inference, parameters: parameters, registry: model.registry,
        requested: requested.map(\.value))
      let changes = try rewrite.apply(to: &rewritable)
      guard !changes.isEmpty else { continue }
      notes += changes.map { "\(rewrite.name): \($0)" }
      graph = try rewritable.finished()
      parameters = rewritable.parameters
      graph.removeDeadNodes(keeping: requested.map(\.value))
      inference = try graph.inferSpecs(
        inputs: inputs, parameters: parameters, foldingLimit: .max, limits: options.limits)
    }
  }

  // MARK: Steps

  /// The known value of `value`, unless every node is to run as it stands.
  private func constant(_ value: ValueID) -> Tensor? {
    options.optimization == .none ? nil : inference[value].value
  }

  mutating func emitSteps() throws {
    bufferOfValue = [Int?](repeating: nil, count: graph.valueCount)
    chooseHalos()
    let whole = inference
    let trunk = chooseTrunk()
    if let trunk {
      pieces = trunk.pieces
      inference = trunk.inference
    }
    for (index, value) in graph.inputValues.enumerated() {
      bufferOfValue[value.index] = makeBuffer(inference[value], .plain, input: index)
    }
    for (index, node) in graph.nodes.enumerated() {
      if index == trunk?.nodeCount { leaveTrunk(index, whole) }
      try withErrorPath(node.path) { try emit(node, index) }
    }
    if trunk?.nodeCount == graph.nodes.count { leaveTrunk(graph.nodes.count, whole) }
    for (_, value) in requested {
      guard constant(value) == nil, let buffer = bufferOfValue[value.index] else { continue }
      let plain = convert(buffer, inference[value], to: .plain)
      buffers[home(of: plain).buffer].isRequested = true
    }
  }

  /// The first nodes that can run for part of the batch at a time, and in how many parts their activations
  /// stay in the last cache.
  private func chooseTrunk() -> (nodeCount: Int, pieces: Int, inference: Graph.Inference)? {
    guard options.optimization == .full, let batch = inputs.first?.shape.dimensions.first,
      batch > 1,
      inputs.allSatisfy({ $0.shape.rank > 1 && $0.shape[0] == batch && $0.value == nil })
    else { return nil }
    var nodeCount = 0
    var mostBytes = 0
    for node in graph.nodes {
      let (read, written) = (node.inputs.map { inference[$0] }, node.outputs.map { inference[$0] })
      guard node.layer.isBatchwise(for: read), node.readValues.count == node.inputs.count,
        written.allSatisfy({ $0.value != nil || $0.shape.rank > 0 && $0.shape[0] == batch })
      else { break }
      nodeCount += 1
      let bytes = (read + written).reduce(0) { $0 + ($1.value == nil ? $1.byteCount : 0) }
      mostBytes = max(mostBytes, bytes)
    }
    let cache = lk_cache_bytes(3)
    let budget = (cache > 0 ? cache : 32 << 20) * 3 / 8
    let pieces = (1...batch).first { batch % $0 == 0 && mostBytes / $0 <= budget } ?? batch
    guard pieces > 1 else { return nil }
    var trunk = graph
    trunk.nodes = Array(graph.nodes.prefix(nodeCount))
    let parts = inputs.compactMap { input in
      (try? Shape([batch / pieces] + input.shape.dimensions.dropFirst())).map {
        TensorSpec($0, input.type)
      }
    }
    guard
      let inference = try? trunk.inferSpecs(
        inputs: parts, parameters: parameters, foldingLimit: .max, limits: options.limits)
    else { return nil }
    return (nodeCount, pieces, inference)
  }

  /// Collects what the trunk computes for the nodes behind it.
  private mutating func leaveTrunk(_ nodeCount: Int, _ whole: Graph.Inference) {
    let wanted = Set(
      graph.nodes.dropFirst(nodeCount).flatMap(\.readValues) + requested.map(\.value))
    for value in graph.nodes.prefix(nodeCount).flatMap(\.outputs) where wanted.contains(value) {
      guard constant(value) == nil, let buffer = bufferOfValue[value.index] else { continue }
      let (part, all) = (inference[value], whole[value])
      let source = convert(buffer, part, to: .plain)
      let target = makeBuffer(all, .plain)
      drafts.append(
        Draft(
          node: nil, path: "batch", operation: .collect,
          inputs: [.buffer(source, part.shape, part.type)], parameters: [],
          outputs: [.buffer(target, all.shape, all.type)]))
      bufferOfValue[value.index] = target
      collected.append(target)
    }
    trunkDraftCount = drafts.count
    inference = whole
    // Those of the graph's inputs hold one part of the batch.
    conversions = [:]
  }

  private mutating func chooseHalos() {
    halos = [Int](repeating: 0, count: graph.valueCount)
    for node in graph.nodes.reversed() {
      let wanted = node.layer.inputHalos(
        for: node.inputs.map { inference[$0] }, outputs: node.outputs.map { inference[$0] },
        outputHalos: node.outputs.map { halos[$0.index] })
      for (value, halo) in zip(node.inputs, wanted) {
        halos[value.index] = max(halos[value.index], halo)
      }
    }
  }

  private mutating func makeBuffer(
    _ spec: TensorSpec, _ layout: TensorLayout, input: Int? = nil
  ) -> Int {
    buffers.append(Buffer(byteCount: layout.byteCount(spec), layout: layout, input: input))
    return buffers.count - 1
  }

  /// The buffer as one in the plain layout, whose bytes it holds.
  private mutating func plainAlias(of buffer: Int, _ spec: TensorSpec) -> Int {
    if buffers[buffer].layout == .plain { return buffer }
    let alias = makeBuffer(spec, .plain)
    buffers[alias].home = (buffer, 0)
    return alias
  }

  private func layout(of value: ValueID) -> TensorLayout {
    bufferOfValue[value.index].map { buffers[$0].layout } ?? .plain
  }

  /// The buffer in `layout`, by a conversion step where it is needed.
  private mutating func convert(_ buffer: Int, _ spec: TensorSpec, to layout: TensorLayout) -> Int {
    if buffers[buffer].layout.holds(layout, spec) { return buffer }
    if let present = conversions[buffer]?[layout] { return present }
    let target = makeBuffer(spec, layout)
    conversions[buffer, default: [:]][layout] = target
    drafts.append(
      Draft(
        node: nil, path: "layout conversion",
        operation: .convert(from: buffers[buffer].layout, to: layout),
        inputs: [.buffer(buffer, spec.shape, spec.type)], parameters: [],
        outputs: [.buffer(target, spec.shape, spec.type)]))
    return target
  }

  /// Where a step reads `value`.
  private mutating func read(_ value: ValueID, as layout: TensorLayout) throws -> Slot {
    if let tensor = constant(value) { return .constant(tensor) }
    guard let buffer = bufferOfValue[value.index] else {
      throw LaminaError(.internal, "value '\(graph.name(of: value))' has no memory")
    }
    let spec = inference[value]
    return .buffer(convert(buffer, spec, to: layout), spec.shape, spec.type)
  }

  private mutating func emit(_ node: Graph.Node, _ index: Int) throws {
    if options.optimization > .none, node.outputs.allSatisfy({ inference[$0].value != nil }) {
      return
    }
    let inputSpecs = node.inputs.map { inference[$0] }
    let outputSpecs = node.outputs.map { inference[$0] }
    let parameterSpecs = inference.parameters[index]

    if node.definition.outputMemory == .aliasesInput, let source = node.inputs.first,
      constant(source) == nil, case .buffer(let buffer, _, _) = try read(source, as: .plain)
    {
      bufferOfValue[node.outputs[0].index] = plainAlias(of: buffer, outputSpecs[0])
      guard node.outputs.count > 1 else { return }
    }

    var prepared: (any PreparedLayer)?
    if options.optimization > .none {
      prepared = try node.layer.prepare(
        PrepareContext(
          inputs: inputSpecs, outputs: outputSpecs, parameters: parameterSpecs.map(\.spec),
          inputLayouts: node.inputs.map { layout(of: $0) },
          outputHalos: node.outputs.map { halos[$0.index] }, pool: pool,
          isStrict: options.isStrict))
    }
    let inputLayouts = prepared?.inputLayouts ?? node.inputs.map { _ in .plain }
    let outputLayouts = prepared?.outputLayouts ?? node.outputs.map { _ in .plain }
    var inputs: [Slot] = []
    for (value, layout) in zip(node.inputs, inputLayouts) {
      inputs.append(try read(value, as: layout))
    }
    var slots: [Slot] = []
    for parameter in parameterSpecs {
      switch node.binding(of: parameter.name) {
      case .tensor(let key):
        guard let tensor = parameters[key] else {
          throw LaminaError(.weights, "tensor '\(key.escapedForDisplay())' is missing")
        }
        guard tensor.spec == parameter.spec else {
          throw LaminaError(
            .weights,
            "expected tensor '\(key.escapedForDisplay())' to be \(parameter.spec), found \(tensor.spec)"
          )
        }
        slots.append(.constant(tensor))
      case .value(let value): slots.append(try read(value, as: .plain))
      }
    }
    var outputs: [Slot] = []
    for ((value, spec), layout) in zip(zip(node.outputs, outputSpecs), outputLayouts) {
      let buffer = makeBuffer(spec, layout)
      if bufferOfValue[value.index] == nil { bufferOfValue[value.index] = buffer }
      outputs.append(.buffer(buffer, spec.shape, spec.type))
    }
    let scratch =
      prepared?.scratchBytes ?? node.layer.scratchBytes(for: inputSpecs, threads: pool.threadCount)
    scratchByteCount = max(scratchByteCount, scratch)
    packedByteCount += prepared?.packedBytes ?? 0
    drafts.append(
      Draft(
        node: index, path: node.path,
        operation: prepared.map { .prepared($0) } ?? .layer(node.layer), inputs: inputs,
        parameters: slots, outputs: outputs,
        multiplyAdds: node.layer.multiplyAdds(for: inputSpecs, outputs: outputSpecs)))
  }

  // MARK: Memory

  /// Makes one step of two where the second alone reads the first's output and the layers can run so.
  mutating func joinSteps() {
    var readers: [Int: [Int]] = [:]
    for (step, draft) in drafts.enumerated() {
      for case .buffer(let buffer, _, _) in draft.inputs + draft.parameters {
        readers[home(of: buffer).buffer, default: []].append(step)
      }
    }
    var isGone = [Bool](repeating: false, count: drafts.count)
    for step in drafts.indices {
      let draft = drafts[step]
      guard case .prepared(let first) = draft.operation, draft.outputs.count == 1,
        case .buffer(let between, _, _)? = draft.outputs.first, !buffers[between].isRequested,
        let reader = readers[between]?.first, readers[between]?.count == 1,
        case .prepared(let second) = drafts[reader].operation,
        case .buffer(between, _, _)? = drafts[reader].inputs.first,
        let both = first.followed(by: second)
      else { continue }
      drafts[reader].operation = .prepared(both)
      drafts[reader].inputs = draft.inputs + drafts[reader].inputs.dropFirst()
      drafts[reader].multiplyAdds = draft.multiplyAdds.saturatingSum(drafts[reader].multiplyAdds)
      scratchByteCount = max(scratchByteCount, both.scratchBytes)
      isGone[step] = true
    }
    trunkDraftCount -= isGone.prefix(trunkDraftCount).count { $0 }
    drafts = zip(drafts, isGone).filter { !$0.1 }.map(\.0)
  }

  mutating func placeBuffers() throws -> (
    steps: [Plan.Step], trunkStepCount: Int, outputs: [Plan.Operand], arenaByteCount: Int
  ) {
    let end = drafts.count
    func each(_ slots: [Slot], _ body: (Int) -> Void) {
      for case .buffer(let buffer, _, _) in slots { body(buffer) }
    }
    for (step, draft) in drafts.enumerated() {
      each(draft.inputs + draft.parameters + draft.outputs) { buffer in
        for buffer in Set([buffer, home(of: buffer).buffer]) {
          buffers[buffer].first = min(buffers[buffer].first, step)
          buffers[buffer].last = max(buffers[buffer].last, step)
        }
      }
    }
    for index in buffers.indices where buffers[index].isRequested { buffers[index].last = end }
    for index in collected { buffers[index].first = 0 }

    var isJoined = [Bool](repeating: false, count: drafts.count)
    for (step, draft) in drafts.enumerated() { isJoined[step] = join(draft) }

    var inPlaceSteps: Set<Int> = []
    for (step, draft) in drafts.enumerated() {
      guard let source = inPlaceSource(of: draft, at: step),
        case .buffer(let target, _, _)? = draft.outputs.first
      else { continue }
      buffers[target].home = (source, 0)
      let root = home(of: source).buffer
      buffers[root].last = max(buffers[root].last, buffers[target].last)
      inPlaceSteps.insert(step)
    }

    let owners = buffers.indices.filter {
      buffers[$0].home == nil && buffers[$0].input == nil && buffers[$0].last >= 0
    }
    let planner = try MemoryPlanner(
      owners.map {
        MemoryPlanner.Buffer(
          byteCount: buffers[$0].byteCount, first: buffers[$0].first, last: buffers[$0].last)
      }, stepCount: end)
    var offsets: [Int: Int] = [:]
    for (position, buffer) in owners.enumerated() { offsets[buffer] = planner.offsets[position] }

    func place(_ slot: Slot) -> Plan.Operand {
      switch slot {
      case .constant(let tensor):
        return Plan.Operand(shape: tensor.shape, type: tensor.type, place: .constant(tensor))
      case .buffer(let buffer, let shape, let type):
        if let input = buffers[buffer].input {
          return Plan.Operand(shape: shape, type: type, place: .input(input))
        }
        let home = home(of: buffer)
        return Plan.Operand(
          shape: shape, type: type, place: .arena((offsets[home.buffer] ?? 0) + home.offset))
      }
    }
    let steps = drafts.enumerated().filter { !isJoined[$0.offset] }.map { step, draft in
      Plan.Step(
        path: draft.path, name: draft.node.map { graph.nodes[$0].name } ?? draft.path,
        operation: draft.operation, inputs: draft.inputs.map(place),
        parameters: draft.parameters.map(place), outputs: draft.outputs.map(place),
        layouts: draft.outputs.map { slot in
          if case .buffer(let buffer, _, _) = slot { buffers[buffer].layout } else { .plain }
        },
        multiplyAdds: draft.multiplyAdds, runsInPlace: inPlaceSteps.contains(step))
    }
    let outputs = try requested.map { name, value in
      if let tensor = constant(value) { return place(.constant(tensor)) }
      let spec = inference[value]
      guard let buffer = bufferOfValue[value.index] else {
        throw LaminaError(.internal, "output '\(name)' has no memory")
      }
      let plain = conversions[buffer]?[.plain] ?? buffer
      return place(.buffer(plain, spec.shape, spec.type))
    }
    return (
      steps, (0..<trunkDraftCount).count { !isJoined[$0] }, outputs,
      MemoryPlanner.aligned(planner.byteCount)
    )
  }

  /// The buffer that owns the memory of `buffer`, and where in it that lies.
  private func home(of buffer: Int) -> (buffer: Int, offset: Int) {
    var (buffer, offset) = (buffer, 0)
    while let home = buffers[buffer].home {
      offset += home.offset
      buffer = home.buffer
    }
    return (buffer, offset)
  }

  /// Whether the inputs of a step that joins them now lie in its output, so that it need not run.
  private mutating func join(_ draft: Draft) -> Bool {
    guard case .prepared(let prepared) = draft.operation, prepared.joinsInputs,
      case .buffer(let target, _, _)? = draft.outputs.first
    else { return false }
    var offsets: [Int: Int] = [:]
    var offset = 0
    for input in draft.inputs {
      guard case .buffer(let source, _, _) = input, buffers[source].input == nil,
        buffers[source].home == nil, !buffers[source].isRequested, offsets[source] == nil,
        offset % MemoryPlanner.alignment == 0
      else { return false }
      offsets[source] = offset
      offset += buffers[source].byteCount
    }
    for (source, offset) in offsets {
      buffers[source].home = (target, offset)
      buffers[target].first = min(buffers[target].first, buffers[source].first)
      buffers[target].last = max(buffers[target].last, buffers[source].last)
    }
    return true
  }

  /// The buffer that the step's first output may take over: the first input's, when this is its last use.
  private func inPlaceSource(of draft: Draft, at step: Int) -> Int? {
    guard options.optimization > .none, let node = draft.node,
      graph.nodes[node].definition.outputMemory == .mayOverwriteInput,
      case .layer = draft.operation,
      case .buffer(let source, let shape, let type)? = draft.inputs.first,
      case .buffer(let target, shape, type)? = draft.outputs.first,
      buffers[source].layout == buffers[target].layout, buffers[target].home == nil
    else { return nil }
    let root = home(of: source).buffer
    let readings = (draft.inputs + draft.parameters).count { slot in
      if case .buffer(let buffer, _, _) = slot {
        home(of: buffer).buffer == root
      } else {
        false
      }
    }
    guard readings == 1, buffers[root].input == nil, buffers[root].last == step,
      !buffers[root].isRequested,
      !buffers[source].isRequested
    else { return nil }
    return source
  }
}

extension Graph {
  /// Removes nodes that none of `values` depends on.
  mutating func removeDeadNodes(keeping values: [ValueID]) {
    var live = [Bool](repeating: false, count: valueCount)
    for value in values { live[value.index] = true }
    var kept: [Node] = []
    for node in nodes.reversed() where node.outputs.contains(where: { live[$0.index] }) {
      for value in node.readValues { live[value.index] = true }
      kept.append(node)
    }
    nodes = kept.reversed()
  }
}
