import CLamina
import LaminaCore

// What must hold of the backward pass.

/// A backward pass behind a forward pass, in memory with guard bytes.
private final class BackwardRun: @unchecked Sendable {
  let forward: ForwardRun
  let pool: ThreadPool
  /// Gradients of inputs and then of parameters; nil where they are not wanted.
  let gradients: [FencedMemory?]
  let outputGradients: [FencedMemory?]
  private let scratch: FencedMemory

  /// - Parameters:
  ///   - wanted: which of those that there can be.
  ///   - isZero: whether the gradients of the outputs are zero, which is said by there being none.
  ///   - base: seed of what is in the gradients before; nil: zeros.
  init(
    _ forward: ForwardRun, threads: Int = 1, isZero: Bool = false, base: UInt64? = nil,
    wanted: (Int) -> Bool = { _ in true }
  ) throws {
    let trial = forward.trial
    self.forward = forward
    pool = ThreadPool(threads: threads)
    gradients = try trial.differentiable.enumerated().map { index, spec in
      guard let spec, wanted(index) else { return nil }
      guard let base else { return try FencedMemory(byteCount: spec.byteCount) }
      return try FencedMemory(Trial.random(spec, base, "base \(index)"))
    }
    outputGradients = try trial.outputs.enumerated().map { index, spec in
      isZero || spec.type != .float32 ? nil : try FencedMemory(trial.outputGradient(index))
    }
    scratch = try FencedMemory(
      byteCount: trial.layer.backwardScratchBytes(for: trial.inputs, threads: threads),
      filledWith: 0xFF)
    try run()
  }

  func run() throws {
    let trial = forward.trial
    let (readsInputs, readsOutputs): (Bool, Bool) =
      switch trial.layer.layerClass.definition.gradient {
      case .supported(let inputs, let outputs): (inputs, outputs)
      case .unsupported: (false, false)
      }
    func view(_ spec: TensorSpec, _ memory: FencedMemory) -> TensorView {
      TensorView(spec.shape, spec.type, memory.address)
    }
    func target(_ spec: TensorSpec, _ memory: FencedMemory?) -> MutableTensorView? {
      memory.map { MutableTensorView(spec.shape, spec.type, $0.address) }
    }
    let parameterSpecs = trial.parameters.map(\.spec)
    try trial.layer.backward(
      BackwardCall(
        outputGradients: zip(trial.outputs, outputGradients).map { spec, memory in
          memory.map { view(spec, $0) }
        },
        inputs: zip(trial.inputs, forward.inputs).map { readsInputs ? view($0, $1) : nil },
        outputs: zip(trial.outputs, forward.outputs).map { readsOutputs ? view($0, $1) : nil },
        parameters: zip(parameterSpecs, forward.parameters).map(view),
        inputGradients: zip(trial.inputs, gradients).map(target),
        parameterGradients: zip(parameterSpecs, gradients.dropFirst(trial.inputs.count)).map(
          target),
        saved: forward.saved.byteCount > 0
          ? forward.saved.bytes : UnsafeMutableRawBufferPointer(start: nil, count: 0),
        scratch: scratch.bytes, pool: pool, isTraining: true, seed: 7))
  }

  /// Throws what was written outside.
  func expectGuards() throws {
    try forward.expectGuards(of: "backward")
    for (index, memory) in gradients.enumerated() where !(memory?.isIntact ?? true) {
      throw LaminaError(
        .format, "backward writes before or behind the gradient of \(forward.trial.name(index))")
    }
    for (index, memory) in outputGradients.enumerated() where !(memory?.isIntact ?? true) {
      throw LaminaError(
        .format, "backward writes before or behind the gradient of output \(index)")
    }
    guard scratch.isIntact else {
      throw LaminaError(.format, "backward writes before or behind its scratch memory")
    }
  }

  /// Throws where gradients that both want differ in a bit.
  func expectSame(as other: BackwardRun, _ message: String) throws {
    for (index, spec) in forward.trial.differentiable.enumerated() {
      guard let spec, let a = gradients[index], let b = other.gradients[index],
        let place = firstDifference(a.address, b.address, spec)
      else { continue }
      throw LaminaError(
        .format,
        "\(message): the gradient of \(forward.trial.name(index)) differs at element \(place): "
          + "\(element(a.address, spec, place)) and \(element(b.address, spec, place))")
    }
  }
}

