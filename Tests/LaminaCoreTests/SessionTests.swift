import AllocationCounter
import Foundation
import LaminaCore
import Testing

@Suite struct SessionTests {
  private func chain(_ build: (inout GraphBuilder, ValueID) throws -> ValueID) throws -> Model {
    var builder = GraphBuilder(name: "chain", registry: try testRegistry())
    let x = try builder.input(
      "x", [.batch, 3, .symbol("height", default: 4), .symbol("width", default: 5)])
    try builder.output(try build(&builder, x), name: "y")
    return try Model(initializing: builder.graph, registry: builder.registry)
  }

  private func ramp(_ shape: Shape) throws -> Tensor {
    try Tensor(shape, (0..<shape.count).map { Float($0) })
  }

  private func sessionOptions(_ level: OptimizationLevel, _ outputs: [String]? = nil)
    -> SessionOptions
  {
    var options = SessionOptions()
    options.optimization = level
    options.outputs = outputs
    return options
  }

  @Test(arguments: OptimizationLevel.allCases)
  func everyLevelGivesTheSameResult(level: OptimizationLevel) throws {
    let model = try chain { builder, x in
      let a = try builder.add("test.double", "a", x)
      let b = try builder.add("test.double", "b", a)
      let c = try builder.add("test.offset", "c", b, attributes: ["scale": 3.0])
      let d = try builder.add("test.blocked_negate", "d", c)
      let e = try builder.add("test.blocked_negate", "e", d)
      let f = try builder.add("test.sum", "f", e, b, d)
      return try builder.add("test.matrix", "g", f)
    }
    let input = try ramp([2, 3, 4, 5])
    let session = try Session(model: model, options: sessionOptions(level))
    for _ in 0..<3 {
      let result = try session.run([input])[0]
      #expect(result.shape == [2, 60])
      // e = 4x + 3, d = −(4x + 3): f = 4x.
      #expect(result.elements(as: Float.self) == input.elements(as: Float.self).map { 4 * $0 })
    }
  }

  @Test func fusedIntermediatesStayReachable() throws {
    let model = try chain { builder, x in
      try builder.add("test.double", "b", try builder.add("test.double", "a", x))
    }
    let input = try ramp([1, 3, 1, 1])
    let fused = try Session(model: model)
    #expect(try fused.run([input])[0].elements(as: Float.self) == [0, 4, 8])
    let plan = try fused.plan(for: [input.spec])
    #expect(plan.rewrites == ["fuse-doubles: b into a"])
    #expect(plan.explain().contains("1 steps"))
    let both = try Session(model: model, options: sessionOptions(.full, ["a", "y", "x"]))
    let results = try both.run([input])
    #expect(results[0].elements(as: Float.self) == [0, 2, 4])
    #expect(results[1].elements(as: Float.self) == [0, 4, 8])
    #expect(results[2].elements(as: Float.self) == [0, 1, 2])
  }

  @Test(arguments: OptimizationLevel.allCases)
  func nodesThatNobodyWantsAreLeftOut(level: OptimizationLevel) throws {
    let model = try chain { builder, x in
      let dead = try builder.add("test.double", "dead", x)
      let live = try builder.add("test.offset", "live", x, attributes: ["scale": 3.0])
      return try builder.add("test.sum", "both", dead, live)
    }
    let session = try Session(model: model, options: sessionOptions(level, ["live"]))
    let result = try session.run([try ramp([1, 3, 1, 1])])
    #expect(result.map { $0.elements(as: Float.self) } == [[3, 4, 5]])
  }

  @Test func inPlaceLeavesInputsAndSharedValuesAlone() throws {
    let model = try chain { builder, x in
      let a = try builder.add("test.offset", "a", x)
      let b = try builder.add("test.double", "b", a)
      return try builder.add("test.sum", "c", a, b)
    }
    let input = try ramp([1, 3, 1, 2])
    let session = try Session(model: model)
    #expect(try session.run([input])[0].elements(as: Float.self) == [3, 6, 9, 12, 15, 18])
    #expect(input.elements(as: Float.self) == [0, 1, 2, 3, 4, 5])
  }

