import Lamina
import LaminaTestSupport
import Testing

/// A residual stage with batch norms, dropout and a clip, and every level of optimisation on it.
@Suite struct RewriteTests {
  private func stage() throws -> Model {
    var builder = GraphBuilder(name: "stage", registry: .standard)
    func conv(_ name: String, _ x: ValueID, _ channels: Int, bias: Bool = false) throws -> ValueID {
      try builder.add(
        "lamina.conv2d", name, x,
        attributes: [
          "out_channels": .int(channels), "kernel_size": [3, 3], "padding": [1, 1, 1, 1],
          "bias": .bool(bias),
        ])
    }
    let x = try builder.input("x", [.batch, 8, 9, 7])
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
    let fresh = try Model(initializing: builder.graph, seed: 3, registry: .standard)
    // Statistics and scales that are not those of a fresh batch norm.
    var parameters = fresh.parameters
    for (key, tensor) in fresh.parameters where tensor.shape.rank == 1 {
      let random = CounterRandom(seed: 9, name: key)
      let positive = key.hasSuffix("running_var") || key.hasSuffix("weight")
      parameters[key] = try Tensor(
        tensor.shape,
        (0..<tensor.shape.count).map { i in
          positive ? 0.5 + random.uniform(UInt64(i)) : random.normal(UInt64(i))
        })
    }
    return try fresh.replacingParameters(parameters)
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

  @Test func fusedIsWhatStandsInTheGraph() throws {
    let model = try stage()
    let plain = try results(model, .none, try input())[0]
    #expect(plain.contains { $0 > 0 && $0 < 6 } && plain.contains(0))
    for level in [OptimizationLevel.basic, .full] {
      // Winograd's transforms and folded scales round differently: a few units of 2⁻²³ · 72 terms.
      for (a, b) in zip(try results(model, level, try input())[0], plain) {
        #expect(abs(a - b) < 2e-5)
      }
    }
    let plan = try Session(model: model).plan(for: [try input().spec])
    #expect(
      plan.rewrites == [
        "remove-identities: drop", "fold-batch-norm: bn1 into conv1",
        "fold-batch-norm: bn2 into conv2", "fold-batch-norm: bn3 into short",
        "fuse-residual: sum into short", "fuse-activation: relu1 into conv1",
        "fuse-activation: relu6 into short",
      ])
  }

  @Test func everyIntermediateStaysReachable() throws {
    let model = try stage()
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
}