extension Trial {
  /// Inputs and then parameters; nil for those that have no gradient.
  fileprivate var differentiable: [TensorSpec?] {
    inputs.map { $0.type == .float32 ? $0 : nil }
      + parameters.map { $0.role == .weight && $0.spec.type == .float32 ? $0.spec : nil }
  }

  /// What `differentiable` lists, for people.
  fileprivate func name(_ index: Int) -> String {
    index < inputs.count ? "input \(index)" : "'\(parameters[index - inputs.count].name)'"
  }

  fileprivate func outputGradient(_ index: Int) throws -> Tensor {
    try Self.random(outputs[index], 500, "output \(index)")
  }

  /// A training pass, and the backward pass behind it.
  fileprivate func backward(
    threads: Int = 1, isZero: Bool = false, base: UInt64? = nil,
    wanted: (Int) -> Bool = { _ in true }
  ) throws -> BackwardRun {
    let run = try forward {
      $0.isTraining = true
      $0.threads = threads
    }
    return try BackwardRun(run, threads: threads, isZero: isZero, base: base, wanted: wanted)
  }

  /// Σ output·weight over the outputs, with one number of an input or a parameter changed.
  fileprivate func loss(_ target: Int, _ index: Int, _ offset: Float, _ weights: [Tensor]) throws
    -> Double
  {
    var changed = self
    func copy(_ tensor: Tensor) throws -> Tensor {
      let copy = try Tensor(copying: tensor.view)
      copy.withMutableElements(of: Float.self) { $0[index] += offset }
      return copy
    }
    if target < inputs.count {
      changed.inputTensors[target] = try copy(inputTensors[target])
    } else {
      let parameter = target - inputs.count
      changed.parameterTensors[parameter] = try copy(parameterTensors[parameter])
    }
    let run = try changed.forward { $0.isTraining = true }
    var sum = 0.0
    for (number, spec) in outputs.enumerated() where spec.type == .float32 {
      withExtendedLifetime(run) {
        let values = TensorView(spec.shape, spec.type, run.outputs[number].address).floats
        weights[number].withElements(of: Float.self) { weights in
          for i in weights.indices { sum += Double(values[i]) * Double(weights[i]) }
        }
      }
    }
    return sum
  }

  /// Compares the gradient of one tensor with central differences. Elements near a kink, where differences by other
  /// steps give another slope, do not count.
  fileprivate func checkGradient(_ target: Int, _ spec: TensorSpec) throws {
    guard let memory = try backward(base: 900).gradients[target] else { return }
    let found = withExtendedLifetime(memory) {
      Array(memory.bytes.bindMemory(to: Float.self))
    }
    let base = try Self.random(spec, 900, "base \(target)")
    let weights = try outputs.indices.map { try outputGradient($0) }
    let step: Float = 0x1p-7
    for index in stride(from: 0, to: spec.shape.count, by: max(1, spec.shape.count / 24)) {
      func slope(_ before: Float, _ behind: Float) throws -> Double {
        try (loss(target, index, behind, weights) - loss(target, index, -before, weights))
          / Double(before + behind)
      }
      let numeric = try slope(step, step)
      let start = base.withElements(of: Float.self) { Double($0[index]) }
      let gradient = Double(found[index]) - start
      let limit = 1e-2 * max(1, abs(numeric))
      guard !(abs(gradient - numeric) <= limit) else { continue }
      let near = step / 4
      guard try abs(slope(near, near) - numeric) <= limit,
        try abs(slope(near, 0) - slope(0, near)) <= 2 * limit
      else { continue }
      throw LaminaError(
        .format,
        "expected the gradient of \(name(target)) of inputs \(description) at element \(index) to "
          + "be \(Float(numeric)) by finite differences, found \(Float(gradient))")
    }
  }
}

@Sendable func gradientInputs(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    for (index, spec) in trial.differentiable.prefix(trial.inputs.count).enumerated() {
      if let spec { try trial.checkGradient(index, spec) }
    }
  }
}

@Sendable func gradientParameters(_ subject: CheckSubject) throws {
  let trials = try subject.trainedTrials()
  guard trials.contains(where: { $0.parameters.contains { $0.role == .weight } }) else {
    throw DoesNotApply("there are no weights")
  }
  for trial in trials {
    for (index, spec) in trial.differentiable.enumerated().dropFirst(trial.inputs.count) {
      if let spec { try trial.checkGradient(index, spec) }
    }
  }
}

