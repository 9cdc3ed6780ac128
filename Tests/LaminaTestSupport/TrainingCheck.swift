import Lamina

/// Checks a training step of a layer: on one thread and two the plain one gives the same bits (on the CPU's own
/// instruction set), and so does the prepared one, which agrees with it in every layout it is offered, whether it
/// sets gradients or adds to them.
struct TrainingCheck {
  let layer: any Layer
  let inputs: [Tensor]
  let parameters: [Tensor]
  let parameterSpecs: [ParameterSpec]
  let inputSpecs: [TensorSpec]
  let outputSpecs: [TensorSpec]
  let gradient: Gradient
  let tolerance: Double
  /// Kernels that are started by other threads run on this instruction set.
  let defaultInstructionSet: String
  let report: (String) -> Void

  private static let pools = [ThreadPool(threads: 1), ThreadPool(threads: 2)]
  private static let randomSeed: UInt64 = 7
  private static let poison: UInt8 = 0xFF

  /// What a step leaves: outputs, new values of buffers, and gradients of inputs and parameters.
  private typealias Results = [(name: String, tensor: Tensor)]

  /// What runs a step.
  private struct Runner {
    var inputLayouts: [TensorLayout]
    var outputLayouts: [TensorLayout]
    var gradient: Gradient
    var savedBytes: Int
    var scratchBytes: Int
    var forward: (ForwardCall) throws -> Void
    var backward: (BackwardCall) throws -> Void
  }

  func check(_ isa: String) throws {
    let isFeatureMap = inputSpecs.first.map { $0.shape.rank == 4 && $0.type == .float32 } ?? false
    let blocked = isFeatureMap ? [8, 16].map { TensorLayout.blocked(channels: $0, halo: 0) } : []
    let halo = isFeatureMap ? [TensorLayout.blocked(channels: 16, halo: 1)] : []
    let comparesThreads = isa == defaultInstructionSet
    for isTraining in [true, false] {
      let plain = plainRunner
      let name = "training on \(isa)" + (isTraining ? "" : ", frozen")
      let expected = try checkThreads(plain, isTraining, sets: false, comparesThreads, name)
      for layout in [.plain] + blocked + halo {
        for outputHalo in layout == .plain ? [0] : [0, 1] {
          let context = TrainingContext(
            inputs: inputSpecs, outputs: outputSpecs, parameters: parameterSpecs.map(\.spec),
            inputLayouts: inputSpecs.map {
              $0.shape.rank == 4 && $0.type == .float32 ? layout : .plain
            }, outputHalos: outputSpecs.map { _ in outputHalo }, isTraining: isTraining,
            threads: 2)
          guard let prepared = try layer.prepareTraining(context) else { continue }
          for sets in [true, false] {
            let name =
              "prepared \(name), offered \(layout) for halo \(outputHalo), gradients "
              + (sets ? "set" : "added")
            let found = try checkThreads(
              runner(prepared), isTraining, sets: sets, comparesThreads, name)
            compare(found, expected, name)
          }
        }
      }
    }
  }

  private var plainRunner: Runner {
    Runner(
      inputLayouts: inputs.map { _ in .plain }, outputLayouts: outputSpecs.map { _ in .plain },
      gradient: gradient, savedBytes: layer.savedBytes(for: inputSpecs),
      scratchBytes: max(
        layer.scratchBytes(for: inputSpecs, threads: 2),
        layer.backwardScratchBytes(for: inputSpecs, threads: 2)),
      forward: layer.forward, backward: layer.backward)
  }

  private func runner(_ prepared: any PreparedTraining) -> Runner {
    Runner(
      inputLayouts: prepared.inputLayouts ?? inputs.map { _ in .plain },
      outputLayouts: prepared.outputLayouts ?? outputSpecs.map { _ in .plain },
      gradient: prepared.gradient, savedBytes: prepared.savedBytes,
      scratchBytes: prepared.scratchBytes, forward: prepared.forward, backward: prepared.backward)
  }

  /// A step on one thread and on two.
  private func checkThreads(
    _ runner: Runner, _ isTraining: Bool, sets: Bool, _ comparesThreads: Bool, _ name: String
  ) throws -> Results {
    let runs = try Self.pools.map { try step(runner, isTraining, sets: sets, $0, name) }
    guard comparesThreads else { return runs[0] }
    for (single, double) in zip(runs[0], runs[1])
    where !single.tensor.withBytes({ a in double.tensor.withBytes { a.elementsEqual($0) } }) {
      report("\(name): \(single.name) is another on two threads")
    }
    return runs[0]
  }