  @Test func inPlaceNeedsTheInputToBeReadOnce() throws {
    let model = try chain { builder, x in
      let a = try builder.add("test.offset", "a", x)
      return try builder.add("test.accumulate", "b", a, x, a)
    }
    let session = try Session(model: model)
    #expect(try session.run([try ramp([1, 3, 1, 1])])[0].elements(as: Float.self) == [2, 5, 8])
  }

  /// Unoptimised Swift boxes what optimised Swift does not.
  static let isOptimized: Bool = {
    #if DEBUG
      false
    #else
      true
    #endif
  }()

  @Test(.enabled(if: isOptimized, "skipped: only an optimised build allocates nothing"))
  func steadyStateAllocatesNothing() throws {
    let model = try chain { builder, x in
      let a = try builder.add("test.blocked_negate", "a", x)
      let b = try builder.add("test.offset", "b", a)
      return try builder.add("test.double", "c", try builder.add("test.double", "d", b))
    }
    let input = try ramp([1, 3, 4, 5])
    let session = try Session(model: model, pool: ThreadPool(threads: 1))
    var sum: Float = 0
    let views = [input.view]
    _ = try session.withOutputs(of: views) { $0[0].floats[1] }
    let before = allocation_count_of_this_thread()
    for _ in 0..<100 { sum += try session.withOutputs(of: views) { $0[0].floats[1] } }
    #expect(allocation_count_of_this_thread() == before)
    #expect(sum == 0)
    _ = try Tensor(zeros: [1])
    #expect(allocation_count_of_this_thread() > before)
  }

  @Test func longChainsReuseMemory() throws {
    let model = try chain { builder, x in
      var value = x
      for i in 0..<100 { value = try builder.add("test.offset", "n\(i)", value) }
      return value
    }
    let spec = TensorSpec([1, 3, 32, 32])
    let plan = try Session(model: model).plan(for: [spec])
    #expect(plan.arenaByteCount == 2 * spec.byteCount)
  }