@Sendable func backwardAdds(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    let (zero, base) = (try trial.backward(), try trial.backward(base: 3))
    for (index, spec) in trial.differentiable.enumerated() {
      guard let spec, let added = base.gradients[index], let plain = zero.gradients[index] else {
        continue
      }
      let sum = try FencedMemory(Trial.random(spec, 3, "base \(index)"))
      try withExtendedLifetime((added, plain, sum)) {
        let (target, gradient) = (
          sum.address.assumingMemoryBound(to: Float.self),
          plain.address.assumingMemoryBound(to: Float.self)
        )
        for i in 0..<spec.shape.count { target[i] += gradient[i] }
        try expectClose(
          added.address, sum.address, spec,
          "expected backward to add to the gradient of \(trial.name(index)): it")
      }
    }
  }
}

@Sendable func backwardUnwanted(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    let all = try trial.backward(base: 3)
    for (index, spec) in trial.differentiable.enumerated() where spec != nil {
      for alone in [true, false] {
        try trial.backward(base: 3) { ($0 == index) == alone }.expectSame(
          as: all, "expected the same whichever other gradients are wanted")
      }
    }
    _ = try trial.backward { _ in false }
  }
}

@Sendable func backwardZero(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    let run = try trial.backward(isZero: true, base: 3)
    for (index, spec) in trial.differentiable.enumerated() {
      guard let spec, let found = run.gradients[index] else { continue }
      let base = try FencedMemory(Trial.random(spec, 3, "base \(index)"))
      try withExtendedLifetime((found, base)) {
        try expectClose(
          found.address, base.address, spec,
          "expected no gradient of the outputs to add nothing: the gradient of \(trial.name(index))"
        )
      }
    }
  }
}

@Sendable func backwardTwice(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    let first = try trial.backward(base: 3)
    for _ in 0..<3 {
      try trial.backward(base: 3).expectSame(as: first, "expected the same result each time")
    }
  }
}

@Sendable func backwardGuards(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    for threads in [1, 2] { try trial.backward(threads: threads).expectGuards() }
  }
}

@Sendable func backwardInputs(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    let run = try trial.backward()
    try run.forward.expectInputsUnchanged(by: "backward")
    for (index, memory) in run.outputGradients.enumerated() {
      guard let memory else { continue }
      let before = try FencedMemory(trial.outputGradient(index))
      try withExtendedLifetime((memory, before)) {
        guard firstDifference(memory.address, before.address, trial.outputs[index]) == nil else {
          throw LaminaError(.format, "backward changes the gradient of output \(index)")
        }
      }
    }
    try run.forward.expectSame(
      as: trial.forward { $0.isTraining = true }, "expected backward to leave the outputs alone")
  }
}

@Sendable func backwardThreads(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    let run = try trial.backward(base: 3)
    for threads in [2, 3] {
      try trial.backward(threads: threads, base: 3).expectSame(
        as: run, "expected the same on 1 and on \(threads) threads")
    }
  }
}

@Sendable func backwardConcurrent(_ subject: CheckSubject) throws {
  let trial = try subject.trainedTrials(1)[0]
  let expected = try trial.backward(base: 3)
  try concurrently(4) { _ in
    for _ in 0..<10 {
      try trial.backward(threads: 2, base: 3).expectSame(
        as: expected, "expected the same when several threads train one layer")
    }
  }
}

@Sendable func backwardNaN(_ subject: CheckSubject) throws {
  for trial in try subject.trainedTrials() {
    for number in [Float.nan, .infinity, -.infinity] {
      var other = trial
      other.inputTensors = try trial.inputTensors.map { tensor in
        let copy = try Tensor(copying: tensor.view)
        if copy.type == .float32 {
          copy.withMutableElements(of: Float.self) { for i in $0.indices { $0[i] = number } }
        }
        return copy
      }
      try other.backward().expectGuards()
    }
  }
}

@Sendable func backwardMemory(_ subject: CheckSubject) throws {
  let run = try subject.trainedTrials(1)[0].backward()
  try expectNoGrowth("backward", run.run)
}
