import LaminaKernels

/// A graph compiled to train with given input shapes: forward steps, then backward steps, with every
/// activation and gradient's place in one arena.
///
/// Nodes that no learned parameter reaches, and that do not train, are left to `trunk`: a session runs them as
/// in inference, and what they compute comes in as a feature.
final class TrainingPlan: Sendable {
  /// A tensor of a step; an input is a feature, by its position in `features`.
  typealias Operand = Plan.Operand

  /// Where a parameter is found.
  enum Parameter: Sendable {
    /// A tensor that does not change.
    case fixed(Tensor)
    /// A learned weight, by its position among them.
    case weight(Int)
    /// A statistic that the layer keeps, by its position among them.
    case buffer(Int)
    /// A value of the graph.
    case value(Operand)
  }

  /// What a step does.
  enum Operation: Sendable {
    case layer(any Layer)
    case prepared(any PreparedTraining)
    case convert(from: TensorLayout, to: TensorLayout)
  }

  /// What one node, or one conversion between layouts, computes.
  struct Step: Sendable {
    var path: String
    var name: String
    var operation: Operation
    var inputs: [Operand]
    var parameters: [Parameter]
    var outputs: [Operand]
    var saved: Range<Int>
    var isTraining: Bool
    /// Which forward values the backward pass reads.
    var needs: (inputs: Bool, outputs: Bool)

    /// The node and how it runs, or the conversion, for people.
    var title: String {
      switch operation {
      case .layer: path
      case .prepared(let prepared):
        prepared.summary.isEmpty ? path : "\(path) [\(prepared.summary)]"
      case .convert(let from, let to): "layout \(from) → \(to)"
      }
    }
  }

  /// One thing to do on the way back.
  enum BackwardStep: Sendable {
    /// The backward pass of a forward step.
    case step(
      Int, outputGradients: [Operand?], inputGradients: [Operand?], setsInputs: [Bool],
      weightGradients: [Int?], setsWeights: [Bool])
    /// The gradient of a converted copy, brought back to the layout of its source.
    case convert(
      Operand, from: TensorLayout, to: TensorLayout, Operand, byteCount: Int, adds: Operand?)
    /// Zeros for layers that add.
    case zero(Operand, byteCount: Int)
    /// The same for the gradient of a weight.
    case zeroWeight(Int)
  }

  let features: [(name: String, spec: TensorSpec)]
  let steps: [Step]
  let backwardSteps: [BackwardStep]
  let outputs: [Operand]
  let outputGradients: [Operand]
  let arenaByteCount: Int
  let scratch: Range<Int>

  /// A line for each step, forward and back, for people.
  func explain() -> String {
    func line(_ step: Step) -> String {
      guard case .layer = step.operation else { return step.title }
      return "\(step.title) → \(step.outputs.map(\.shape.description).joined(separator: ", "))"
    }
    var lines = ["\(steps.count) steps forward"] + steps.map { "  " + line($0) }
    lines.append("\(backwardSteps.count) steps back")
    for step in backwardSteps {
      switch step {
      case .step(let number, _, let gradients, let sets, _, _):
        let inputs = zip(gradients, sets).map { $0 == nil ? "none" : $1 ? "set" : "added" }
        lines.append("  \(steps[number].path): \(inputs.joined(separator: ", "))")
      case .convert(_, let from, let to, _, _, let adds):
        lines.append("  layout \(from) → \(to)\(adds == nil ? "" : ", added")")
      case .zero(_, let byteCount): lines.append("  \(byteCount) bytes of zeros")
      case .zeroWeight: lines.append("  zeros for a weight")
      }
    }
    lines.append("\(arenaByteCount) bytes of arena (\(scratch.count) of scratch)")
    return lines.joined(separator: "\n") + "\n"
  }

  /// The steps forward, the loss, and the steps back.
  var stepNames: [String] {
    let back = backwardSteps.map { step in
      switch step {
      case .step(let number, _, _, _, _, _): "back \(steps[number].title)"
      case .convert(_, let from, let to, _, _, _): "back layout \(from) → \(to)"
      case .zero, .zeroWeight: "back zeros"
      }
    }
    return steps.map(\.title) + ["loss"] + back
  }

