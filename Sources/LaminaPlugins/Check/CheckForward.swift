import CLamina
import LaminaCore

// What must hold of the forward pass.

@Sendable func forwardWritesAll(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    for threads in [1, 2] {
      let runs = try [UInt8(0xFF), 0x5B].map { poison in
        try trial.forward {
          $0.poison = poison
          $0.threads = threads
        }
      }
      try runs[0].expectSame(
        as: runs[1], "expected every element to be written, whatever was in memory before")
    }
  }
}

@Sendable func forwardTwice(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    let run = try trial.forward()
    for _ in 0..<3 {
      try trial.forward().expectSame(as: run, "expected the same result each time")
    }
  }
}

@Sendable func forwardGuards(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    for isTraining in [false, true] {
      for threads in [1, 2] {
        try trial.forward {
          $0.isTraining = isTraining
          $0.threads = threads
        }.expectGuards(of: "forward")
      }
    }
  }
}

@Sendable func forwardInputs(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    for isTraining in [false, true] {
      try trial.forward { $0.isTraining = isTraining }.expectInputsUnchanged(by: "forward")
    }
  }
}

@Sendable func forwardUnaligned(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    let run = try trial.forward { $0.endsAtPage = true }
    try run.expectGuards(of: "forward")
    try run.expectSame(
      as: trial.forward(), "expected the same of memory that is aligned to its elements alone")
  }
}

@Sendable func forwardThreads(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    let run = try trial.forward()
    for threads in [2, 3] {
      try trial.forward { $0.threads = threads }.expectSame(
        as: run, "expected the same on 1 and on \(threads) threads")
    }
  }
}

@Sendable func forwardConcurrent(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  let expected = try trial.forward()
  try concurrently(4) { _ in
    for _ in 0..<25 {
      try trial.forward { $0.threads = 2 }.expectSame(
        as: expected, "expected the same when several threads run one layer")
    }
  }
}

@Sendable func forwardInstances(_ subject: CheckSubject) throws {
  let trials = try subject.trials()
  let expected = try trials.map { try $0.forward() }
  try concurrently(4) { thread in
    for step in 0..<25 {
      let index = (thread + step) % trials.count
      var trial = trials[index]
      trial.layer = try subject.make()
      try trial.forward().expectSame(
        as: expected[index], "expected the same when several threads run layers of their own")
    }
  }
}

@Sendable func forwardReentry(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  let expected = try trial.forward()
  let pool = ThreadPool(threads: 2)
  try concurrently(2) { _ in
    for _ in 0..<10 {
      try trial.forward { $0.pool = pool }.expectSame(
        as: expected, "expected the same within a loop of the host")
    }
  }
}

extension CheckSubject {
  /// Runs inputs in which some or all elements are `number`; results must not depend on anything else.
  fileprivate func forward(with number: Float, training: Bool) throws {
    for trial in try trials() where trial.inputs.contains(where: { $0.type == .float32 }) {
      for spacing in [1, 3] {
        var other = trial
        other.inputTensors = try trial.inputTensors.map { tensor in
          let copy = try Tensor(copying: tensor.view)
          if copy.type == .float32 {
            copy.withMutableElements(of: Float.self) { elements in
              for i in stride(from: 0, to: elements.count, by: spacing) { elements[i] = number }
            }
          }
          return copy
        }
        let runs = try [UInt8(0xFF), 0x5B].map { poison in
          try other.forward {
            $0.poison = poison
            $0.isTraining = training
          }
        }
        try runs[0].expectSame(as: runs[1], "expected the same each time of inputs with \(number)")
        try runs[0].expectGuards(of: "forward")
      }
    }
  }
}

@Sendable func forwardNaN(_ subject: CheckSubject) throws {
  for isTraining in [false, true] { try subject.forward(with: .nan, training: isTraining) }
}

@Sendable func forwardInfinity(_ subject: CheckSubject) throws {
  for number in [Float.infinity, -.infinity, .greatestFiniteMagnitude, -.greatestFiniteMagnitude] {
    try subject.forward(with: number, training: false)
  }
}

@Sendable func forwardDenormals(_ subject: CheckSubject) throws {
  for number in [Float.leastNonzeroMagnitude, -Float.leastNormalMagnitude / 2, -0.0] {
    try subject.forward(with: number, training: false)
  }
}

@Sendable func forwardBatch(_ subject: CheckSubject) throws {
  guard subject.layerClass.has(LAMINA_LAYER_BATCHWISE) else {
    throw DoesNotApply("the flags do not say that images are apart")
  }
  for trial in try subject.trials() {
    guard let batch = trial.inputs.first?.shape.dimensions.first, batch > 1,
      trial.inputs.allSatisfy({ $0.shape.dimensions.first == batch })
    else { continue }
    for spec in trial.outputs where spec.shape.dimensions.first != batch {
      throw LaminaError(.format, "expected outputs of \(batch) images, found \(spec)")
    }
    let whole = try trial.forward()
    for image in 0..<batch {
      let inputs = try trial.inputs.map {
        TensorSpec(try Shape([1] + $0.shape.dimensions.dropFirst()), $0.type)
      }
      var part = try Trial(trial.layer, inputs, seed: subject.check.seed)
      part.parameterTensors = trial.parameterTensors
      for (index, spec) in inputs.enumerated() {
        part.inputTensors[index] = try Tensor(
          copying: TensorView(
            spec.shape, spec.type, whole.inputs[index].address + image * spec.byteCount))
      }
      let single = try part.forward()
      for (index, spec) in part.outputs.enumerated() {
        try withExtendedLifetime((whole, single)) {
          try expectClose(
            whole.outputs[index].address + image * spec.byteCount, single.outputs[index].address,
            spec,
            "expected image \(image) of a batch to give what it gives alone: output \(index)")
        }
      }
    }
  }
}

