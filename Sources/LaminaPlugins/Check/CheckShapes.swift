import CLamina
import LaminaCore

// What must hold of shapes, of parameters, and of refusals.

@Sendable func shapesAccepted(_ subject: CheckSubject) throws {
  let layer = try subject.layer()
  var first: (inputs: [TensorSpec], error: LaminaError)?
  for inputs in subject.candidates {
    guard
      let error = try subject.refusal({ _ = try Trial(layer, inputs, seed: subject.check.seed) })
    else { return }
    if first == nil { first = (inputs, error) }
  }
  guard let (inputs, error) = first else { return }
  throw LaminaError(
    .shape,
    "expected one of \(subject.candidates.count) lists of inputs to be accepted, found of "
      + "\(inputs.map(\.description).joined(separator: ", ")): \(error.message); --input gives others"
  )
}

/// Plans a layer and lists its parameters.
private func plan(_ layer: PluginLayer, _ inputs: [TensorSpec]) throws {
  _ = try layer.outputs(for: inputs)
  _ = try layer.parameters(for: inputs)
}

@Sendable func shapesRanks(_ subject: CheckSubject) throws {
  let layer = try subject.layer()
  for rank in 0...Shape.maximumRank {
    let shape = try Shape((0..<rank).map { [2, 3, 4, 5, 2, 1, 2, 1][$0] })
    try subject.refusal {
      try plan(layer, [TensorSpec](repeating: TensorSpec(shape), count: subject.inputCount))
    }
  }
}

@Sendable func shapesTypes(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  for type in ElementType.allCases {
    try subject.refusal { try plan(trial.layer, trial.inputs.map { TensorSpec($0.shape, type) }) }
  }
}

extension Trial {
  /// The shapes of the inputs with other extents.
  fileprivate func reshaped(_ change: ([Int]) -> [Int]) throws -> [TensorSpec] {
    try inputs.map { TensorSpec(try Shape(change($0.shape.dimensions)), $0.type) }
  }
}

@Sendable func shapesBatch(_ subject: CheckSubject) throws {
  for trial in try subject.trials() where trial.inputs.allSatisfy({ $0.shape.rank > 1 }) {
    for batch in [1, 2, 3, 7] {
      let inputs = try trial.reshaped { [batch] + $0.dropFirst() }
      let error = try subject.refusal {
        _ = try Trial(trial.layer, inputs, seed: subject.check.seed).forward()
      }
      if let error, subject.layerClass.has(LAMINA_LAYER_BATCHWISE) {
        throw LaminaError(
          error.code,
          "expected a batch of \(batch) to be accepted as another is, found: \(error.message)")
      }
    }
  }
}

@Sendable func shapesZero(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    for axis in 0..<(trial.inputs.map(\.shape.rank).min() ?? 0) {
      let inputs = try trial.reshaped { extents in
        extents.enumerated().map { $0 == axis ? 0 : $1 }
      }
      try subject.refusal {
        _ = try Trial(trial.layer, inputs, seed: subject.check.seed).forward()
      }
    }
  }
}

@Sendable func shapesOdd(_ subject: CheckSubject) throws {
  for trial in try subject.trials() {
    for sizes in [[1, 1, 1, 1], [7, 11, 3, 1], [1, 13, 1, 5], [17, 1, 3, 3], [31, 33, 1, 2]] {
      let inputs = try trial.reshaped { extents in
        extents.enumerated().map { $0 < 2 ? $1 : sizes[($0 - 2) % 4] }
      }
      try subject.refusal {
        _ = try Trial(trial.layer, inputs, seed: subject.check.seed).forward()
      }
    }
  }
}

@Sendable func shapesHuge(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  for axis in 0..<(trial.inputs.map(\.shape.rank).max() ?? 0) {
    for extent in [Shape.maximumExtent, 1 << 20, 1 << 16] {
      for rest in [1, 1 << 10] {
        guard
          let inputs = try? trial.reshaped({ extents in
            extents.indices.map { $0 == axis ? extent : rest == 1 ? extents[$0] : rest }
          })
        else { continue }
        // What does not fit is the host's to refuse.
        _ = try? plan(trial.layer, inputs)
      }
    }
  }
}