  @Test func conversionsStandOnlyAtTheEdges() throws {
    let model = try chain { builder, x in
      var value = x
      for i in 0..<4 { value = try builder.add("test.blocked_negate", "n\(i)", value) }
      return value
    }
    let session = try Session(model: model)
    let text = try session.plan(for: [TensorSpec([1, 3, 4, 5])]).explain()
    #expect(text.components(separatedBy: "layout conversion").count == 3)
    #expect(text.contains("layout conversion NCHW → NCHWc8+1"))
    let input = try ramp([2, 3, 4, 5])
    #expect(
      try session.run([input])[0].elements(as: Float.self) == input.elements(as: Float.self))
  }

  @Test func shapesMayFollowFromInputValues() throws {
    var builder = GraphBuilder(name: "reshape", registry: try testRegistry())
    let x = try builder.input("x", [6])
    let shape = try builder.input("shape", [2], .int64)
    try builder.output(try builder.add("test.shape_by", "y", x, shape))
    let model = try Model(
      graph: builder.graph, parameters: [:], registry: builder.registry, checkingShapes: false)
    let session = try Session(model: model)
    let input = try ramp([6])
    for extents: [Int64] in [[2, 3], [3, 2], [2, 3], [6, 1]] {
      let result = try session.run([input, try Tensor([2], extents)])[0]
      #expect(result.shape.dimensions == extents.map { Int($0) })
      #expect(result.elements(as: Float.self) == [0, 1, 2, 3, 4, 5])
    }
  }

  @Test func inputsAreChecked() throws {
    let model = try chain { builder, x in try builder.add("test.double", "a", x) }
    let session = try Session(model: model)
    #expect(throws: LaminaError(.argument, "expected 1 inputs, found 0")) {
      try session.run([] as [Tensor])
    }
    #expect(
      throws: LaminaError(
        .shape, "expected shape [batch, 3, height, width], found [1, 4, 2, 2]", path: "input x")
    ) { try session.run([try ramp([1, 4, 2, 2])]) }
    #expect(throws: LaminaError(.shape, "expected float32, found int64", path: "input x")) {
      try session.run([try Tensor(zeros: [1, 3, 2, 2], .int64)])
    }
    #expect(throws: LaminaError(.notFound, "no value named 'z', nearest is 'x'")) {
      try Session(model: model, options: sessionOptions(.full, ["z"]))
    }
    var small = SessionOptions()
    small.limits.memoryBytes = 125
    #expect(
      throws: LaminaError(
        .limit, "expected at most 125 bytes of memory, a session of 'chain' needs 128")
    ) { try Session(model: model, options: small).run([try ramp([1, 3, 2, 5])]) }
  }

  @Test func resultsGoToTheCallersMemoryOrNowhere() throws {
    let model = try chain { builder, x in try builder.add("test.double", "a", x) }
    let session = try Session(model: model)
    let input = try ramp([1, 3, 1, 1])
    var target: [Float] = [-1, -1, -1, -1]
    try target.withUnsafeMutableBytes { bytes in
      let base = try #require(bytes.baseAddress)
      try session.run([input.view], into: [MutableTensorView([1, 3, 1, 1], .float32, base)])
    }
    #expect(target == [0, 2, 4, -1])
    try target.withUnsafeMutableBytes { bytes in
      let base = try #require(bytes.baseAddress)
      #expect(
        throws: LaminaError(
          .shape, "expected float32 [1, 3, 1, 1], found float32 [1, 4, 1, 1]", path: "output y")
      ) { try session.run([input.view], into: [MutableTensorView([1, 4, 1, 1], .float32, base)]) }
    }
    #expect(target == [0, 2, 4, -1])
  }

  @Test func misalignedInputsAreCopied() throws {
    let model = try chain { builder, x in try builder.add("test.double", "a", x) }
    let session = try Session(model: model)
    var bytes = [UInt8](repeating: 0, count: 13)
    bytes.withUnsafeMutableBytes { raw in
      for (i, value) in [Float(1), 2, 3].enumerated() {
        raw.storeBytes(of: value, toByteOffset: 1 + 4 * i, as: Float.self)
      }
    }
    let result = try bytes.withUnsafeBytes { raw in
      let base = try #require(raw.baseAddress)
      return try session.run([TensorView([1, 3, 1, 1], .float32, base + 1)])
    }
    #expect(result[0].elements(as: Float.self) == [2, 4, 6])
  }

  @Test func manyThreadsShareOneModel() async throws {
    let model = try chain { builder, x in
      try builder.add("test.offset", "b", try builder.add("test.double", "a", x))
    }
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for thread in 0..<8 {
        group.addTask {
          let session = try Session(model: model)
          for run in 0..<50 {
            let value = Float(thread * 100 + run)
            let input = try Tensor([1, 3, 1, 1], [value, value + 1, value + 2])
            let result = try session.run([input])[0].elements(as: Float.self)
            if result != [2 * value + 1, 2 * value + 3, 2 * value + 5] { return false }
          }
          return true
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
  }

  @Test func graphsSurviveJSON() throws {
    let model = try chain { builder, x in
      let a = try builder.add("test.offset", "a", x, attributes: ["scale": 0.25])
      return try builder.add("test.sum", "s", a, x)
    }
    let text = model.graph.json.text(pretty: true)
    let again = try Graph(json: try JSON.parse(text: text), registry: model.registry)
    #expect(again.json == model.graph.json)
    #expect(again.nodes.map(\.name) == ["a", "s"])
    #expect(again.outputs.map(\.name) == ["y"])
  }

  @Test func summaryCountsParametersOnce() throws {
    var builder = GraphBuilder(name: "shared", registry: try testRegistry())
    let x = try builder.input("x", [.batch, 3])
    let a = try builder.add("test.offset", "a", x)
    let b = try builder.addNode(
      "test.offset", "b", [a], bindings: ["offset": .tensor("a.offset")])[0]
    try builder.output(b)
    let model = try Model(initializing: builder.graph, registry: builder.registry)
    #expect(try model.weightCount() == 1)
    let summary = try ModelSummary(model)
    #expect(summary.rows.map(\.weights) == [1, 0])
    #expect(
      summary.text.contains(
        "\n1 parameters (1 without biases), 0 buffer elements, 0 multiply-adds\n"))
  }

  @Test func aSessionTellsOfEachStep() throws {
    let model = try chain { builder, x in
      let a = try builder.add("test.double", "a", x)
      return try builder.add("test.blocked_negate", "b", a)
    }
    let session = try Session(model: model)
    let input = try ramp([1, 3, 2, 2])
    var seen: [Int] = []
    session.onStep = { seen.append($0) }
    _ = try session.run([input])
    let steps = try session.plan(for: [input.spec]).stepSummaries
    #expect(seen == Array(steps.indices))
    #expect(steps.map(\.name).filter { $0.count == 1 } == ["a", "b"])
    #expect(steps.contains { $0.kernel.hasPrefix("NCHWc") })
    session.onStep = nil
    _ = try session.run([input])
    #expect(seen.count == steps.count)
  }

  @Test func denormalsAreZeroWithinARunOnly() throws {
    let model = try chain { builder, x in try builder.add("test.double", "y", x) }
    let session = try Session(model: model)
    let tiny = try Tensor([1, 3, 1, 1], [Float.leastNonzeroMagnitude, 0x1p-140, 1])
    let doubled = { tiny.elements(as: Float.self).map { 2 * $0 } }
    let before = doubled()
    #expect(before[0] > 0 && before[1] > 0)
    #expect(try session.run([tiny])[0].elements(as: Float.self) == [0, 0, 2])
    #expect(doubled() == before)
    let wrong = try Tensor(zeros: [2])
    #expect(throws: LaminaError.self) { try session.run([wrong]) }
    #expect(doubled() == before)
  }
}

