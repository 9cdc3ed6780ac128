import Foundation
import Lamina
import LaminaKernels
import Testing

/// Everything that must hold of every layer, checked for each case of a table.
///
/// ```swift
/// LayerHarness.check(
///   LeakyReLU.self,
///   cases: [LayerCase([[2, 3, 5, 7]]), LayerCase(["alpha": 0.2], [[4]])]
/// ) { call in [call.inputs[0].map { $0 < 0 ? $0 * 0.01 : $0 }] }
/// ```
///
/// For each case: the attributes survive encoding and decoding, and an unknown one is refused; inferred specs
/// are those produced; outputs are written whole and nothing around them; inputs stay as they are; `forward`
/// and the prepared path agree with the reference on every instruction set of this CPU; one and two threads,
/// a call in place and concurrent calls give the same bits; gradients agree with finite differences, and
/// prepared training with the plain one.
public enum LayerHarness {
  /// Checks a layer; failures are recorded as issues that name the layer, the case and the check.
  public static func check<L: Layer>(
    _ type: L.Type, cases: [LayerCase], reference: NaiveReference? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    check(
      LayerDefinition(type, provider: "test"), cases: cases, reference: reference,
      sourceLocation: sourceLocation)
  }

  /// Checks a layer by its definition, such as one of a plugin.
  public static func check(
    _ definition: LayerDefinition, cases: [LayerCase], reference: NaiveReference? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for problem in problems(of: definition, cases: cases, reference: reference) {
      Issue.record("\(problem)", sourceLocation: sourceLocation)
    }
  }

  /// What is wrong with a layer, one line for each finding, with the kind and the case in front.
  public static func problems(
    of definition: LayerDefinition, cases: [LayerCase], reference: NaiveReference? = nil
  ) -> [String] {
    var problems: [String] = []
    for (index, row) in cases.enumerated() {
      let findings = Findings()
      do {
        try CaseRun(definition, row, row.reference ?? reference, findings).checkAll()
      } catch {
        findings.add("unexpected error: \(error)")
      }
      problems += findings.list.map { "\(definition.kind) case \(index) \(row.description): \($0)" }
    }
    return problems
  }

  /// The specs that a layer infers for `inputs`, for tests of its errors.
  public static func infer<L: Layer>(
    _ type: L.Type, _ attributes: Attributes = [:], _ inputs: [TestInput]
  ) throws -> [TensorSpec] {
    let layer = try make(LayerDefinition(type, provider: "test"), attributes)
    return try layer.outputs(
      for: try CaseRun.specs(of: inputs, try CaseRun.tensors(of: inputs, seed: 1)))
  }

  /// The outputs of `forward`, for tests of its errors.
  public static func run<L: Layer>(
    _ type: L.Type, _ attributes: Attributes = [:], _ inputs: [TestInput]
  ) throws -> [Tensor] {
    let layer = try make(LayerDefinition(type, provider: "test"), attributes)
    let tensors = try CaseRun.tensors(of: inputs, seed: 1)
    let specs = try CaseRun.specs(of: inputs, tensors)
    let parameters = try layer.parameters(for: specs).map {
      try $0.makeTensor(seed: 1, key: $0.name)
    }
    return try evaluate(
      layer, inputs: tensors, parameters: parameters, outputs: try layer.outputs(for: specs),
      pool: ThreadPool(threads: 1))
  }

  static func make(_ definition: LayerDefinition, _ attributes: Attributes) throws -> any Layer {
    var registry = LayerRegistry()
    registry.replace(definition)
    return try registry.makeLayer(definition.kind, attributes).layer
  }
}

/// What was found wrong in one case, each finding once.
private final class Findings {
  private(set) var list: [String] = []

  func add(_ finding: String) { if !list.contains(finding) { list.append(finding) } }
}

/// One case of one layer.
private struct CaseRun {
  let definition: LayerDefinition
  let row: LayerCase
  let layer: any Layer
  let inputs: [Tensor]
  let inputSpecs: [TensorSpec]
  let parameterSpecs: [ParameterSpec]
  let parameters: [Tensor]
  let outputSpecs: [TensorSpec]
  let expected: [NaiveTensor]?
  let findings: Findings

