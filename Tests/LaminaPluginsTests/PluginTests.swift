import CLamina
import Foundation
import Lamina
import LaminaPluginKit
import LaminaPlugins
import LaminaTestSupport
import SwishSample
import Testing

/// y = w·(x + offset), w by channel.
private struct ChannelScale: Layer {
  static let kind: LayerKind = "com.example.channel_scale"
  static let gradient = Gradient.supported(inputs: true, outputs: false)
  let offset: Float

  init(attributes: inout AttributeReader) throws {
    offset = try attributes.float("offset", default: 0)
  }
  func encode(into attributes: inout AttributeWriter) { attributes.float("offset", offset) }

  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("weight", try Shape([inputs[0].shape[1]]), initializer: .ones)]
  }

  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    guard inputs[0].shape.rank == 4 else {
      throw LaminaError(.shape, "expected 4 axes, found \(inputs[0].shape)")
    }
    return [TensorSpec(inputs[0].shape)]
  }

  private func channels(_ shape: Shape, _ body: (_ channel: Int, _ elements: Range<Int>) -> Void) {
    let area = shape[2] * shape[3]
    for map in 0..<shape[0] * shape[1] { body(map % shape[1], map * area..<(map + 1) * area) }
  }

  func forward(_ call: ForwardCall) throws {
    let (x, y, w) = (call.inputs[0].floats, call.outputs[0].floats, call.parameters[0].floats)
    channels(call.inputs[0].shape) { channel, elements in
      for i in elements { y[i] = w[channel] * (x[i] + offset) }
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0], let dy = call.outputGradients[0]?.floats else { return }
    channels(x.shape) { channel, elements in
      for i in elements {
        call.inputGradients[0]?.floats[i] += call.parameters[0].floats[channel] * dy[i]
        call.parameterGradients[0]?.floats[channel] += dy[i] * (x.floats[i] + offset)
      }
    }
  }
}

private let exported = ExportedPlugin(
  id: "com.example.kit", version: "1.0.0", vendor: "Example", layers: [ChannelScale.self])

private func kitPlugin() throws -> Plugin {
  try Plugin(entry: { host, error in
    exported.enter(host, error).map { $0.assumingMemoryBound(to: lamina_plugin.self) }
  })
}

private func mishPlugin() throws -> Plugin { try load(PluginBuilder.mish()) }

private func load(_ path: String) throws -> Plugin {
  var options = PluginOptions()
  options.cacheFolder =
    FileManager.default.temporaryDirectory.appending(
      path: "lamina-verdicts-\(getpid())"
    ).path
  return try Plugin.load(path: path, options: options)
}

private let scaleCases = [
  LayerCase([[2, 3, 4, 5]]), LayerCase(["offset": 0.5], [[1, 4, 3, 3]]),
]

private let scaleReference: NaiveReference = { call in
  var offset = 0.0
  if case .float(let value) = call.attributes["offset"] { offset = value }
  let (shape, x, w) = (call.inputs[0].shape, call.inputs[0].elements, call.parameters[0].elements)
  let area = shape[2] * shape[3]
  return [
    NaiveTensor(shape, x.indices.map { w[$0 / area % shape[1]] * (x[$0] + offset) })
  ]
}

/// k = B·relu(A·x + a) + b at each position, y = Σ k·x over the window.
private let involutionReference: NaiveReference = { call in
  func int(_ name: String, _ fallback: Int) -> Int {
    if case .int(let value) = call.attributes[name] { value } else { fallback }
  }
  let (size, groups) = (int("kernel_size", 3), int("groups", 1))
  let (shape, x) = (call.inputs[0].shape, call.inputs[0].elements)
  let (channels, height, width) = (shape[1], shape[2], shape[3])
  let (a, aBias) = (call.parameters[0].elements, call.parameters[1].elements)
  let (b, bBias) = (call.parameters[2].elements, call.parameters[3].elements)
  func at(_ n: Int, _ c: Int, _ i: Int, _ j: Int) -> Double {
    guard (0..<height).contains(i), (0..<width).contains(j) else { return 0 }
    return x[((n * channels + c) * height + i) * width + j]
  }
  var y = x
  for n in 0..<shape[0] {
    for i in 0..<height {
      for j in 0..<width {
        let hidden = aBias.indices.map { r in
          max(
            aBias[r] + (0..<channels).reduce(0) { $0 + a[r * channels + $1] * at(n, $1, i, j) }, 0)
        }
        let kernel = bBias.indices.map { t in
          bBias[t] + hidden.indices.reduce(0) { $0 + b[t * hidden.count + $1] * hidden[$1] }
        }
        for c in 0..<channels {
          let group = c / (channels / groups)
          y[((n * channels + c) * height + i) * width + j] = (0..<size * size).reduce(0) { sum, t in
            sum + kernel[group * size * size + t]
              * at(n, c, i + t / size - size / 2, j + t % size - size / 2)
          }
        }
      }
    }
  }
  return [NaiveTensor(shape, y)]
}

