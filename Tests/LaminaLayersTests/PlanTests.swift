import Lamina
import LaminaKernels
import LaminaTestSupport
import Testing

/// A network of one input `x`, with layers that a plan may run otherwise than one by one.
struct PlannedNetwork: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let build: @Sendable (inout GraphBuilder, ValueID) throws -> Void

  init(
    _ testDescription: String,
    _ build: @escaping @Sendable (inout GraphBuilder, ValueID) throws -> Void
  ) {
    (self.testDescription, self.build) = (testDescription, build)
  }

  func model(channels: Int, height: Int, width: Int) throws -> Model {
    var builder = GraphBuilder(name: "net", registry: .standard)
    let x = try builder.input(
      "x", [.batch, .fixed(channels), .fixed(height), .fixed(width)])
    try build(&builder, x)
    return try builder.randomModel()
  }
}

/// Whole graphs as a plan runs them, against each layer on its own.
@Suite struct PlanTests {
  private func run(
    _ model: Model, _ inputs: [Tensor], level: OptimizationLevel = .full,
    outputs: [String]? = nil
  ) throws -> [Tensor] {
    var options = SessionOptions()
    options.optimization = level
    options.outputs = outputs
    return try Session(model: model, options: options).run(inputs)
  }

  /// Transforms, other orders of sums and fused layers round differently: 10⁻⁵ of the largest |y|.
  private func expectEqual(
    _ found: [Tensor], _ expected: [Tensor], _ label: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(found.map(\.shape) == expected.map(\.shape), "\(label)", sourceLocation: sourceLocation)
    for (index, (found, expected)) in zip(found, expected).enumerated() {
      let (found, expected) = (found.elements(as: Float.self), expected.elements(as: Float.self))
      let scale = expected.reduce(0) { max($0, abs($1)) }
      let isClose = zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-5 * scale }
      #expect(
        isClose && scale.isFinite, "output \(index) \(label)", sourceLocation: sourceLocation)
    }
  }

  private func withEveryISA(_ body: (String) throws -> Void) rethrows {
    defer { lk_set_thread_isa(-1) }
    for isa in [LK_ISA_SCALAR, LK_ISA_NEON, LK_ISA_AVX2, LK_ISA_AVX512]
    where lk_isa_available(isa) {
      lk_set_thread_isa(Int32(isa.rawValue))
      try body(String(cString: lk_isa_name(isa)))
    }
  }

  // MARK: A batch in pieces

  /// What the activations of a layer may take of the last cache.
  private static let budget = (lk_cache_bytes(3) > 0 ? lk_cache_bytes(3) : 32 << 20) * 3 / 8

  /// The side of maps that take half as much again as the budget between 8 channels and 16.
  private static func side(batch: Int) -> Int {
    var side = 8
    while batch * (8 + 16) * side * side * 4 < budget * 3 / 2 { side += 1 }
    return side
  }

  private static func stage(_ b: inout GraphBuilder, _ x: ValueID) throws -> ValueID {
    var y = try b.add("lamina.relu", "relu", try b.convolution("conv", x, 16, 3))
    y = try b.add(
      "lamina.max_pool", "pool", y,
      attributes: ["kernel_size": [3, 3], "strides": [2, 2], "padding": 1])
    let wide = try b.convolution("wide", y, 24, 3)
    y = try b.concat("concat", y, wide)
    y = try b.convolution("mix", y, 24, 1)
    return try b.add("lamina.add", "sum", y, wide)
  }

  static let batchNetworks = [
    PlannedNetwork("all layers") { b, x in try b.output(try stage(&b, x)) },
    PlannedNetwork("a classifier behind") { b, x in
      var y = try b.add("lamina.global_average_pool", "mean", try stage(&b, x))
      y = try b.add("lamina.flatten", "flatten", y)
      try b.output(try b.add("lamina.dense", "dense", y, attributes: ["out_features": 10]))
    },
    PlannedNetwork("outputs within, one of them the input") { b, x in
      let y = try stage(&b, x)
      try b.output(x)
      for name in ["relu", "concat", "pool"] {
        try b.output(try b.graph.requireValue(named: name))
      }
      try b.output(y)
    },
    PlannedNetwork("the input behind a transposition of batch and channels") { b, x in
      let y = try stage(&b, x)
      let there = try b.add(
        "lamina.transpose", "there", y, attributes: ["permutation": [1, 0, 2, 3]])
      let back = try b.add(
        "lamina.transpose", "back", there, attributes: ["permutation": [1, 0, 2, 3]])
      let late = try b.convolution("late", x, 24, 3, stride: 2)
      try b.output(try b.add("lamina.add", "both", back, late))
    },
  ]

  private func pieces(_ model: Model, _ inputs: [Tensor], outputs: [String]? = nil) throws
    -> String?
  {
    var options = SessionOptions()
    options.outputs = outputs
    let plan = try Session(model: model, options: options).plan(for: inputs.map(\.spec))
    return plan.explain().split(separator: "\n").first { $0.hasPrefix("the first ") }
      .map { String($0) }
  }

  private static let isSmallCache = budget < 64 << 20

  @Test(
    .enabled(if: isSmallCache, "skipped: the last cache is too large"), arguments: batchNetworks)
  func aBatchInPieces(_ network: PlannedNetwork) throws {
    let side = Self.side(batch: 8)
    let model = try network.model(channels: 8, height: side, width: side)
    let x = try randomTensor([8, 8, side, side])
    #expect(try pieces(model, [x])?.hasSuffix("parts of the batch") == true)
    let whole = try run(model, [x])
    expectEqual(whole, try run(model, [x], level: .none), "layer by layer")
    let images = try (0..<8).map { image in
      let count = x.shape.count / 8
      let elements = x.elements(as: Float.self)[image * count..<(image + 1) * count]
      return try run(model, [try Tensor([1, 8, side, side], Array(elements))])
    }
    for index in whole.indices {
      let joined = images.flatMap { $0[index].elements(as: Float.self) }
      expectEqual([whole[index]], [try Tensor(whole[index].shape, joined)], "image by image")
    }
  }

  /// Softmax over the images themselves.
  @Test(.enabled(if: isSmallCache, "skipped: the last cache is too large"))
  func imagesThatMeetEndThePieces() throws {
    let side = Self.side(batch: 4)
    let network = PlannedNetwork("softmax") { b, x in
      let y = try b.convolution("conv", x, 16, 3)
      let mixed = try b.add("lamina.softmax", "mixed", y, attributes: ["axis": 0])
      try b.output(try b.add("lamina.add", "sum", mixed, try b.convolution("late", x, 16, 3)))
      try b.output(y)
    }
    let model = try network.model(channels: 8, height: side, width: side)
    let x = try randomTensor([4, 8, side, side])
    #expect(
      try pieces(model, [x]) == "the first 4 steps run for each of 2 parts of the batch")
    expectEqual(try run(model, [x]), try run(model, [x], level: .none))
  }

  /// A constant with an image for each of the batch.
  @Test(.enabled(if: isSmallCache, "skipped: the last cache is too large"))
  func constantsWithABatchAreNotCut() throws {
    let side = Self.side(batch: 2)
    let network = PlannedNetwork("constant") { b, x in
      let y = try b.convolution("conv", x, 16, 3)
      let constant = try b.add(
        "lamina.constant", "constant", attributes: ["shape": [2, 1, 1, 1]])
      try b.output(try b.add("lamina.add", "sum", y, constant))
    }
    let fresh = try network.model(channels: 8, height: side, width: side)
    var parameters = fresh.parameters
    parameters["constant.value"] = try Tensor([2, 1, 1, 1], [3, -5] as [Float])
    let model = try fresh.replacingParameters(parameters)
    let x = try randomTensor([2, 8, side, side])
    expectEqual(try run(model, [x]), try run(model, [x], level: .none))
  }

  @Test(.enabled(if: isSmallCache, "skipped: the last cache is too large"))
  func inputsOfOtherBatchesRunWhole() throws {
    let side = Self.side(batch: 4)
    var builder = GraphBuilder(name: "net", registry: .standard)
    let x = try builder.input("x", [.batch, 8, .fixed(side), .fixed(side)])
    let shift = try builder.input("shift", [1, 16, 1, 1])
    let y = try builder.convolution("conv", x, 16, 3)
    try builder.output(try builder.add("lamina.add", "sum", y, shift))
    let model = try builder.randomModel()
    let inputs = [try randomTensor([4, 8, side, side]), try randomTensor([1, 16, 1, 1], seed: 5)]
    #expect(try pieces(model, inputs) == nil)
    expectEqual(try run(model, inputs), try run(model, inputs, level: .none))
  }

  // MARK: Concatenations without copies

  static let concatenations = [
    PlannedNetwork("whole blocks") { b, x in
      let a = try b.convolution("a", x, 16, 3)
      let c = try b.convolution("c", a, 32, 1)
      let d = try b.convolution("d", c, 20, 3)
      let joined = try b.concat("joined", a, c, d)
      try b.output(try b.convolution("last", joined, 8, 3))
    },
    PlannedNetwork("blocks that are not whole") { b, x in
      let a = try b.convolution("a", x, 20, 3)
      let c = try b.convolution("c", x, 16, 1)
      let joined = try b.concat("joined", a, c)
      try b.output(try b.convolution("last", joined, 8, 3))
    },
    PlannedNetwork("one value twice") { b, x in
      let a = try b.convolution("a", x, 16, 3)
      let c = try b.convolution("c", x, 16, 1)
      let joined = try b.concat("joined", a, c, a)
      try b.output(try b.convolution("last", joined, 8, 3))
    },
    PlannedNetwork("an input that is an output") { b, x in
      let a = try b.convolution("a", x, 16, 3)
      let c = try b.convolution("c", x, 32, 1)
      let joined = try b.concat("joined", a, c)
      try b.output(c)
      try b.output(try b.convolution("last", joined, 8, 3))
      try b.output(joined)
    },
    PlannedNetwork("one within another") { b, x in
      let a = try b.convolution("a", x, 16, 3)
      let c = try b.convolution("c", x, 32, 1)
      let inner = try b.concat("inner", a, c)
      let d = try b.convolution("d", inner, 16, 3)
      let outer = try b.concat("outer", d, inner, a)
      let deep = try b.concat("deep", outer, d)
      try b.output(try b.convolution("last", deep, 8, 5))
    },
    PlannedNetwork("a dense block") { b, x in
      var y = try b.convolution("stem", x, 16, 3)
      for layer in 1...3 {
        let grown = try b.add(
          "lamina.relu", "relu\(layer)", try b.convolution("grow\(layer)", y, 16, 3))
        y = try b.concat("concat\(layer)", y, grown)
      }
      try b.output(try b.add("lamina.global_average_pool", "mean", y))
    },
    PlannedNetwork("inputs that others read too") { b, x in
      let a = try b.convolution("a", x, 16, 3)
      let c = try b.convolution("c", x, 16, 1)
      let early = try b.add("lamina.sigmoid", "early", a)
      let joined = try b.concat("joined", a, c)
      let late = try b.add("lamina.relu", "late", c)
      let later = try b.convolution("later", a, 16, 3)
      let pooled = try b.add(
        "lamina.max_pool", "pooled", joined, attributes: ["kernel_size": [3, 3], "padding": 1])
      let sum = try b.add("lamina.add", "sum", early, late)
      let both = try b.concat("both", sum, later, pooled)
      try b.output(try b.convolution("last", both, 8, 1))
    },
    PlannedNetwork("the graph's input") { b, x in
      let a = try b.convolution("a", x, 16, 3)
      let joined = try b.concat("joined", x, a, x)
      try b.output(try b.convolution("last", joined, 8, 3))
    },
    PlannedNetwork("activations in place before and behind") { b, x in
      let a = try b.add("lamina.tanh", "tanh", try b.convolution("a", x, 16, 3))
      let c = try b.add("lamina.relu", "relu", try b.convolution("c", x, 32, 1))
      let joined = try b.concat("joined", a, c)
      let y = try b.add("lamina.hard_swish", "swish", joined)
      let d = try b.convolution("d", y, 48, 1)
      try b.output(try b.add("lamina.add", "sum", d, y))
    },
  ]

  @Test(arguments: concatenations)
  func concatenationsAreWhatStandsInTheGraph(_ network: PlannedNetwork) throws {
    for (batch, height, width) in [(1, 9, 7), (2, 9, 7), (1, 1, 1), (3, 1, 1)] {
      let model = try network.model(channels: 16, height: height, width: width)
      let x = try randomTensor([batch, 16, height, width])
      let expected = try run(model, [x], level: .none)
      let names = model.graph.allValueNames
      let all = try run(model, [x], level: .none, outputs: names)
      let last = try #require(names.last)
      try withEveryISA { isa in
        let label = "\(isa) \(x.shape)"
        expectEqual(try run(model, [x]), expected, label)
        expectEqual(try run(model, [x], outputs: names), all, "\(label), all values")
        for (index, name) in names.enumerated() {
          expectEqual(
            try run(model, [x], outputs: [name, last]), [all[index], all[names.count - 1]],
            "\(label), \(name)")
        }
      }
    }
  }

  @Test func wholeBlocksAreNotCopied() throws {
    func hasConcatenation(_ network: PlannedNetwork, outputs: [String]? = nil) throws -> Bool {
      var options = SessionOptions()
      options.outputs = outputs
      let model = try network.model(channels: 16, height: 9, width: 7)
      let session = try Session(model: model, options: options)
      return try session.plan(for: [TensorSpec([2, 16, 9, 7])]).stepSummaries
        .contains { $0.name == "joined" }
    }
    #expect(try !hasConcatenation(Self.concatenations[0]))
    #expect(try hasConcatenation(Self.concatenations[1]))
    #expect(try hasConcatenation(Self.concatenations[2]))
  }

  // MARK: Halos

  static let readers = [
    PlannedNetwork("windows of several sizes") { b, x in
      let y = try b.convolution("stem", x, 20, 3)
      var sum = try b.convolution("one", y, 24, 1)
      sum = try b.add("lamina.add", "sum3", sum, try b.convolution("three", y, 24, 3))
      sum = try b.add("lamina.add", "sum5", sum, try b.convolution("five", y, 24, 5))
      let pooled = try b.add(
        "lamina.max_pool", "pooled", y, attributes: ["kernel_size": [3, 3], "padding": 1])
      let mean = try b.add(
        "lamina.average_pool", "mean", y,
        attributes: ["kernel_size": [3, 3], "padding": 1, "count_include_pad": true])
      let both = try b.concat("both", sum, pooled, mean, y)
      try b.output(try b.add("lamina.global_average_pool", "global", y))
      try b.output(try b.convolution("last", both, 8, 3, stride: 2))
      try b.output(y)
    },
    PlannedNetwork("residuals with another halo") { b, x in
      var y = try b.convolution("stem", x, 32, 3)
      for block in 1...3 {
        var z = try b.add("lamina.relu", "relu\(block)", try b.convolution("a\(block)", y, 32, 5))
        z = try b.convolution("b\(block)", z, 32, block == 2 ? 1 : 3)
        y = try b.add("lamina.relu", "out\(block)", try b.add("lamina.add", "sum\(block)", z, y))
      }
      try b.output(y)
    },
    PlannedNetwork("means in another shape") { b, x in
      let y = try b.convolution("stem", x, 32, 3)
      let mean = try b.add("lamina.global_average_pool", "mean", y)
      let map = try b.add(
        "lamina.reshape", "map", mean, attributes: ["shape": [-1, 8, 2, 2]])
      let list = try b.add("lamina.reshape", "list", mean, attributes: ["shape": [-1, 32]])
      try b.output(try b.convolution("last", map, 8, 1))
      try b.output(try b.add("lamina.softmax", "softmax", list))
      try b.output(list)
    },
  ]

  @Test(arguments: readers)
  func halosSuitEveryReader(_ network: PlannedNetwork) throws {
    for (batch, height, width) in [(1, 9, 7), (2, 14, 15), (1, 3, 30)] {
      let model = try network.model(channels: 6, height: height, width: width)
      let x = try randomTensor([batch, 6, height, width])
      let expected = try run(model, [x], level: .none)
      let names = model.graph.allValueNames
      let all = try run(model, [x], level: .none, outputs: names)
      try withEveryISA { isa in
        expectEqual(try run(model, [x]), expected, "\(isa) \(x.shape)")
        expectEqual(try run(model, [x], outputs: names), all, "\(isa) \(x.shape), all values")
      }
    }
  }
}