  private static let oneThread = ThreadPool(threads: 1)
  private static let twoThreads = ThreadPool(threads: 2)
  private static let poisons: [UInt8] = [0xFF, 0x5B]

  init(
    _ definition: LayerDefinition, _ row: LayerCase, _ reference: NaiveReference?,
    _ findings: Findings
  ) throws {
    self.findings = findings
    self.definition = definition
    self.row = row
    let original = try LayerHarness.make(definition, row.attributes)
    // All checks run on a layer that went through encoding, so that a forgotten attribute shows.
    layer = try LayerHarness.make(definition, Self.attributes(of: original))
    inputs = try Self.tensors(of: row.inputs, seed: row.seed)
    inputSpecs = try Self.specs(of: row.inputs, inputs)
    parameterSpecs = try layer.parameters(for: inputSpecs)
    parameters = try parameterSpecs.enumerated().map { index, parameter in
      let (shape, type) = (parameter.spec.shape, parameter.spec.type)
      if let values = row.parameters[parameter.name] { return try Tensor(shape, type, values) }
      return try Tensor(
        random: shape, type, in: row.ranges[parameter.name] ?? -1...1,
        seed: row.seed &+ 1000 &+ UInt64(index))
    }
    outputSpecs = try layer.outputs(for: inputSpecs)
    let call = NaiveCall(
      attributes: row.attributes, inputs: inputs.map(\.naive), parameters: parameters.map(\.naive),
      outputs: outputSpecs)
    expected = try row.expected ?? reference.map { try $0(call) }
  }

  static func tensors(of inputs: [TestInput], seed: UInt64) throws -> [Tensor] {
    try inputs.enumerated().map { try $1.makeTensor(seed: seed &+ UInt64($0)) }
  }

  static func specs(of inputs: [TestInput], _ tensors: [Tensor]) throws -> [TensorSpec] {
    zip(inputs, tensors).map { TensorSpec($1.shape, $1.type, value: $0.isKnown ? $1 : nil) }
  }

  private static func attributes(of layer: any Layer) -> Attributes {
    var writer = AttributeWriter()
    layer.encode(into: &writer)
    return writer.attributes
  }

  // MARK: - Checks

  func checkAll() throws {
    try checkAttributes()
    checkSpecs()
    let runner = Runner.layer(layer)
    let outputs = try run(runner, "forward")
    compareWithReference(outputs, row.tolerance, "forward")
    compareKnownValues(outputs)
    if definition.outputMemory == .aliasesInput { checkAlias(outputs) }
    let reference = outputs.map(\.naive)
    try onEveryInstructionSet { name in
      let pool = "forward on \(name)"
      let single = try run(runner, pool)
      compare(single, expected ?? reference, row.tolerance, pool)
      let double = try run(runner, "\(pool), two threads", pool: Self.twoThreads)
      expectSameBits(double, single, "\(pool): two threads and one")
      try checkPrepared(reference, name)
    }
    if canRunInPlace {
      expectSameBits(
        try run(runner, "forward in place", inPlace: true), outputs, "forward in place")
    }
    checkConcurrent(runner, outputs, "forward")
    if case .supported(let needsInputs, let needsOutputs) = definition.gradient {
      try GradientCheck(
        layer: layer, inputs: inputs, parameters: parameters, parameterSpecs: parameterSpecs,
        inputSpecs: inputSpecs, outputSpecs: outputSpecs, needsInputs: needsInputs,
        needsOutputs: needsOutputs, row: row, report: findings.add
      ).check()
      try onEveryInstructionSet { isa in
        try TrainingCheck(
          layer: layer, inputs: inputs, parameters: parameters, parameterSpecs: parameterSpecs,
          inputSpecs: inputSpecs, outputSpecs: outputSpecs, gradient: definition.gradient,
          tolerance: row.preparedTolerance, defaultInstructionSet: Self.defaultInstructionSet,
          report: findings.add
        ).check(isa)
      }
    }
  }