@Suite struct PluginTests {
  @Test func mishOfThePluginPassesTheHarness() throws {
    let plugin = try mishPlugin()
    #expect(plugin.id == "com.example.mish")
    let reference: NaiveReference = { call in
      [call.inputs[0].map { x in x * tanh(x > 50 ? x : log1p(exp(x))) }]
    }
    LayerHarness.check(
      plugin.layers[0],
      cases: [
        LayerCase([TestInput([2, 3, 5, 7], in: -5...5)]),
        LayerCase([TestInput([1, 16, 40, 33], in: -2...2)]), LayerCase([TestInput([0, 3, 2, 2])]),
        LayerCase([TestInput([9000], in: -12...12)]),
        LayerCase([TestInput([6], .float32, [0, -0.0, 88, -88, 100, .infinity])]),
      ], reference: reference)
  }

  @Test func involutionOfThePluginPassesTheHarness() throws {
    let plugin = try load(PluginBuilder.involution())
    LayerHarness.check(
      plugin.layers[0],
      cases: [
        LayerCase([[2, 8, 5, 6]]),
        LayerCase(["kernel_size": 5, "groups": 3, "reduction": 2], [[1, 6, 4, 7]]),
        LayerCase(["kernel_size": 1, "groups": 2, "reduction": 100], [[3, 4, 2, 3]]),
        LayerCase([[0, 4, 3, 3]]), LayerCase(["kernel_size": 7], [[1, 2, 3, 2]]),
      ], reference: involutionReference)
    let registry = try LayerRegistry.standard.adding(plugin)
    func fails(
      _ attributes: Attributes, _ shape: Shape, _ code: LaminaError.Code, _ message: String
    ) {
      expectError(code, message) {
        try registry.makeLayer("com.example.involution", attributes).layer
          .outputs(for: [TensorSpec(shape)])
      }
    }
    fails(["kernel_size": 2], [1], .graph, "expected an odd kernel_size in 1...31, found 2")
    fails(["groups": 0], [1], .graph, "expected groups in 1...65536, found 0")
    fails(
      ["reduction": 1.5], [1], .graph,
      "expected attribute 'reduction' to be an integer, found a number")
    fails(["group": 2], [1], .graph, "unknown attribute 'group', nearest is 'groups'")
    fails([:], [1, 2, 3], .shape, "expected an input of 4 axes, found 3")
    fails(["groups": 3], [1, 4, 2, 2], .shape, "expected channels that the groups divide, found 4")
  }

  @Test func aSwiftLayerPassesTheHarnessInProcessAndThroughItsTables() throws {
    LayerHarness.check(ChannelScale.self, cases: scaleCases, reference: scaleReference)
    let plugin = try kitPlugin()
    #expect(plugin.layers.map(\.kind) == ["com.example.channel_scale"])
    LayerHarness.check(plugin.layers[0], cases: scaleCases, reference: scaleReference)
  }

  @Test func swishPassesTheHarnessInProcessThroughItsTablesAndFromTheLibrary() throws {
    let reference: NaiveReference = { call in
      var beta = 1.0
      if case .float(let value) = call.attributes["beta"] { beta = value }
      return [call.inputs[0].map { x in x == -.infinity ? 0 : x / (1 + exp(-beta * x)) }]
    }
    let tables = try Plugin(entry: { host, error in
      SwishSample.entry(host: host, error: error)
        .map { $0.assumingMemoryBound(to: lamina_plugin.self) }
    })
    let library = try load(PluginBuilder.swish())
    #expect(library.id == "com.example.swish")
    #expect(library.layers.map(\.kind) == ["com.example.swish"])
    for layer in [
      LayerDefinition(SwishSample.Swish.self, provider: "test"), tables.layers[0],
      library.layers[0],
    ] {
      LayerHarness.check(
        layer,
        cases: [
          LayerCase([TestInput([2, 3, 5, 7], in: -5...5)]),
          LayerCase(["beta": 0.5], [TestInput([9000], in: -9...9)]),
          LayerCase([TestInput([0, 3])]),
          LayerCase([TestInput([5], .float32, [0, 88, -200, .infinity, -.infinity])]),
        ], reference: reference)
    }
  }