  private func compare(_ found: Results, _ expected: Results, _ name: String) {
    for (found, expected) in zip(found, expected) {
      let numbers = expected.tensor.naive.elements
      let scale = max(1, numbers.reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 })
      let worst = largestDifference(
        found.tensor.naive.elements.map { $0 / scale }, numbers.map { $0 / scale })
      if worst.value > max(tolerance, 1e-6) {
        report(
          "\(name): \(found.name) differs from the plain one at element \(worst.index): expected "
            + "\(numbers[worst.index]), found \(found.tensor.naive.elements[worst.index])")
      }
    }
  }

  /// What a gradient holds before another is added.
  private func base(_ shape: Shape) throws -> Tensor { try Tensor(random: shape, seed: 900) }

  private func step(
    _ runner: Runner, _ isTraining: Bool, sets: Bool, _ pool: ThreadPool, _ name: String
  ) throws -> Results {
    func memory(_ tensors: [Tensor], _ layouts: [TensorLayout]) throws -> [GuardedMemory] {
      try zip(tensors, layouts).map { tensor, layout in
        let memory = try GuardedMemory(
          byteCount: layout.byteCount(tensor.spec), filledWith: Self.poison)
        memory.write(tensor, in: layout)
        return memory
      }
    }
    func poisoned(_ byteCount: Int) throws -> GuardedMemory {
      try GuardedMemory(byteCount: byteCount, filledWith: Self.poison)
    }
    let plain = parameters.map { _ in TensorLayout.plain }
    let inputMemory = try memory(inputs, runner.inputLayouts)
    let parameterMemory = try memory(parameters, plain)
    let outputMemory = try zip(outputSpecs, runner.outputLayouts).map {
      try poisoned($1.byteCount($0))
    }
    let updateMemory = try zip(parameterSpecs, parameters).map {
      $0.role == .buffer ? try poisoned($1.byteCount) : nil
    }
    let saved = try poisoned(runner.savedBytes)
    let scratch = try poisoned(runner.scratchBytes)
    let inputViews = zip(inputs, inputMemory).map { $1.view($0.spec) }
    let parameterViews = zip(parameters, parameterMemory).map { $1.view($0.spec) }
    let forward = ForwardCall(
      inputs: inputViews, parameters: parameterViews,
      outputs: zip(outputSpecs, outputMemory).map { $1.mutableView($0) },
      scratch: scratch.buffer, pool: pool, isTraining: isTraining, seed: Self.randomSeed,
      saved: saved.buffer,
      bufferUpdates: isTraining
        ? zip(parameters, updateMemory).map { $1?.mutableView($0.spec) } : [])

    let outputGradients = try outputSpecs.enumerated().map {
      try Tensor(random: $1.shape, $1.type, seed: 500 &+ UInt64($0))
    }
    let gradientMemory = try memory(outputGradients, runner.outputLayouts)
    func bases(_ tensors: [Tensor], _ layouts: [TensorLayout], _ isWanted: [Bool]) throws
      -> [GuardedMemory?]
    {
      try tensors.indices.map { index in
        let (tensor, layout) = (tensors[index], layouts[index])
        guard isWanted[index] else { return nil }
        if sets { return try poisoned(layout.byteCount(tensor.spec)) }
        return try memory([base(tensor.shape)], [layout])[0]
      }
    }
    let inputGradients = try bases(
      inputs, runner.inputLayouts, inputSpecs.map { $0.type == .float32 && $0.value == nil })
    let parameterGradients = try bases(
      parameters, plain,
      zip(parameterSpecs, parameters).map { $0.role == .weight && $1.type == .float32 })
    var needs = (inputs: false, outputs: false)
    if case .supported(let inputs, let outputs) = runner.gradient { needs = (inputs, outputs) }
    let backward = BackwardCall(
      outputGradients: zip(outputSpecs, gradientMemory).map {
        $0.type == .float32 ? $1.view($0) : nil
      },
      inputs: inputViews.map { needs.inputs ? $0 : nil },
      outputs: zip(outputSpecs, outputMemory).map { needs.outputs ? $1.view($0) : nil },
      parameters: parameterViews,
      inputGradients: zip(inputs, inputGradients).map { $1?.mutableView($0.spec) },
      parameterGradients: zip(parameters, parameterGradients).map { $1?.mutableView($0.spec) },
      setsInputGradients: inputs.map { _ in sets },
      setsParameterGradients: parameters.map { _ in sets }, saved: saved.buffer,
      scratch: scratch.buffer, pool: pool, isTraining: isTraining, seed: Self.randomSeed)
    try withExtendedLifetime((inputMemory, parameterMemory, gradientMemory)) {
      try runner.forward(forward)
      try runner.backward(backward)
    }

    var results: Results = []
    func add(_ kind: String, _ spec: TensorSpec, _ memory: GuardedMemory?, _ layout: TensorLayout)
      throws
    {
      guard let memory else { return }
      let (tensor, isPadded) = try memory.read(spec, in: layout)
      if !isPadded { report("\(name): halo or missing channels of \(kind) are not zero") }
      if !memory.isIntact { report("\(name): bytes around \(kind) are overwritten") }
      results.append((kind, tensor))
    }
    func addGradient(
      _ name: String, _ spec: TensorSpec, _ memory: GuardedMemory?, _ layout: TensorLayout
    ) throws {
      guard let memory else { return }
      try add("the gradient of \(name)", spec, memory, layout)
      guard !sets, let last = results.popLast() else { return }
      let difference = zip(last.tensor.naive.elements, try base(spec.shape).naive.elements).map(-)
      results.append((last.name, try Tensor(spec.shape, .float32, difference)))
    }
    for (index, spec) in outputSpecs.enumerated() {
      try add("output \(index)", spec, outputMemory[index], runner.outputLayouts[index])
    }
    for (index, spec) in inputSpecs.enumerated() {
      try addGradient(
        "input \(index)", spec, inputGradients[index], runner.inputLayouts[index])
    }
    for (index, parameter) in parameterSpecs.enumerated() {
      try addGradient(parameter.name, parameter.spec, parameterGradients[index], .plain)
      if isTraining {
        try add("the update of \(parameter.name)", parameter.spec, updateMemory[index], .plain)
      }
    }
    if !saved.isIntact || !scratch.isIntact {
      report("\(name): bytes around saved or scratch memory are overwritten")
    }
    return results
  }
}

extension GuardedMemory {
  fileprivate func view(_ spec: TensorSpec) -> TensorView {
    TensorView(spec.shape, spec.type, UnsafeRawPointer(address))
  }

  fileprivate func mutableView(_ spec: TensorSpec) -> MutableTensorView {
    MutableTensorView(spec.shape, spec.type, address)
  }

  fileprivate var buffer: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }
}