  private func report(_ finding: String) { findings.add(finding) }

  private func checkAttributes() throws {
    let original = Self.attributes(of: try LayerHarness.make(definition, row.attributes))
    if Self.attributes(of: layer) != original {
      report("attributes change when decoded again: \(Self.attributes(of: layer).json.text())")
    }
    let text = original.json.text()
    let read = try Attributes(json: try JSON.parse(text: text), path: "attributes")
    if Self.attributes(of: try LayerHarness.make(definition, read)) != original {
      report("attributes change when written as JSON: \(read.json.text())")
    }
    var wrong = original
    wrong["qqqqqqqqqqqqqqqqqqqqqqqq"] = 1
    do {
      _ = try LayerHarness.make(definition, wrong)
      report("an unknown attribute is accepted")
    } catch let error as LaminaError {
      if error.message != "unknown attribute 'qqqqqqqqqqqqqqqqqqqqqqqq'" {
        report("an unknown attribute gives '\(error.message)'")
      }
    }
  }

  private func checkSpecs() {
    if !definition.arity.contains(inputs.count) {
      report("arity \(definition.arity) excludes the case's \(inputs.count) inputs")
    }
    if outputSpecs.count != layer.outputCount {
      report("outputCount is \(layer.outputCount), outputs(for:) gives \(outputSpecs.count)")
    }
    for parameter in parameterSpecs where parameter.name.isEmpty {
      report("a parameter has no name")
    }
    if Set(parameterSpecs.map(\.name)).count != parameterSpecs.count {
      report("two parameters have one name")
    }
    guard let expected else { return }
    if expected.map(\.shape) != outputSpecs.map(\.shape) {
      report(
        "inferred shapes \(outputSpecs.map(\.shape)), the reference gives \(expected.map(\.shape))")
    }
  }

  private func checkAlias(_ outputs: [Tensor]) {
    guard let input = inputs.first, let output = outputs.first else { return }
    if input.byteCount != output.byteCount || input.type != output.type {
      report("aliases \(input.spec), but gives \(output.spec)")
    } else if !sameBits(input, output) {
      report("aliases its input, but forward gives other bytes")
    }
  }

  private func compareKnownValues(_ outputs: [Tensor]) {
    for (index, (spec, output)) in zip(outputSpecs, outputs).enumerated() {
      guard let value = spec.value else { continue }
      if value.spec != output.spec {
        report("output \(index): known value is \(value.spec), the spec \(output.spec)")
      } else if !sameBits(value, output) {
        report("output \(index): the known value is not what forward gives")
      }
    }
  }

  private func checkPrepared(_ forward: [NaiveTensor], _ isa: String) throws {
    let isFeatureMap = inputSpecs.first.map { $0.shape.rank == 4 && $0.type == .float32 } ?? false
    let offered: [TensorLayout] =
      isFeatureMap
      ? [
        .plain, .blocked(channels: 8, halo: 0), .blocked(channels: 16, halo: 0),
        .blocked(channels: 16, halo: 1),
      ] : [.plain]
    for layout in offered {
      for areConstant in [true, false] {
        let specs = zip(parameterSpecs, parameters).map {
          TensorSpec($1.shape, $1.type, value: areConstant ? $1 : nil)
        }
        if !areConstant && specs.isEmpty { continue }
        for threads in [1, 2] {
          let pool = threads == 1 ? Self.oneThread : Self.twoThreads
          let context = PrepareContext(
            inputs: inputSpecs, outputs: outputSpecs, parameters: specs,
            inputLayouts: inputSpecs.map {
              $0.shape.rank == 4 && $0.type == .float32 ? layout : .plain
            }, pool: pool)
          guard let prepared = try layer.prepare(context) else { continue }
          let name =
            "prepared on \(isa) (\(prepared.summary)), \(threads) threads, offered \(layout)"
            + (areConstant ? "" : ", parameters at run time")
          let runner = Runner.prepared(prepared)
          let outputs = try run(runner, name, pool: pool)
          compare(outputs, expected ?? forward, row.preparedTolerance, name)
          if threads == 2 {
            let single = try run(runner, name, pool: Self.oneThread)
            expectSameBits(single, outputs, "\(name): run by one thread")
          }
          if layout == .plain, areConstant, threads == 2, isa == Self.defaultInstructionSet {
            checkConcurrent(runner, outputs, name)
          }
        }
      }
    }
  }

