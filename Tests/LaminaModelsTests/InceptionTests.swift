import Lamina
import LaminaTestSupport
import Testing

@Suite struct InceptionTests {
  /// Counts of torchvision and timm, of Keras where its layers differ, and of the paper's table 1.
  static let weightCounts: [(name: String, count: Int)] = [
    ("googlenet", 6_624_904), ("googlenet_paper", 6_998_552),
  ]

  /// Counts with the auxiliary classifiers.
  static let auxiliaryCounts: [(name: String, count: Int)] = [
    ("googlenet", 13_004_888), ("googlenet_paper", 13_378_280),
  ]

  private func slots(_ graph: Graph) throws -> [String] {
    try graph.parameterSlots(parameters: [:]).compactMap {
      if case .tensor(let key) = $0.binding { key } else { nil }
    }
  }

  private func weightCount(_ graph: Graph) throws -> Int {
    try graph.parameterSlots(parameters: [:]).filter { $0.spec.role == .weight }
      .reduce(0) { $0 + $1.spec.spec.shape.count }
  }

  @Test(arguments: auxiliaryCounts)
  func auxiliaryHeadsAreThereForTrainingOnly(name: String, count: Int) throws {
    let entry = try ModelCatalog.entry(named: name)
    let names = entry.auxiliaryHeads.map(\.name)
    let graph = try entry.makeGraph(registry: .standard, classes: 1000, auxiliary: true)
    #expect(try weightCount(graph) == count)
    #expect(graph.outputs.map(\.name) == ["output"] + names)
    let size = entry.inputSize
    let specs = try graph.inferSpecs(
      inputs: [TensorSpec(try Shape([2, 3, size.height, size.width]))], parameters: [:])
    #expect(graph.outputs.allSatisfy { specs[$0.value].shape == [2, 1000] })

    let inference = try entry.makeGraph(registry: .standard)
    #expect(inference.outputs.map(\.name) == ["output"])
    #expect(!inference.nodes.contains { node in names.contains { node.name.hasPrefix($0 + ".") } })
    for (own, other) in zip(inference.nodes, graph.nodes) { #expect(own.name == other.name) }
  }

  @Test func auxiliaryLossesHaveTheirWeights() throws {
    let entry = try ModelCatalog.entry(named: "googlenet")
    #expect(entry.auxiliaryHeads.map(\.lossWeight) == [0.3, 0.3])
    let model = try entry.makeModel(registry: .standard, classes: 2, auxiliary: true)
    #expect(model.metadata.provenance["loss_weight.aux1"] == "0.3")
    #expect(model.metadata.provenance["loss_weight.aux2"] == "0.3")
    let inference = try entry.makeModel(registry: .standard, classes: 2)
    #expect(inference.metadata.provenance["loss_weight.aux1"] == nil)
    #expect(inference.parameters.keys.allSatisfy { !$0.hasPrefix("aux") })
  }

  /// A file of a network with its heads fits the network with and without them.
  @Test func headsOfAFileAreIgnoredForInference() throws {
    let entry = try ModelCatalog.entry(named: "googlenet")
    let training = try entry.makeModel(
      registry: .standard, classes: 2, auxiliary: true, seed: 1)
    let inference = try entry.makeModel(registry: .standard, classes: 2, seed: 2)
    let source = try openTensorSource(bytes: ModelFile.bytes(of: training))
    let all = try training.loadingWeights(from: source, keyMaps: entry.keyMaps).report
    #expect(all.origin == "torchvision with auxiliary heads")
    #expect(all.ignored.isEmpty && all.isComplete)
    let (model, report) = try inference.loadingWeights(from: source, keyMaps: entry.keyMaps)
    #expect(report.origin == "torchvision")
    #expect(report.isComplete)
    #expect(report.ignored.count == all.loaded.count - report.loaded.count)
    #expect(report.ignored.allSatisfy { $0.hasPrefix("aux") })
    #expect(
      model.parameters["fc.weight"]?.elements(as: Float.self)
        == training.parameters["fc.weight"]?.elements(as: Float.self))
  }

  /// Every parameter of `entry` gets a name of the file by its map of `origin`.
  private func targets(_ entry: String, _ origin: String, _ keys: [String]) throws -> [String] {
    let map = try #require(
      try ModelCatalog.entry(named: entry).keyMaps.first { $0.origin == origin })
    return keys.map(map.target(of:))
  }

  @Test func caffesNamesAreKnown() throws {
    #expect(
      try targets(
        "googlenet_paper", "Caffe with auxiliary heads",
        [
          "conv1/7x7_s2.weight", "conv2/3x3_reduce.bias", "conv2/3x3.weight",
          "inception_3a/1x1.weight", "inception_4e/5x5_reduce.bias", "inception_5b/5x5.weight",
          "inception_5b/3x3_reduce.weight", "inception_4c/3x3.weight",
          "inception_5b/pool_proj.weight", "loss1/conv.weight", "loss2/fc.bias",
          "loss2/classifier.weight", "loss3/classifier.bias",
        ]) == [
          "conv1.conv.weight", "conv2.conv.bias", "conv3.conv.weight",
          "inception3a.branch1.conv.weight", "inception4e.branch3.0.conv.bias",
          "inception5b.branch3.1.conv.weight", "inception5b.branch2.0.conv.weight",
          "inception4c.branch2.1.conv.weight", "inception5b.branch4.1.conv.weight",
          "aux1.conv.conv.weight", "aux2.fc1.bias", "aux2.fc2.weight", "fc.bias",
        ])
  }

  static let shapes: [(entry: String, value: String, shape: Shape)] = [
    ("googlenet", "conv1.relu", [1, 64, 112, 112]), ("googlenet", "maxpool1", [1, 64, 56, 56]),
    ("googlenet", "maxpool2", [1, 192, 28, 28]),
    ("googlenet", "inception3a.concat", [1, 256, 28, 28]),
    ("googlenet", "inception3b.concat", [1, 480, 28, 28]),
    ("googlenet", "inception4d.concat", [1, 528, 14, 14]),
    ("googlenet", "inception5b.concat", [1, 1024, 7, 7]),
    ("googlenet_paper", "norm2", [1, 192, 56, 56]),
    ("googlenet_paper", "inception4e.concat", [1, 832, 14, 14]),
    ("googlenet_paper", "inception5b.concat", [1, 1024, 7, 7]),
  ]

  @Test(arguments: shapes) func stagesHaveThePapersSizes(
    entry: String, value: String, shape: Shape
  ) throws {
    let graph = try ModelCatalog.entry(named: entry).makeGraph(registry: .standard)
    let inputs = try graph.inputs.map { try $0.defaultSpec() }
    let specs = try graph.inferSpecs(inputs: inputs, parameters: [:])
    #expect(specs[try graph.requireValue(named: value)].shape == shape)
  }
}