  /// DeepConvNet (Saito, section 8.1) with another activation, for one short epoch on drawn digits.
  private func lossOfAnEpoch(_ kind: LayerKind, _ registry: LayerRegistry) throws -> Double {
    let plain = try ModelCatalog.entry(named: "deep_convnet").makeGraph(registry: registry)
    let text = plain.json.text().replacing("lamina.relu", with: kind.name)
    let graph = try Graph(json: JSON.parse(text: text), registry: registry)
    #expect(graph.nodes.count { $0.definition.kind == kind } == 7)
    var options = TrainerOptions()
    options.optimizer = Adam()
    options.batchSize = 10
    options.seed = 5
    let trainer = try Trainer(
      model: Model(
        initializing: graph, seed: 2, initializer: .heNormal(fanOut: false), registry: registry),
      data: DrawnDigits(), options: options)
    _ = try trainer.fit()
    return try #require(trainer.history.first?["loss"])
  }

  @Test func anEpochWithThePluginsMishLosesWhatTheBuiltInLoses() throws {
    let registry = try LayerRegistry.standard.adding(mishPlugin())
    let losses = try ["lamina.mish", "com.example.mish"].map {
      try lossOfAnEpoch(LayerKind($0), registry)
    }
    print("loss of an epoch:", losses)
    #expect(abs(losses[0] - losses[1]) <= 1e-4)
    let relu = try lossOfAnEpoch("lamina.relu", registry)
    #expect(abs(losses[0] - relu) > 1e-3)
  }

  @Test func aSwiftLayersErrorsCrossTheTables() throws {
    let registry = try LayerRegistry.standard.adding(kitPlugin())
    let layer = try registry.makeLayer("com.example.channel_scale", [:]).layer
    expectError(.shape, "expected 4 axes, found [3]") {
      try layer.outputs(for: [TensorSpec([3])])
    }
    expectError(.graph, "expected attribute 'offset' to be a number, found a bool") {
      try registry.makeLayer("com.example.channel_scale", ["offset": true])
    }
    expectError(.graph, "unknown attribute 'ofset', nearest is 'offset'") {
      try registry.makeLayer("com.example.channel_scale", ["ofset": 1])
    }
  }

  /// conv → `kind` → mean → dense.
  private func model(_ kind: LayerKind, _ registry: LayerRegistry) throws -> Model {
    var builder = GraphBuilder(name: "small", registry: registry)
    let input = try builder.input("input", [.batch, 3, 8, 8])
    let maps = try builder.add(
      "lamina.conv2d", "conv", input, attributes: ["out_channels": 8, "kernel_size": [3, 3]])
    let active = try builder.add(kind, "act", maps)
    let pooled = try builder.add("lamina.global_average_pool", "pool", active)
    let flat = try builder.add("lamina.flatten", "flatten", pooled)
    try builder.output(
      builder.add("lamina.dense", "fc", flat, attributes: ["out_features": 3]), name: "output")
    return try Model(initializing: builder.graph, seed: 1, registry: registry)
  }

  @Test func aStepOfTrainingIsThatOfTheBuiltInMish() throws {
    let registry = try LayerRegistry.standard.adding(mishPlugin())
    let input = try Tensor(random: [4, 3, 8, 8], seed: 3)
    let updates = try ["lamina.mish", "com.example.mish"].map { kind in
      let session = try TrainingSession(model: model(LayerKind(kind), registry))
      let outputs = try session.step([input.view], seed: 1) { outputs, gradients in
        for i in 0..<outputs[0].shape.count { gradients[0].floats[i] = outputs[0].floats[i] }
        return Array(outputs[0].elements(as: Float.self))
      }
      return outputs + session.weights.flatMap { $0.update.elements(as: Float.self) }
    }
    #expect(updates[0].count == updates[1].count)
    let worst = zip(updates[0], updates[1]).map { abs($0 - $1) }.max() ?? 1
    #expect(worst <= 1e-6)
  }

  @Test func aModelWithThePluginsLayerIsSavedAndOpened() throws {
    try withTemporaryFolder { folder in
      let registry = try LayerRegistry.standard.adding(mishPlugin())
      let path = "\(folder)/model.safetensors"
      let saved = try model("com.example.mish", registry)
      try ModelFile.save(saved, to: path)
      let input = try Tensor(random: [1, 3, 8, 8], seed: 3)
      let opened = try ModelFile.load(path: path, registry: registry)
      let outputs = try [saved, opened, model("lamina.mish", registry)].map {
        try Session(model: $0).run([input])[0].elements(as: Float.self)
      }
      #expect(outputs[0] == outputs[1])
      #expect(zip(outputs[0], outputs[2]).allSatisfy { abs($0 - $1) <= 1e-6 })
      #expect(try ModelSummary(opened).rows.allSatisfy { $0.missing == nil })
    }
  }