@Sendable func shapesTwice(_ subject: CheckSubject) throws {
  let trials = try subject.trials()
  func facts(_ trial: Trial) throws -> [String] {
    let (layer, inputs) = (trial.layer, trial.inputs)
    let outputs = try layer.outputs(for: inputs)
    return outputs.map(\.description) + [
      "forward_scratch \(layer.scratchBytes(for: inputs, threads: 2))",
      "backward_scratch \(layer.backwardScratchBytes(for: inputs, threads: 2))",
      "saved \(layer.savedBytes(for: inputs))",
      "multiply_adds \(layer.multiplyAdds(for: inputs, outputs: outputs))",
    ]
  }
  let first = try trials.map(facts)
  for _ in 0..<3 {
    for (trial, expected) in zip(trials, first) {
      let found = try facts(trial)
      guard found == expected else {
        throw LaminaError(
          .format,
          "expected the same of inputs \(trial.description) each time, found "
            + "\(expected.joined(separator: ", ")) and \(found.joined(separator: ", "))")
      }
    }
  }
}

@Sendable func shapesOnThreads(_ subject: CheckSubject) throws {
  let trials = try subject.trials()
  try concurrently(4) { thread in
    for step in 0..<100 {
      let trial = trials[(thread + step) % trials.count]
      guard try trial.layer.outputs(for: trial.inputs) == trial.outputs else {
        throw LaminaError(.format, "infer_shapes gives other shapes when several threads call it")
      }
    }
  }
}

extension CheckSubject {
  /// Calls `infer_shapes` with a struct that is `extra` bytes longer than this host's.
  fileprivate func infer(
    _ layer: PluginLayer, _ inputs: [TensorSpec], extra: Int = 0, _ error: FencedMemory
  ) throws -> lamina_status? {
    guard let function = layerClass.table.infer_shapes else { return nil }
    let size = MemoryLayout<lamina_inference>.size + extra
    let call = try FencedMemory(byteCount: size)
    let place = call.address.assumingMemoryBound(to: lamina_inference.self)
    let tensors = inputs.map { lamina_plugin_tensor($0.shape, $0.type, nil) }
    let outputs = try FencedMemory(
      byteCount: MemoryLayout<lamina_plugin_tensor>.stride * layer.outputCount)
    let outputPlace = outputs.address.assumingMemoryBound(to: lamina_plugin_tensor.self)
    for index in 0..<layer.outputCount {
      outputPlace[index] = tensors.first ?? lamina_plugin_tensor()
    }
    let status = tensors.withUnsafeBufferPointer { tensors in
      place.pointee.struct_size = UInt32(size)
      place.pointee.threads = 1
      place.pointee.inputs = tensors.baseAddress
      place.pointee.input_count = tensors.count
      place.pointee.outputs = outputPlace
      place.pointee.output_count = layer.outputCount
      return function(
        layerClass.pointer, layer.instance.pointer, place,
        error.address.assumingMemoryBound(to: lamina_error.self))
    }
    for (name, memory) in [("the call", call), ("the outputs", outputs), ("the error", error)]
    where !memory.isIntact {
      throw LaminaError(.format, "infer_shapes writes before or behind \(name)")
    }
    return status
  }
}

/// A place for an error, with guard bytes around it.
private func errorPlace() throws -> FencedMemory {
  let size = MemoryLayout<lamina_error>.size
  let memory = try FencedMemory(byteCount: size)
  memory.address.storeBytes(of: UInt32(size), as: UInt32.self)
  return memory
}

@Sendable func shapesNewerHost(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  guard let status = try subject.infer(trial.layer, trial.inputs, extra: 64, errorPlace()) else {
    throw DoesNotApply("infer_shapes is NULL")
  }
  guard status == LAMINA_OK else {
    throw LaminaError(
      .format, "expected infer_shapes to do with a longer lamina_inference, found status \(status)")
  }
}

@Sendable func inputsTooFew(_ subject: CheckSubject) throws {
  try expectRefused(subject, subject.layerClass.definition.arity.lowerBound - 1)
}

@Sendable func inputsTooMany(_ subject: CheckSubject) throws {
  let arity = subject.layerClass.definition.arity
  let spec = try subject.trial().inputs.first ?? TensorSpec([1])
  let layer = try subject.layer()
  for count in arity.lowerBound...min(arity.upperBound, arity.lowerBound + 8) where count > 0 {
    try subject.refusal { try plan(layer, [TensorSpec](repeating: spec, count: count)) }
  }
  guard arity.upperBound < 1024 else { throw DoesNotApply("it takes any number of inputs") }
  try expectRefused(subject, arity.upperBound + 1)
}