  private func checkConcurrent(_ runner: Runner, _ outputs: [Tensor], _ name: String) {
    let results = ResultBox()
    let group = DispatchGroup()
    nonisolated(unsafe) let this = self
    for _ in 0..<4 {
      group.enter()
      let thread = Thread {
        let result = Result {
          try this.run(runner, "\(name), concurrent", pool: Self.twoThreads, reports: false)
        }
        results.append(result)
        group.leave()
      }
      thread.stackSize = 1 << 20
      thread.start()
    }
    group.wait()
    for result in results.all {
      switch result {
      case .success(let tensors): expectSameBits(tensors, outputs, "\(name): concurrent calls")
      case .failure(let error): report("\(name), concurrent: \(error)")
      }
    }
  }

  // MARK: - Running

  enum Runner {
    case layer(any Layer)
    case prepared(any PreparedLayer)
  }

  private var canRunInPlace: Bool {
    guard definition.outputMemory == .mayOverwriteInput, let input = inputSpecs.first,
      let output = outputSpecs.first
    else { return false }
    return input == output
  }

  /// Runs twice over memory filled with different bytes and returns the outputs in plain layout.
  private func run(
    _ runner: Runner, _ name: String, pool: ThreadPool = oneThread, inPlace: Bool = false,
    reports: Bool = true
  ) throws -> [Tensor] {
    let runs = try Self.poisons.map { poison in
      try runOnce(runner, reports ? name : nil, pool, inPlace: inPlace, poison: poison)
    }
    for (index, (a, b)) in zip(runs[0], runs[1]).enumerated() where !sameBits(a, b) {
      if reports {
        report(
          "\(name): output \(index) depends on what was in memory, first at element "
            + "\(firstDifference(a, b))")
      } else {
        throw LaminaError(.internal, "output \(index) depends on what was in memory")
      }
    }
    return runs[0]
  }

  private func runOnce(
    _ runner: Runner, _ name: String?, _ pool: ThreadPool, inPlace: Bool, poison: UInt8
  ) throws -> [Tensor] {
    var inputLayouts = inputs.map { _ in TensorLayout.plain }
    var outputLayouts = outputSpecs.map { _ in TensorLayout.plain }
    var scratchBytes = layer.scratchBytes(for: inputSpecs, threads: pool.threadCount)
    if case .prepared(let prepared) = runner {
      inputLayouts = prepared.inputLayouts ?? inputLayouts
      outputLayouts = prepared.outputLayouts ?? outputLayouts
      scratchBytes = prepared.scratchBytes
    }
    let outputMemory = try zip(outputSpecs, outputLayouts).map { spec, layout in
      try GuardedMemory(byteCount: layout.byteCount(spec), filledWith: poison)
    }
    let inputMemory = try zip(inputs, inputLayouts).map { tensor, layout in
      let memory = try GuardedMemory(byteCount: layout.byteCount(tensor.spec), filledWith: 0)
      memory.write(tensor, in: layout)
      return memory
    }
    if inPlace { outputMemory[0].write(inputs[0], in: .plain) }
    let parameterMemory = try parameters.map { tensor in
      let memory = try GuardedMemory(byteCount: tensor.byteCount, filledWith: 0)
      memory.write(tensor, in: .plain)
      return memory
    }
    let scratch = try GuardedMemory(byteCount: scratchBytes, filledWith: poison)
    let before = (inputMemory + parameterMemory).map(\.bytes)

    let call = ForwardCall(
      inputs: zip(inputs, inputMemory).enumerated().map { index, pair in
        let memory = inPlace && index == 0 ? outputMemory[0] : pair.1
        return TensorView(pair.0.shape, pair.0.type, UnsafeRawPointer(memory.address))
      },
      parameters: zip(parameters, parameterMemory).map {
        TensorView($0.shape, $0.type, UnsafeRawPointer($1.address))
      },
      outputs: zip(outputSpecs, outputMemory).map {
        MutableTensorView($0.shape, $0.type, $1.address)
      },
      scratch: UnsafeMutableRawBufferPointer(start: scratch.address, count: scratchBytes),
      pool: pool)
    switch runner {
    case .layer(let layer): try layer.forward(call)
    case .prepared(let prepared): try prepared.run(call)
    }

    func note(_ message: String) { if let name { report("\(name): \(message)") } }
    for (index, memory) in outputMemory.enumerated() where !memory.isIntact {
      note("bytes around output \(index) are overwritten")
    }
    if !scratch.isIntact {
      note("bytes around the \(scratchBytes) bytes of scratch are overwritten")
    }
    if (inputMemory + parameterMemory).map(\.bytes) != before {
      note("an input or parameter is overwritten")
    }
    return try zip(outputSpecs, zip(outputMemory, outputLayouts)).map { spec, memory in
      let (tensor, isPadded) = try memory.0.read(spec, in: memory.1)
      if !isPadded { note("halo or missing channels of an output in \(memory.1) are not zero") }
      return tensor
    }
  }