  @Test func aModelOpensWithoutItsPluginAndIsSavedUnchanged() throws {
    try withTemporaryFolder { folder in
      let (full, bare) = ("\(folder)/full.safetensors", "\(folder)/bare.safetensors")
      let plugins = try [mishPlugin(), kitPlugin()]
      let registry = try LayerRegistry.standard.adding(plugins)
      var builder = GraphBuilder(name: "missing", registry: registry)
      let input = try builder.input("input", [.batch, 3, 8, 8])
      let maps = try builder.add(
        "lamina.conv2d", "conv", input, attributes: ["out_channels": 8, "kernel_size": [3, 3]])
      let scaled = try builder.add(
        "com.example.channel_scale", "scale", maps, attributes: ["offset": 0.25])
      let active = try builder.add("com.example.mish", "act", scaled)
      try builder.output(
        builder.add(
          "lamina.conv2d", "last", active,
          attributes: [
            "out_channels": 2, "kernel_size": [1, 1],
          ]), name: "output")
      let model = try Model(initializing: builder.graph, seed: 1, registry: registry)
      try ModelFile.save(model, to: full)
      let sample = try Tensor(random: [1, 3, 8, 8], seed: 3)
      let expected = try Session(model: model).run([sample])[0].elements(as: Float.self)

      let opened = try ModelFile.load(path: full, registry: .standard)
      #expect(opened.graph.missingKinds == ["com.example.channel_scale", "com.example.mish"])
      #expect(try opened.weightCount() == model.weightCount())
      let summary = try ModelSummary(opened)
      #expect(summary.rows.map(\.output?.shape) == [[1, 8, 6, 6], nil, nil, nil])
      #expect(summary.rows.map(\.weights) == [224, 8, 0, 18])
      let reason =
        "unknown layer kind 'com.example.mish', usually supplied by plugin 'com.example.mish' 1.0.0; "
        + "\(LayerRegistry.standard.kinds.count) kinds are registered"
      #expect(summary.text.contains("act    com.example.mish (missing)           ?"))
      #expect(summary.text.contains("\n\(reason)\n"))
      #expect(summary.json.text().contains(#""missing":"unknown layer kind"#))
      let first = try LayerRegistry.standard.adding(kitPlugin())
      let lacking = reason.replacing(
        "\(LayerRegistry.standard.kinds.count) kinds", with: "\(first.kinds.count) kinds")
      expectError(.notFound, lacking, path: "act (com.example.mish)") {
        try Session(model: ModelFile.load(path: full, registry: first)).run([sample])
      }
      expectError(.notFound, lacking, path: "act (com.example.mish)") {
        try TrainingSession(model: ModelFile.load(path: full, registry: first))
      }

      try ModelFile.save(opened, to: bare)
      #expect(
        FileManager.default.contents(atPath: bare) == FileManager.default.contents(atPath: full))
      let again = try Session(model: ModelFile.load(path: bare, registry: registry)).run([sample])
      #expect(again[0].elements(as: Float.self) == expected)
    }
  }

  @Test func aFileIsLoadedOnce() throws {
    let (first, second) = (try mishPlugin(), try mishPlugin())
    #expect(first === second)
    let registry = try LayerRegistry.standard.adding([first, second])
    #expect(try registry.definition(of: "com.example.mish").provider == "com.example.mish")
    expectError(
      .argument, "com.example.mish of 'com.example.mish' is already supplied by 'com.example.mish'"
    ) { try registry.adding(second) }
  }
}

/// The ten digits of a pocket calculator, 28 × 28, each with noise of its own.
private struct DrawnDigits: TrainingData {
  let count = 80
  let fingerprint = "drawn digits"

  /// Top, upper left and right, middle, lower left and right, bottom.
  private static let segments = [
    0b1110111, 0b0010010, 0b1011101, 0b1011011, 0b0111010, 0b1101011, 0b1101111, 0b1010010,
    0b1111111, 0b1111011,
  ]
  private static let places: [(rows: ClosedRange<Int>, columns: ClosedRange<Int>)] = [
    (4...5, 9...18), (5...13, 8...9), (5...13, 18...19), (13...14, 9...18), (14...22, 8...9),
    (14...22, 18...19), (22...23, 9...18),
  ]

  func batch(_ indices: [Int], epoch: Int) throws -> Batch {
    var pixels: [Float] = []
    for index in indices {
      let noise = try Tensor(random: [28, 28], seed: UInt64(index)).elements(as: Float.self)
      pixels += (0..<28 * 28).map { position in
        let isLit = Self.places.enumerated().contains { bit, place in
          Self.segments[index % 10] >> (6 - bit) & 1 == 1 && place.rows.contains(position / 28)
            && place.columns.contains(position % 28)
        }
        return (isLit ? 1 : 0) + 0.1 * noise[position]
      }
    }
    return try Batch(
      [Tensor([indices.count, 1, 28, 28], pixels)], labels: [.classes(indices.map { $0 % 10 })])
  }
}