@Suite struct LimitTests {
  @Test func defaultMemoryIsWhatTheMachineHas() {
    #expect(Limits().memoryBytes > 64 << 20)
    #expect(Limits().memoryBytes < 1 << 46)
  }

  @Test func outputsBeyondTheBudgetAreRefusedBeforeAnythingIsMade() throws {
    var builder = GraphBuilder(name: "big", registry: try testRegistry())
    let x = try builder.input("x", [.symbol("n", default: 1)])
    try builder.output(try builder.add("test.double", "y", x))
    let model = try Model(initializing: builder.graph, registry: builder.registry)
    var options = SessionOptions()
    options.limits.memoryBytes = 1000
    let session = try Session(model: model, options: options)
    #expect(
      throws: LaminaError(
        .limit, "expected at most 1000 bytes of memory, an output float32 [251] needs 1004",
        path: "y (test.double)")
    ) { try session.plan(for: [TensorSpec([251])]) }
  }

  @Test func weightsOfAWrongShapeAreRefusedWhenPlanning() throws {
    var builder = GraphBuilder(name: "wrong", registry: try testRegistry())
    let x = try builder.input("x", [3])
    try builder.output(try builder.add("test.offset", "y", x))
    let model = try Model(
      graph: builder.graph, parameters: ["y.offset": try Tensor(zeros: [7])],
      registry: builder.registry, checkingShapes: false)
    #expect(
      throws: LaminaError(
        .weights, "expected tensor 'y.offset' to be float32 [1], found float32 [7]",
        path: "y (test.offset)")
    ) { try Session(model: model).plan(for: [TensorSpec([3])]) }
  }
}
