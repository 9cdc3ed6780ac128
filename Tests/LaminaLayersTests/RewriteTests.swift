import Lamina
import LaminaTestSupport
import Testing

/// Two stages of networks, and every level of optimisation on them.
@Suite struct RewriteTests {
  enum Stage: CaseIterable {
    case residual, squeezeAndExcitation

    func model() throws -> Model {
      switch self {
      case .residual: try residualStage()
      case .squeezeAndExcitation: try squeezeAndExcitationStage()
      }
    }

    var rewrites: [String] {
      switch self {
      case .residual:
        [
          "remove-identities: drop", "fold-batch-norm: bn1 into conv1",
          "fold-batch-norm: bn2 into conv2", "fold-batch-norm: bn3 into short",
          "fuse-residual: sum into short", "fuse-activation: relu1 into conv1",
          "fuse-activation: relu6 into short",
        ]
      case .squeezeAndExcitation:
        [
          "remove-identities: window", "remove-identities: bins",
          "fuse-scale-add: sum1 into excite1", "fuse-scale-add: sum2 into excite2",
          "fuse-activation: relu0 into conv0", "fuse-activation: relu1 into excite1",
          "fuse-activation: relu6 into excite2",
        ]
      }
    }
  }

  /// A residual stage with batch norms, dropout and a clip.
  private static func residualStage() throws -> Model {
    var builder = GraphBuilder(name: "stage", registry: .standard)
    let x = try builder.input("x", [.batch, 8, 9, 7])
    func conv(_ name: String, _ x: ValueID, _ channels: Int, bias: Bool = false) throws -> ValueID {
      try builder.convolution(name, x, channels, 3, bias: bias)
    }
    var y = try conv("conv1", x, 16)
    y = try builder.add("lamina.batch_norm", "bn1", y)
    y = try builder.add("lamina.relu", "relu1", y)
    y = try builder.add("lamina.dropout", "drop", y, attributes: ["rate": 0.5])
    y = try conv("conv2", y, 16, bias: true)
    y = try builder.add("lamina.batch_norm", "bn2", y, attributes: ["epsilon": 0.001])
    var shortcut = try conv("short", x, 16)
    shortcut = try builder.add("lamina.batch_norm", "bn3", shortcut)
    y = try builder.add("lamina.add", "sum", y, shortcut)
    y = try builder.add("lamina.clip", "relu6", y, attributes: ["min": 0, "max": 6])
    try builder.output(y)
    return try builder.randomModel()
  }

  /// Two squeeze-and-excitation blocks, one with its factors first and one with them last, and pools that do nothing.
  private static func squeezeAndExcitationStage() throws -> Model {
    var builder = GraphBuilder(name: "stage", registry: .standard)
    let x = try builder.input("x", [.batch, 8, 9, 7])
    var y = try builder.convolution("conv0", x, 20, 3)
    y = try builder.add("lamina.relu", "relu0", y)
    for block in 1...2 {
      let residual = y
      y = try builder.convolution("conv\(block)", y, 20, 3)
      var gate = try builder.add("lamina.global_average_pool", "squeeze\(block)", y)
      gate = try builder.convolution("gate\(block)", gate, 20, 1)
      gate = try builder.add("lamina.sigmoid", "sigmoid\(block)", gate)
      y = try builder.add(
        "lamina.mul", "excite\(block)", block == 1 ? y : gate, block == 1 ? gate : y)
      y = try builder.add(
        "lamina.add", "sum\(block)", block == 1 ? residual : y, block == 1 ? y : residual)
      if block == 1 {
        y = try builder.add("lamina.relu", "relu1", y)
        y = try builder.add(
          "lamina.average_pool", "window", y, attributes: ["kernel_size": [1, 1]])
        y = try builder.add(
          "lamina.adaptive_average_pool", "bins", y, attributes: ["output_size": [9, 7]])
      } else {
        y = try builder.add("lamina.clip", "relu6", y, attributes: ["min": 0, "max": 6])
      }
    }
    try builder.output(y)
    return try builder.randomModel()
  }

  private func results(
    _ model: Model, _ level: OptimizationLevel, _ input: Tensor, outputs: [String]? = nil
  ) throws -> [[Float]] {
    var options = SessionOptions()
    options.optimization = level
    options.outputs = outputs
    return try Session(model: model, options: options).run([input]).map { $0.elements() }
  }

  private func input() throws -> Tensor {
    let random = CounterRandom(seed: 4, name: "x")
    return try Tensor([2, 8, 9, 7], (0..<1008).map { random.normal($0) })
  }

  @Test(arguments: Stage.allCases)
  func fusedIsWhatStandsInTheGraph(_ stage: Stage) throws {
    let model = try stage.model()
    let plain = try results(model, .none, try input())[0]
    #expect(plain.contains { $0 > 0 && $0 < 6 } && plain.contains(0))
    for level in [OptimizationLevel.basic, .full] {
      // Winograd's transforms and folded scales round differently: a few units of 2⁻²³ · 72 terms.
      for (a, b) in zip(try results(model, level, try input())[0], plain) {
        #expect(abs(a - b) < 2e-5)
      }
    }
    let plan = try Session(model: model).plan(for: [try input().spec])
    #expect(plan.rewrites == stage.rewrites)
  }

  @Test(arguments: Stage.allCases)
  func everyIntermediateStaysReachable(_ stage: Stage) throws {
    let model = try stage.model()
    let names = model.graph.allValueNames
    let plain = try results(model, .none, try input(), outputs: names)
    let full = try results(model, .full, try input(), outputs: names)
    for (name, (a, b)) in zip(names, zip(plain, full)) {
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 }, "\(name)")
    }
    for name in names {
      let alone = try results(model, .full, try input(), outputs: [name, "relu6"])
      let index = try #require(names.firstIndex(of: name))
      #expect(zip(alone[0], plain[index]).allSatisfy { abs($0 - $1) < 1e-4 }, "\(name)")
    }
  }

  /// Constants are plain where the map they meet comes in blocks of channels.
  @Test func constantsMeetBlockedMaps() throws {
    var builder = GraphBuilder(name: "constant", registry: .standard)
    let x = try builder.input("x", [.batch, 8, 9, 7])
    let y = try builder.convolution("conv", x, 20, 3)
    let constant = try builder.add(
      "lamina.constant", "constant", attributes: ["shape": [2, 20, 9, 7]])
    try builder.output(try builder.add("lamina.max", "max", y, constant))
    let fresh = try Model(initializing: builder.graph, seed: 3, registry: .standard)
    var parameters = fresh.parameters
    let random = CounterRandom(seed: 5, name: "constant")
    parameters["constant.value"] = try Tensor(
      [2, 20, 9, 7], (0..<2520).map { random.normal($0) })
    let model = try fresh.replacingParameters(parameters)
    let plain = try results(model, .none, try input())[0]
    for (a, b) in zip(try results(model, .full, try input())[0], plain) {
      #expect(abs(a - b) < 2e-5)
    }
  }
}
