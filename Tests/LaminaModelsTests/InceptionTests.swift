import Lamina
import LaminaTestSupport
import Testing

@Suite struct InceptionTests {
  /// Counts of torchvision and timm, of Keras where its layers differ, and of the paper's table 1.
  static let weightCounts: [(name: String, count: Int)] = [
    ("googlenet", 6_624_904), ("googlenet_paper", 6_998_552), ("se_inception", 7_105_007),
    ("inception_v3", 23_834_568), ("inception_v3_keras", 23_817_352),
    ("inception_v4", 42_679_816),
    ("inception_resnet_v2", 55_843_464), ("inception_resnet_v2_keras", 55_813_192),
    ("xception", 22_855_952), ("xception_keras", 22_855_952),
  ]

  /// Counts of Keras, with means and variances.
  static let kerasCounts: [(name: String, count: Int)] = [
    ("inception_v3_keras", 23_851_784), ("inception_resnet_v2_keras", 55_873_736),
    ("xception_keras", 22_910_480),
  ]

  @Test(arguments: kerasCounts)
  func kerasCountsStatisticsToo(name: String, count: Int) throws {
    let graph = try ModelCatalog.entry(named: name).makeGraph(registry: .standard)
    let total = try graph.parameterSlots(parameters: [:])
      .reduce(0) { $0 + $1.spec.spec.shape.count }
    #expect(total == count)
  }

  /// Counts with the auxiliary classifiers.
  static let auxiliaryCounts: [(name: String, count: Int)] = [
    ("googlenet", 13_004_888), ("googlenet_paper", 13_378_280), ("inception_v3", 27_161_264),
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

  /// Layers of Keras' models in its order, which `layers` of the model object lists.
  @Test func kerasOrdersLayersByDistance() {
    #expect(
      InceptionModule.v3E.kerasOrder == [
        "branch3x3dbl_1.conv", "branch3x3dbl_1.bn", "branch3x3_1.conv", "branch3x3dbl_2.conv",
        "branch3x3_1.bn", "branch3x3dbl_2.bn", "branch3x3_2a.conv", "branch3x3_2b.conv",
        "branch3x3dbl_3a.conv", "branch3x3dbl_3b.conv", "branch1x1.conv", "branch3x3_2a.bn",
        "branch3x3_2b.bn", "branch3x3dbl_3a.bn", "branch3x3dbl_3b.bn", "branch_pool.conv",
        "branch1x1.bn", "branch_pool.bn",
      ])
  }

  @Test(
    arguments: ["inception_v3_keras", "inception_resnet_v2_keras", "xception_keras"])
  func kerasModulesAreTheModels(name: String) throws {
    let entry = try ModelCatalog.entry(named: name)
    let own = Set(
      try slots(try entry.makeGraph(registry: .standard)).map {
        String($0.prefix(upTo: $0.lastIndex(of: ".") ?? $0.endIndex))
      })
    let named = entry.keyMaps[0].modules
    #expect(Set(named) == own)
    #expect(named.count == own.count)
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
    ("se_inception", "inception4e.se.fc1", [1, 52, 1, 1]),
    ("se_inception", "inception5b.se.scale", [1, 1024, 7, 7]),
    ("inception_v3", "Conv2d_1a_3x3.relu", [1, 32, 149, 149]),
    ("inception_v3", "Conv2d_2b_3x3.relu", [1, 64, 147, 147]),
    ("inception_v3", "Conv2d_4a_3x3.relu", [1, 192, 71, 71]),
    ("inception_v3", "maxpool2", [1, 192, 35, 35]),
    ("inception_v3", "Mixed_5b.concat", [1, 256, 35, 35]),
    ("inception_v3", "Mixed_5d.concat", [1, 288, 35, 35]),
    ("inception_v3", "Mixed_6e.concat", [1, 768, 17, 17]),
    ("inception_v3", "Mixed_7a.concat", [1, 1280, 8, 8]),
    ("inception_v3", "Mixed_7c.concat", [1, 2048, 8, 8]),
    ("inception_v4", "features.2.relu", [1, 64, 147, 147]),
    ("inception_v4", "features.3.concat", [1, 160, 73, 73]),
    ("inception_v4", "features.4.concat", [1, 192, 71, 71]),
    ("inception_v4", "features.9.concat", [1, 384, 35, 35]),
    ("inception_v4", "features.17.concat", [1, 1024, 17, 17]),
    ("inception_v4", "features.21.concat", [1, 1536, 8, 8]),
    ("inception_resnet_v2", "mixed_5b.concat", [1, 320, 35, 35]),
    ("inception_resnet_v2", "repeat.9.act", [1, 320, 35, 35]),
    ("inception_resnet_v2", "repeat_1.19.act", [1, 1088, 17, 17]),
    ("inception_resnet_v2", "block8.add", [1, 2080, 8, 8]),
    ("inception_resnet_v2", "conv2d_7b.relu", [1, 1536, 8, 8]),
    ("xception", "act2", [1, 64, 147, 147]), ("xception", "block1.add", [1, 128, 74, 74]),
    ("xception", "block3.add", [1, 728, 19, 19]), ("xception", "block11.add", [1, 728, 19, 19]),
    ("xception", "block12.add", [1, 1024, 10, 10]), ("xception", "act4", [1, 2048, 10, 10]),
    ("xception_keras", "block3.add", [1, 728, 19, 19]),
    ("xception_keras", "act4", [1, 2048, 10, 10]),
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