  init(_ compiler: inout TrainingCompiler) throws {
    try compiler.emitForward()
    try compiler.fuse()
    try compiler.emitBackward()
    let memory = try compiler.placeBuffers()
    features = compiler.features.map { (compiler.graph.name(of: $0), compiler.inference[$0]) }
    steps = memory.steps
    backwardSteps = memory.backwardSteps
    outputs = memory.outputs
    outputGradients = memory.outputGradients
    arenaByteCount = memory.arenaByteCount + compiler.scratchByteCount
    scratch = memory.arenaByteCount..<arenaByteCount
    try compiler.options.limits.checkMemory(
      arenaByteCount, for: "training of '\(compiler.graph.name)'")
  }
}

/// Makes a training plan: forward steps, backward steps, then memory.
struct TrainingCompiler {
  let graph: Graph
  let inference: Graph.Inference
  let roles: TrainingRoles
  let options: TrainingOptions
  let threads: Int
  var scratchByteCount = 0
  private(set) var features: [ValueID] = []

  /// Memory for one value, or the gradient of one, in one layout.
  private struct Buffer {
    var byteCount: Int
    var shape: Shape
    var type: ElementType
    var layout: TensorLayout
    var feature: Int?
    /// The buffer whose bytes, and whose gradient, this one is.
    var home: Int?
    /// The buffer whose memory this one takes over.
    var overwrites: Int?
    /// The buffer of its gradient.
    var gradient: Int?
    var wantsGradient = false
    /// A gradient that holds something already.
    var isWritten = false
    var first = Int.max
    var last = -1
  }

  private enum Slot {
    case constant(Tensor)
    case buffer(Int)
  }

  private enum ParameterSlot {
    case place(TrainingPlan.Parameter)
    case value(Int)
  }

  /// A forward step before memory is placed.
  private struct Draft {
    var path: String
    var name: String
    var operation: TrainingPlan.Operation
    var inputs: [Slot]
    var parameters: [ParameterSlot]
    var outputs: [Int]
    var saved: Int?
    var isTraining: Bool
    var needs: (inputs: Bool, outputs: Bool)
    var backwardScratchBytes: Int
  }

  private enum BackwardDraft {
    case step(
      Int, outputs: [Int?], inputs: [Int?], sets: [Bool], weights: [Int?], setsWeights: [Bool])
    case convert(Int, Int, adds: Int?)
    case zero(Int)
    case zeroWeight(Int)
  }

  private var drafts: [Draft] = []
  private var backwardDrafts: [BackwardDraft] = []
  private var buffers: [Buffer] = []
  private var bufferOfValue: [Int?]
  private var conversions: [Int: [TensorLayout: Int]] = [:]
  private var halos: [Int]
  private var outputBuffers: [Int] = []