/// Throws unless a graph refuses a node with `count` inputs.
private func expectRefused(_ subject: CheckSubject, _ count: Int) throws {
  let spec = try subject.trial().inputs.first ?? TensorSpec([1])
  guard count >= 0 else { throw DoesNotApply("it takes no input") }
  var builder = GraphBuilder(name: "check", registry: subject.registry)
  let inputs = try (0..<count).map {
    try builder.input("input\($0)", spec.shape.dimensions.map { .fixed($0) }, spec.type)
  }
  let attributes = subject.check.attributes
  guard
    try subject.refusal({
      try builder.addNode(subject.layerClass.kind, "layer", inputs, attributes: attributes)
    }) != nil
  else { throw LaminaError(.format, "expected \(count) inputs to be refused, found a node") }
}

@Sendable func errorsFit(_ subject: CheckSubject) throws {
  let layer = try subject.layer()
  var refusals = 0
  let shapes: [Shape] = [[], [1, 1, 1, 1, 1, 1, 1, 1], [0], [3, 5], [2, 3, 4], [1, 1, 1, 1]]
  for type in [ElementType.float32, .int8, .bool, .float64] {
    for shape in shapes {
      let place = try errorPlace()
      let inputs = [TensorSpec](repeating: TensorSpec(shape, type), count: subject.inputCount)
      guard let status = try subject.infer(layer, inputs, place), status != LAMINA_OK else {
        continue
      }
      refusals += 1
      let message = withExtendedLifetime(place) { Array(place.bytes[8...]) }
      let found = "found of \(inputs.map(\.description).joined(separator: ", "))"
      guard LaminaError.Code(rawValue: status) != nil else {
        throw LaminaError(.format, "expected a status of lamina_types.h, \(found): \(status)")
      }
      guard let end = message.firstIndex(of: 0), end > 0 else {
        throw LaminaError(.format, "expected a text that ends with NUL as an error, \(found) none")
      }
      guard let text = String(validating: message[..<end], as: UTF8.self), !text.contains("\n")
      else {
        throw LaminaError(.format, "expected one line of UTF-8 as an error, \(found) another")
      }
    }
  }
  if refusals == 0 { throw DoesNotApply("nothing is refused") }
}

// MARK: - Parameters

private func facts(_ parameters: [ParameterSpec]) -> [String] {
  parameters.map { "\($0.name) \($0.role.rawValue) \($0.spec) \($0.initializer)" }
}

@Sendable func parametersTwice(_ subject: CheckSubject) throws {
  let trials = try subject.trials()
  guard subject.layerClass.table.list_parameters != nil else {
    throw DoesNotApply("there are no parameters")
  }
  for _ in 0..<3 {
    for trial in trials {
      let (first, again) = (
        facts(trial.parameters), facts(try trial.layer.parameters(for: trial.inputs))
      )
      guard first == again else {
        throw LaminaError(
          .format,
          "expected the same parameters each time, found \(first.joined(separator: ", ")) and "
            + again.joined(separator: ", "))
      }
    }
  }
}

@Sendable func parametersCapacity(_ subject: CheckSubject) throws {
  let trial = try subject.trial()
  guard let function = subject.layerClass.table.list_parameters else {
    throw DoesNotApply("there are no parameters")
  }
  let tensors = trial.inputs.map { lamina_plugin_tensor($0.shape, $0.type, nil) }
  for capacity in 0...trial.parameters.count + 1 {
    let place = try FencedMemory(byteCount: capacity * MemoryLayout<lamina_parameter>.stride)
    var (count, error) = (0, lamina_error())
    error.struct_size = UInt32(MemoryLayout<lamina_error>.size)
    let status = function(
      subject.layerClass.pointer, trial.layer.instance.pointer, tensors, tensors.count,
      place.address.assumingMemoryBound(to: lamina_parameter.self), capacity, &count, &error)
    guard status == LAMINA_OK, count == trial.parameters.count else {
      throw LaminaError(
        .format,
        "expected count of \(trial.parameters.count) with room for \(capacity), found status "
          + "\(status) and \(count)")
    }
    guard place.isIntact else {
      throw LaminaError(.format, "list_parameters writes more than the \(capacity) it has room for")
    }
  }
}