  // MARK: - Instruction sets

  private static let defaultInstructionSet = String(cString: lk_isa_name(lk_active_isa()))

  private func onEveryInstructionSet(_ body: (String) throws -> Void) rethrows {
    // Known before an instruction set is chosen for this thread.
    _ = Self.defaultInstructionSet
    defer { lk_set_thread_isa(-1) }
    for number in 0..<Int32(LK_ISA_COUNT) {
      let isa = lk_isa(rawValue: UInt32(number))
      guard lk_isa_available(isa) else { continue }
      lk_set_thread_isa(number)
      try body(String(cString: lk_isa_name(isa)))
    }
  }

  // MARK: - Comparing

  private func compareWithReference(_ outputs: [Tensor], _ tolerance: Double, _ name: String) {
    if let expected { compare(outputs, expected, tolerance, name) }
  }

  private func compare(
    _ outputs: [Tensor], _ expected: [NaiveTensor], _ tolerance: Double, _ name: String
  ) {
    guard outputs.count == expected.count else {
      report("\(name): expected \(expected.count) outputs, found \(outputs.count)")
      return
    }
    for (index, (output, want)) in zip(outputs, expected).enumerated() {
      guard output.shape.count == want.shape.count else { continue }
      let found = output.naive.elements
      let limit = output.type.isFloatingPoint ? tolerance : 0
      let worst = largestDifference(found, want.elements)
      if worst.value > limit {
        let first =
          found.indices.first {
            largestDifference([found[$0]], [want.elements[$0]]).value > limit
          } ?? worst.index
        report(
          "\(name): output \(index) differs first at element \(first): expected "
            + "\(want.elements[first]), found \(found[first]); largest difference \(worst.value) at "
            + "\(worst.index), allowed \(limit)")
      }
    }
  }

  private func expectSameBits(_ a: [Tensor], _ b: [Tensor], _ name: String) {
    for (index, (a, b)) in zip(a, b).enumerated() where !sameBits(a, b) {
      report("\(name): output \(index) differs first at element \(firstDifference(a, b))")
    }
  }

  private func sameBits(_ a: Tensor, _ b: Tensor) -> Bool {
    a.withBytes { a in b.withBytes { b in a.elementsEqual(b) } }
  }

  private func firstDifference(_ a: Tensor, _ b: Tensor) -> Int {
    a.withBytes { bytesA in
      b.withBytes { bytesB in
        (bytesA.indices.first { bytesA[$0] != bytesB[$0] } ?? 0) / a.type.byteCount
      }
    }
  }
}

/// Results of several threads.
private final class ResultBox: @unchecked Sendable {
  private let lock = NSLock()
  private var results: [Result<[Tensor], any Error>] = []

  func append(_ result: Result<[Tensor], any Error>) { lock.withLock { results.append(result) } }
  var all: [Result<[Tensor], any Error>] { lock.withLock { results } }
}