  init(
    _ graph: Graph, inputs: [TensorSpec], roles: TrainingRoles, options: TrainingOptions,
    threads: Int
  ) throws {
    self.graph = graph
    self.roles = roles
    self.options = options
    self.threads = threads
    inference = try graph.inferSpecs(
      inputs: inputs, parameters: roles.fixed, limits: options.limits)
    bufferOfValue = [Int?](repeating: nil, count: graph.valueCount)
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

  // MARK: Forward

  mutating func emitForward() throws {
    for (index, node) in graph.nodes.enumerated() where !roles.isTrunk[index] {
      if node.outputs.allSatisfy({ inference[$0].value != nil }) { continue }
      try withErrorPath(node.path) { try emit(node, index) }
    }
    for (name, value) in graph.outputs {
      guard case .buffer(let buffer) = try read(value, as: .plain) else {
        throw LaminaError(.graph, "output '\(name)' does not depend on the inputs")
      }
      guard buffers[home(of: buffer)].wantsGradient else {
        throw LaminaError(.graph, "output '\(name)' depends on no parameter that learns")
      }
      guard !outputBuffers.contains(buffer) else {
        throw LaminaError(.graph, "output '\(name)' is another output under a second name")
      }
      outputBuffers.append(buffer)
    }
  }

  private mutating func makeBuffer(
    _ spec: TensorSpec, _ layout: TensorLayout, wantsGradient: Bool = false
  ) -> Int {
    var buffer = Buffer(
      byteCount: layout.byteCount(spec), shape: spec.shape, type: spec.type, layout: layout)
    buffer.wantsGradient = wantsGradient
    buffers.append(buffer)
    return buffers.count - 1
  }

  private func home(of buffer: Int) -> Int {
    var buffer = buffer
    while let home = buffers[buffer].home { buffer = home }
    return buffer
  }

  /// The buffer in `layout`, by a conversion step where it is needed.
  private mutating func convert(_ buffer: Int, to layout: TensorLayout) -> Int {
    let source = buffers[buffer]
    if source.layout == layout { return buffer }
    if let present = conversions[buffer]?[layout] { return present }
    let target = makeBuffer(
      TensorSpec(source.shape, source.type), layout,
      wantsGradient: buffers[home(of: buffer)].wantsGradient)
    conversions[buffer, default: [:]][layout] = target
    drafts.append(
      Draft(
        path: "layout conversion", name: "", operation: .convert(from: source.layout, to: layout),
        inputs: [.buffer(buffer)], parameters: [], outputs: [target], saved: nil,
        isTraining: false, needs: (false, false), backwardScratchBytes: 0))
    return target
  }

  /// The buffer of a value in the layout of its producer; features get theirs when they are first read.
  private mutating func buffer(of value: ValueID) -> Int {
    if let buffer = bufferOfValue[value.index] { return buffer }
    let buffer = makeBuffer(inference[value], .plain)
    buffers[buffer].feature = features.count
    features.append(value)
    bufferOfValue[value.index] = buffer
    return buffer
  }

  private mutating func read(_ value: ValueID, as layout: TensorLayout) throws -> Slot {
    if let tensor = inference[value].value { return .constant(tensor) }
    return .buffer(convert(buffer(of: value), to: layout))
  }

  private mutating func emit(_ node: Graph.Node, _ index: Int) throws {
    let inputSpecs = node.inputs.map { inference[$0] }
    let outputSpecs = node.outputs.map { inference[$0] }
    let parameterSpecs = inference.parameters[index]
    let isTraining = roles.isTraining[index]
    let wantsGradient = roles.wantsGradient[index]
    if node.definition.outputMemory == .aliasesInput, node.outputs.count == 1,
      !(isTraining && node.definition.isRandom), let source = node.inputs.first,
      case .buffer(let buffer) = try read(source, as: .plain)
    {
      let alias = makeBuffer(outputSpecs[0], .plain)
      buffers[alias].home = buffer
      bufferOfValue[node.outputs[0].index] = alias
      return
    }
    let slots = try parameterSpecs.map { try parameter($0, of: node) }
    let wantsInputs = node.inputs.map { value in
      bufferOfValue[value.index].map { buffers[home(of: $0)].wantsGradient } ?? false
    }
    let wantsParameters = slots.map { slot in
      switch slot {
      case .place(.weight): true
      case .value(let buffer): buffers[home(of: buffer)].wantsGradient
      default: false
      }
    }
    let layouts = node.inputs.map { value in
      inference[value].value == nil ? buffers[buffer(of: value)].layout : .plain
    }
    let prepared = try node.layer.prepareTraining(
      TrainingContext(
        inputs: inputSpecs, outputs: outputSpecs, parameters: parameterSpecs.map(\.spec),
        inputLayouts: layouts, outputHalos: node.outputs.map { halos[$0.index] },
        wantsInputGradients: wantsInputs, wantsParameterGradients: wantsParameters,
        isTraining: isTraining, threads: threads, isStrict: options.isStrict))
    var needs = (inputs: false, outputs: false)
    if wantsGradient,
      case .supported(let inputs, let outputs) = prepared?.gradient ?? node.definition.gradient
    {
      needs = (inputs, outputs)
    }
    var inputs: [Slot] = []
    for (position, value) in node.inputs.enumerated() {
      inputs.append(try read(value, as: prepared?.inputLayouts?[position] ?? .plain))
    }
    let outputs = outputSpecs.enumerated().map { position, spec in
      makeBuffer(
        spec, prepared?.outputLayouts?[position] ?? .plain,
        wantsGradient: wantsGradient && spec.type == .float32)
    }
    for (value, buffer) in zip(node.outputs, outputs) { bufferOfValue[value.index] = buffer }
    let savedBytes =
      wantsGradient ? prepared?.savedBytes ?? node.layer.savedBytes(for: inputSpecs) : 0
    let saved =
      savedBytes > 0
      ? makeBuffer(TensorSpec(try Shape([savedBytes]), .uint8), .plain) : nil
    scratchByteCount = max(
      scratchByteCount,
      prepared?.scratchBytes ?? node.layer.scratchBytes(for: inputSpecs, threads: threads))
    drafts.append(
      Draft(
        path: node.path, name: node.name,
        operation: prepared.map { .prepared($0) } ?? .layer(node.layer), inputs: inputs,
        parameters: slots, outputs: outputs, saved: saved, isTraining: isTraining, needs: needs,
        backwardScratchBytes: prepared?.scratchBytes
          ?? node.layer.backwardScratchBytes(for: inputSpecs, threads: threads)))
  }

  private mutating func parameter(_ spec: ParameterSpec, of node: Graph.Node) throws
    -> ParameterSlot
  {
    switch node.binding(of: spec.name) {
    case .value(let value):
      switch try read(value, as: .plain) {
      case .constant(let tensor): return .place(.fixed(tensor))
      case .buffer(let buffer): return .value(buffer)
      }
    case .tensor(let key):
      if let number = roles.weights[key] { return .place(.weight(number)) }
      if let number = roles.buffers[key] { return .place(.buffer(number)) }
      guard let tensor = roles.fixed[key], tensor.spec == spec.spec else {
        throw LaminaError(.weights, "tensor '\(key.escapedForDisplay())' is missing")
      }
      return .place(.fixed(tensor))
    }
  }

  /// Makes one step of two where a layer can take over what the only reader of its result does.
  mutating func fuse() throws {
    var readers: [Int: [Int]] = [:]
    for (number, draft) in drafts.enumerated() {
      for case .buffer(let buffer) in draft.inputs { readers[buffer, default: []].append(number) }
      for case .value(let buffer) in draft.parameters {
        readers[buffer, default: []].append(number)
      }
    }
    let kept = Set(outputBuffers).union(buffers.compactMap(\.home))
    var isFused = [Bool](repeating: false, count: drafts.count)
    // From the end: a clamp goes with the pool behind it before a convolution could take it.
    for number in drafts.indices.reversed() {
      guard case .prepared(let first) = drafts[number].operation,
        let between = drafts[number].outputs.first, drafts[number].outputs.count == 1,
        !kept.contains(between), let reader = readers[between]?.first,
        readers[between]?.count == 1, !isFused[reader],
        case .prepared(let next) = drafts[reader].operation,
        drafts[reader].inputs.count == 1, drafts[reader].parameters.isEmpty,
        let both = first.followed(by: next), let output = drafts[reader].outputs.first
      else { continue }
      var draft = drafts[number]
      draft.operation = .prepared(both)
      draft.outputs = drafts[reader].outputs
      draft.backwardScratchBytes = both.scratchBytes
      scratchByteCount = max(scratchByteCount, both.scratchBytes)
      if buffers[output].wantsGradient {
        if case .supported(let inputs, let outputs) = both.gradient {
          draft.needs = (inputs, outputs)
        }
        draft.saved =
          both.savedBytes > 0
          ? makeBuffer(TensorSpec(try Shape([both.savedBytes]), .uint8), .plain) : nil
      }
      drafts[reader] = draft
      isFused[number] = true
    }
    drafts = drafts.indices.filter { !isFused[$0] }.map { drafts[$0] }
  }

  // MARK: Backward

  /// The buffer of the gradient of `buffer`.
  private mutating func gradient(of buffer: Int) -> Int {
    let home = home(of: buffer)
    if let gradient = buffers[home].gradient { return gradient }
    let source = buffers[home]
    let gradient = makeBuffer(TensorSpec(source.shape, source.type), source.layout)
    buffers[home].gradient = gradient
    return gradient
  }

  mutating func emitBackward() throws {
    for buffer in outputBuffers { buffers[gradient(of: buffer)].isWritten = true }
    var writtenWeights: Set<Int> = []
    for (number, draft) in drafts.enumerated().reversed() {
      let outputs = draft.outputs.map { output -> Int? in
        guard buffers[output].wantsGradient, let gradient = buffers[output].gradient,
          buffers[gradient].isWritten
        else { return nil }
        return gradient
      }
      guard outputs.contains(where: { $0 != nil }) else { continue }
      let sources = draft.inputs.map { slot -> Int? in
        guard case .buffer(let buffer) = slot, buffers[home(of: buffer)].wantsGradient else {
          return nil
        }
        return home(of: buffer)
      }
      if case .convert = draft.operation {
        guard let source = sources[0], let output = outputs[0] else { continue }
        let target = gradient(of: source)
        var adds: Int?
        if buffers[target].isWritten {
          adds = makeBuffer(
            TensorSpec(buffers[target].shape, buffers[target].type), buffers[target].layout)
        }
        buffers[target].isWritten = true
        backwardDrafts.append(.convert(output, target, adds: adds))
        continue
      }
      let valueParameters = draft.parameters.map { slot -> Int? in
        guard case .value(let buffer) = slot, buffers[home(of: buffer)].wantsGradient else {
          return nil
        }
        return home(of: buffer)
      }
      guard valueParameters.allSatisfy({ $0 == nil }) else {
        throw LaminaError(
          .unsupported, "a parameter that is computed from others cannot learn", path: draft.path)
      }
      let isPrepared = if case .prepared = draft.operation { true } else { false }
      var sets: [Bool] = []
      var inputs: [Int?] = []
      for (position, source) in sources.enumerated() {
        guard let source else {
          inputs.append(nil)
          sets.append(false)
          continue
        }
        let target = gradient(of: source)
        let isRepeated = sources.enumerated().contains { $0 != position && $1 == source }
        let isSet = isPrepared && !buffers[target].isWritten && !isRepeated
        if !buffers[target].isWritten, !isSet { backwardDrafts.append(.zero(target)) }
        buffers[target].isWritten = true
        inputs.append(target)
        sets.append(isSet)
      }
      let weights = draft.parameters.map { slot -> Int? in
        if case .place(.weight(let weight)) = slot { weight } else { nil }
      }
      let setsWeights = weights.map { weight -> Bool in
        guard let weight, writtenWeights.insert(weight).inserted else { return false }
        if isPrepared { return true }
        backwardDrafts.append(.zeroWeight(weight))
        return false
      }
      backwardDrafts.append(
        .step(
          number, outputs: outputs, inputs: inputs, sets: sets, weights: weights,
          setsWeights: setsWeights))
      scratchByteCount = max(scratchByteCount, draft.backwardScratchBytes)
    }
  }

  // MARK: Memory

  mutating func placeBuffers() throws -> (
    steps: [TrainingPlan.Step], backwardSteps: [TrainingPlan.BackwardStep],
    outputs: [TrainingPlan.Operand], outputGradients: [TrainingPlan.Operand], arenaByteCount: Int
  ) {
    let loss = drafts.count
    func use(_ buffer: Int, at time: Int) {
      let home = home(of: buffer)
      buffers[home].first = min(buffers[home].first, time)
      buffers[home].last = max(buffers[home].last, time)
    }
    for (time, draft) in drafts.enumerated() {
      for case .buffer(let buffer) in draft.inputs { use(buffer, at: time) }
      for case .value(let buffer) in draft.parameters { use(buffer, at: time) }
      for buffer in draft.outputs { use(buffer, at: time) }
      if let saved = draft.saved { use(saved, at: time) }
    }
    for buffer in outputBuffers {
      use(buffer, at: loss)
      if let gradient = buffers[home(of: buffer)].gradient { use(gradient, at: loss) }
    }
    for (number, backward) in backwardDrafts.enumerated() {
      let time = loss + 1 + number
      switch backward {
      case .step(let step, let outputs, let inputs, _, _, _):
        let draft = drafts[step]
        for buffer in (outputs + inputs).compactMap({ $0 }) { use(buffer, at: time) }
        if draft.needs.inputs {
          for case .buffer(let buffer) in draft.inputs { use(buffer, at: time) }
        }
        if draft.needs.outputs { for buffer in draft.outputs { use(buffer, at: time) } }
        for case .value(let buffer) in draft.parameters { use(buffer, at: time) }
        if let saved = draft.saved { use(saved, at: time) }
      case .convert(let from, let to, let adds):
        for buffer in [from, to] + (adds.map { [$0] } ?? []) { use(buffer, at: time) }
      case .zero(let buffer): use(buffer, at: time)
      case .zeroWeight: break
      }
    }
    shareMemory()
    let owners = buffers.indices.filter {
      memory(of: $0) == $0 && buffers[$0].feature == nil && buffers[$0].last >= 0
    }
    let planner = try MemoryPlanner(
      owners.map {
        MemoryPlanner.Buffer(
          byteCount: buffers[$0].byteCount, first: buffers[$0].first, last: buffers[$0].last)
      }, stepCount: loss + 1 + backwardDrafts.count)
    var offsets = [Int](repeating: 0, count: buffers.count)
    for (position, buffer) in owners.enumerated() { offsets[buffer] = planner.offsets[position] }

    func operand(_ buffer: Int) -> TrainingPlan.Operand {
      let owner = memory(of: buffer)
      let place = buffers[owner].feature.map { Plan.Place.input($0) }
      return TrainingPlan.Operand(
        shape: buffers[buffer].shape, type: buffers[buffer].type,
        place: place ?? .arena(offsets[owner]))
    }
    /// A gradient under the shape of the value it belongs to, which an alias may have changed.
    func operand(_ gradient: Int?, as value: Int?) -> TrainingPlan.Operand? {
      guard let gradient else { return nil }
      var result = operand(gradient)
      if let value { result.shape = buffers[value].shape }
      return result
    }
    let steps = drafts.map { draft in
      TrainingPlan.Step(
        path: draft.path, name: draft.name, operation: draft.operation,
        inputs: draft.inputs.map { slot in
          switch slot {
          case .constant(let tensor):
            TrainingPlan.Operand(shape: tensor.shape, type: tensor.type, place: .constant(tensor))
          case .buffer(let buffer): operand(buffer)
          }
        },
        parameters: draft.parameters.map { slot in
          switch slot {
          case .place(let place): place
          case .value(let buffer): .value(operand(buffer))
          }
        },
        outputs: draft.outputs.map(operand),
        saved: draft.saved.map { offsets[$0]..<offsets[$0] + buffers[$0].byteCount } ?? 0..<0,
        isTraining: draft.isTraining, needs: draft.needs)
    }
    let backwardSteps = backwardDrafts.map { backward -> TrainingPlan.BackwardStep in
      switch backward {
      case .step(let number, let outputs, let inputs, let sets, let weights, let setsWeights):
        let draft = drafts[number]
        return .step(
          number, outputGradients: zip(outputs, draft.outputs).map { operand($0, as: $1) },
          inputGradients: zip(inputs, draft.inputs).map { gradient, slot in
            if case .buffer(let buffer) = slot { operand(gradient, as: buffer) } else { nil }
          }, setsInputs: sets, weightGradients: weights, setsWeights: setsWeights)
      case .convert(let from, let to, let adds):
        return .convert(
          operand(from), from: buffers[from].layout, to: buffers[to].layout, operand(to),
          byteCount: buffers[to].byteCount, adds: adds.map(operand))
      case .zero(let buffer):
        return .zero(operand(buffer), byteCount: buffers[buffer].byteCount)
      case .zeroWeight(let weight): return .zeroWeight(weight)
      }
    }
    return (
      steps, backwardSteps, outputBuffers.map(operand),
      outputBuffers.compactMap { operand(buffers[home(of: $0)].gradient, as: $0) },
      MemoryPlanner.aligned(planner.byteCount)
    )
  }

  /// Lets a step write its output over its first input, where the layer can and nothing reads that later.
  private mutating func shareMemory() {
    for (time, draft) in drafts.enumerated() {
      guard case .layer(let layer) = draft.operation,
        type(of: layer).outputMemory == .mayOverwriteInput,
        case .buffer(let source)? = draft.inputs.first, let target = draft.outputs.first
      else { continue }
      let owner = memory(of: source)
      let readings = draft.inputs.count { slot in
        if case .buffer(let buffer) = slot { memory(of: buffer) == owner } else { false }
      }
      guard readings == 1, buffers[owner].feature == nil, buffers[owner].last == time,
        buffers[owner].layout == buffers[target].layout,
        buffers[owner].byteCount == buffers[target].byteCount,
        buffers[owner].type == buffers[target].type
      else { continue }
      buffers[target].overwrites = owner
      buffers[owner].last = buffers[target].last
    }
  }

  /// The buffer that owns the memory of `buffer`.
  private func memory(of buffer: Int) -> Int {
    var buffer = home(of: buffer)
    while let owner = buffers[buffer].overwrites { buffer = owner }
    return buffer
  }
}