/// Throws where numbers differ by more than 10⁻⁴ of the larger of 1 and the expected one.
func expectClose(
  _ found: UnsafeRawPointer, _ expected: UnsafeRawPointer, _ spec: TensorSpec, _ message: String
) throws {
  guard let first = firstDifference(found, expected, spec) else { return }
  let isClose: (Int) -> Bool = { index in
    guard spec.type == .float32 else { return false }
    let a = found.load(fromByteOffset: index * 4, as: Float.self)
    let b = expected.load(fromByteOffset: index * 4, as: Float.self)
    return a == b || a.isNaN && b.isNaN || abs(a - b) <= 1e-4 * max(1, abs(b))
  }
  guard spec.type != .float32 || !(0..<spec.shape.count).allSatisfy(isClose) else { return }
  let index = (first..<spec.shape.count).first { !isClose($0) } ?? first
  throw LaminaError(
    .format,
    "\(message) differs at element \(index): \(element(expected, spec, index)) and "
      + element(found, spec, index))
}

@Sendable func forwardInPlace(_ subject: CheckSubject) throws {
  guard subject.layerClass.has(LAMINA_LAYER_IN_PLACE) else {
    throw DoesNotApply("the flags do not say that it works in place")
  }
  for trial in try subject.trials()
  where trial.inputs.first.map({ $0 == trial.outputs.first }) ?? false {
    let run = try trial.forward()
    for threads in [1, 2] {
      try trial.forward {
        $0.isInPlace = true
        $0.threads = threads
      }.expectSame(as: run, "expected the same in the input's memory")
    }
  }
}

@Sendable func forwardTraining(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    let runs = try [UInt8(0xFF), 0x5B].map { poison in
      try trial.forward {
        $0.isTraining = true
        $0.poison = poison
      }
    }
    try runs[0].expectSame(as: runs[1], "expected the same of a training pass of the same seed")
    if !subject.layerClass.has(LAMINA_LAYER_RANDOM),
      trial.parameters.allSatisfy({ $0.role == .weight })
    {
      try runs[0].expectSame(
        as: trial.forward(),
        "expected a training pass without random numbers and buffers to give the same")
    }
  }
}

@Sendable func forwardBuffers(_ subject: CheckSubject) throws {
  let trials = try subject.trials()
  guard trials.contains(where: { $0.parameters.contains { $0.role == .buffer } }) else {
    throw DoesNotApply("there are no buffers")
  }
  for trial in trials {
    let updated = try trial.forward { $0.isTraining = true }
    let kept = try trial.forward {
      $0.isTraining = true
      $0.updatesBuffers = false
    }
    try kept.expectInputsUnchanged(by: "forward")
    try kept.expectSame(as: updated, "expected the same whether buffers are updated or not")
  }
}

@Sendable func forwardKeepsNothing(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  let expected = try trial.forward()
  let earlier = try trial.forward { $0.isTraining = true }
  for (_, memory) in earlier.memories { memory.revoke() }
  try trial.forward().expectSame(as: expected, "expected the same after another pass")
}

@Sendable func forwardLeavesProcess(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  let state = ProcessState()
  for isTraining in [false, true] { _ = try trial.forward { $0.isTraining = isTraining } }
  try state.expectSame(after: "forward")
}

@Sendable func forwardMemory(_ subject: CheckSubject) throws {
  let run = try subject.trial().forward()
  try expectNoGrowth("forward", run.run)
}

@Sendable func graphRuns(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  guard !trial.inputs.isEmpty else { throw DoesNotApply("it takes no input") }
  var builder = GraphBuilder(name: "check", registry: subject.registry)
  let inputs = try trial.inputs.enumerated().map { index, spec in
    try builder.input("input\(index)", spec.shape.dimensions.map { .fixed($0) }, spec.type)
  }
  let outputs = try builder.addNode(
    subject.layerClass.kind, "layer", inputs, attributes: subject.check.attributes)
  for (index, output) in outputs.enumerated() { try builder.output(output, name: "output\(index)") }
  let graph = try Graph(json: builder.graph.json, registry: subject.registry)
  let parameters = zip(trial.parameters, trial.parameterTensors).map { ("layer.\($0.name)", $1) }
  let model = try Model(
    graph: graph, parameters: Dictionary(parameters) { first, _ in first },
    registry: subject.registry)
  let found = try Session(model: model).run(trial.inputTensors)
  let expected = try trial.forward()
  for (index, spec) in trial.outputs.enumerated() {
    guard found[index].spec == spec else {
      throw LaminaError(
        .format, "expected output \(index) to be \(spec), found \(found[index].spec)")
    }
    try found[index].withBytes { bytes in
      guard let address = bytes.baseAddress else { return }
      try withExtendedLifetime(expected) {
        try expectClose(
          address, expected.outputs[index].address, spec,
          "expected a graph to give what the layer gives: output \(index)")
      }
    }
  }
}
