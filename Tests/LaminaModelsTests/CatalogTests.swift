import Lamina
import LaminaTestSupport
import Testing

@Suite struct CatalogTests {
  /// Counts of torchvision, of the CIFAR paper's table 6 (0.27, 0.46, 0.66 and 0.85 million), of the
  /// EfficientNet-Lite table (4.7, 5.4, 6.1, 8.2 and 13.0 million), and sums by hand.
  static let weightCounts: [(name: String, count: Int)] =
    [
      ("alexnet", 61_100_840), ("alexnet_paper", 60_965_224), ("alexnet_bvlc", 60_965_224),
      ("vgg11", 132_863_336), ("vgg13", 133_047_848), ("vgg16", 138_357_544),
      ("vgg19", 143_667_240), ("vgg11_bn", 132_868_840), ("vgg13_bn", 133_053_736),
      ("vgg16_bn", 138_365_992), ("vgg19_bn", 143_678_248),
      ("squeezenet1_0", 1_248_424), ("squeezenet1_1", 1_235_496),
      ("mobilenet_v1", 4_231_976), ("mobilenet_v2", 3_504_872),
      ("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032),
      ("resnet101", 44_549_160), ("resnet152", 60_192_808),
      ("resnet50_v1", 25_583_592), ("resnet101_v1", 44_601_832), ("resnet152_v1", 60_268_520),
      ("resnet50_caffe", 25_557_096), ("resnet101_caffe", 44_549_160),
      ("resnet152_caffe", 60_192_808), ("resnet50_thin", 5_917_890),
      ("resnet34_textbook", 21_289_802),
      ("resnet18_v2", 11_687_720), ("resnet34_v2", 21_795_880), ("resnet50_v2", 25_568_360),
      ("resnet101_v2", 44_577_896), ("resnet152_v2", 60_236_904),
      ("seresnet50", 28_088_024), ("seresnet101", 49_326_872), ("seresnet152", 66_821_848),
      ("legacy_seresnet18", 11_778_592), ("legacy_seresnet34", 21_958_868),
      ("legacy_seresnet50", 28_088_024), ("legacy_seresnet101", 49_326_872),
      ("legacy_seresnet152", 66_821_848), ("legacy_senet154", 115_088_984),
      ("cifar_resnet8", 75_290), ("cifar_resnet14", 172_506), ("cifar_resnet20", 269_722),
      ("cifar_resnet32", 464_154), ("cifar_resnet44", 658_586),
      ("cifar_resnet56", 853_018),
      ("efficientnet_lite0", 4_652_008), ("efficientnet_lite1", 5_416_680),
      ("efficientnet_lite2", 6_092_072), ("efficientnet_lite3", 8_197_096),
      ("efficientnet_lite4", 13_006_568),
      ("lenet5_1998", 60_850), ("lenet5", 61_706), ("lenet_64", 33_058), ("mnist_cnn", 376_870),
      ("mnist_net", 1_378_698), ("simple_convnet", 433_890), ("deep_convnet", 123_552),
      ("fashion_mnist_cnn", 1_413_834),
    ]

  static let allWeightCounts = weightCounts + InceptionTests.weightCounts

  @Test(arguments: allWeightCounts) func weightsAreCounted(name: String, count: Int) throws {
    let entry = try ModelCatalog.entry(named: name)
    let graph = try entry.makeGraph(registry: .standard)
    let slots = try graph.parameterSlots(parameters: [:])
    let weights = slots.filter { $0.spec.role == .weight }
    #expect(weights.reduce(0) { $0 + $1.spec.spec.shape.count } == count)
    #expect(Set(slots.map { "\($0.nodePath).\($0.spec.name)" }).count == slots.count)
  }

  @Test func everyEntryIsCounted() {
    let names = ModelCatalog.entries.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(Set(names).isSuperset(of: Self.allWeightCounts.map(\.name)))
  }

  @Test(arguments: ModelCatalog.entries.map(\.name))
  func graphsHaveTheirShapesAndSurviveJSON(name: String) throws {
    let entry = try ModelCatalog.entry(named: name)
    #expect(entry.labels.isEmpty || entry.labels.count == entry.defaultClassCount)
    #expect(entry.preprocessing.outputSize == entry.inputSize)
    #expect(entry.preprocessing.channelCount == entry.inputChannels)
    let graph = try entry.makeGraph(registry: .standard, classes: 7)
    let size = entry.inputSize
    let input = TensorSpec(try Shape([2, entry.inputChannels, size.height, size.width]))
    try graph.checkInputs([input])
    let specs = try graph.inferSpecs(inputs: [input], parameters: [:])
    #expect(graph.outputs.map(\.name) == ["output"])
    #expect(specs[graph.outputs[0].value].shape == [2, 7])
    let again = try Graph(json: graph.json, registry: .standard)
    #expect(again.json == graph.json)
  }

  @Test func stagesHaveThePapersSizes() throws {
    func shape(_ entry: String, _ value: String) throws -> Shape {
      let entry = try ModelCatalog.entry(named: entry)
      let graph = try entry.makeGraph(registry: .standard)
      let inputs = try graph.inputs.map { try $0.defaultSpec() }
      return try graph.inferSpecs(inputs: inputs, parameters: [:])[graph.requireValue(named: value)]
        .shape
    }
    #expect(try shape("alexnet_paper", "conv1") == [1, 96, 55, 55])
    #expect(try shape("alexnet_bvlc", "pool1") == [1, 96, 27, 27])
    #expect(try shape("alexnet_bvlc", "pool5") == [1, 256, 6, 6])
    #expect(try shape("alexnet", "features.0") == [1, 64, 55, 55])
    #expect(try shape("vgg16", "features.28") == [1, 512, 14, 14])
    #expect(try shape("vgg19_bn", "features.52") == [1, 512, 7, 7])
    #expect(try shape("squeezenet1_0", "features.3.concat") == [1, 128, 54, 54])
    #expect(try shape("squeezenet1_1", "features.12.concat") == [1, 512, 13, 13])
    #expect(try shape("mobilenet_v1", "conv_pw_13_relu") == [1, 1024, 7, 7])
    #expect(try shape("mobilenet_v2", "features.14.conv.1.0") == [1, 576, 7, 7])
    #expect(try shape("resnet50", "relu") == [1, 64, 112, 112])
    #expect(try shape("resnet50", "maxpool") == [1, 64, 56, 56])
    #expect(try shape("resnet50", "layer1.2.relu3") == [1, 256, 56, 56])
    #expect(try shape("resnet50", "layer2.0.conv1") == [1, 128, 56, 56])
    #expect(try shape("resnet50", "layer2.0.conv2") == [1, 128, 28, 28])
    #expect(try shape("resnet50", "layer4.2.relu3") == [1, 2048, 7, 7])
    #expect(try shape("resnet34", "layer3.5.relu2") == [1, 256, 14, 14])
    #expect(try shape("cifar_resnet20", "layer3.2.relu2") == [1, 64, 8, 8])
    #expect(try shape("cifar_resnet20", "layer2.0.downsample.pad") == [1, 32, 16, 16])
    #expect(try shape("efficientnet_lite0", "blocks.5.bn2") == [1, 80, 14, 14])
    #expect(try shape("efficientnet_lite0", "head_act") == [1, 1280, 7, 7])
  }

  @Test func keysAreTorchvisions() throws {
    let graph = try ModelCatalog.entry(named: "resnet50").makeGraph(registry: .standard)
    var keys: Set<String> = []
    for slot in try graph.parameterSlots(parameters: [:]) {
      if case .tensor(let key) = slot.binding { keys.insert(key) }
    }
    // 53 convolutions, 53 × 4 of batch normalisation, 2 of the classifier.
    #expect(keys.count == 53 + 53 * 4 + 2)
    for key in [
      "conv1.weight", "bn1.running_var", "layer1.0.downsample.0.weight",
      "layer1.0.downsample.1.bias",
      "layer3.5.conv3.weight", "layer4.2.bn3.running_mean", "fc.weight", "fc.bias",
    ] { #expect(keys.contains(key), "\(key)") }
    #expect(!keys.contains("conv1.bias"))
    #expect(!keys.contains("layer1.1.downsample.0.weight"))
  }

  @Test func namesAreHelped() {
    expectError(
      .notFound,
      "no model named 'resnet55', nearest is 'resnet50'; there are "
        + ModelCatalog.entries.map(\.name).joined(separator: ", ")
    ) { try ModelCatalog.entry(named: "resnet55") }
    expectError(.argument, "expected 1 to 1000000 classes, found 0") {
      try ModelCatalog.entry(named: "lenet5").makeGraph(registry: .standard, classes: 0)
    }
    expectError(
      .notFound, "unknown layer kind 'lamina.conv2d'; 0 kinds are registered",
      path: "conv1 (lamina.conv2d)"
    ) { try ModelCatalog.entry(named: "resnet18").makeGraph(registry: LayerRegistry()) }
  }

  @Test func modelsCarryTheirMetadata() throws {
    let entry = try ModelCatalog.entry(named: "cifar_resnet20")
    let model = try entry.makeModel(registry: .standard, seed: 3)
    #expect(model.metadata.labels.first == "airplane")
    #expect(model.metadata.preprocessing == entry.preprocessing)
    #expect(model.metadata.outputKind == .logits)
    #expect(try model.weightCount() == 269_722)
    let same = try entry.makeModel(registry: .standard, seed: 3)
    let other = try entry.makeModel(registry: .standard, seed: 4)
    func first(_ model: Model) -> [Float]? {
      model.parameters["conv1.weight"]?.elements(as: Float.self)
    }
    #expect(first(model) == first(same))
    #expect(first(model) != first(other))
    #expect(try entry.makeModel(registry: .standard, classes: 3).metadata.labels.isEmpty)
    #expect(try ModelCatalog.entry(named: "resnet18").labels[258] == "Samoyed")
  }
}

/// Stands for a convolution of another supplier: it says how often its shapes were asked for.
private struct OtherConvolution: Layer {
  static let kind: LayerKind = "lamina.conv2d"
  let channels: Int
  let kernel: [Int]
  let stride: Int
  let padding: Int

  init(attributes: inout AttributeReader) throws {
    channels = try attributes.int("out_channels")
    kernel = try attributes.ints("kernel_size", count: 2)
    stride = try attributes.ints("strides", count: 2, default: [1, 1])[0]
    padding = try attributes.ints("padding", count: 4, default: [0, 0, 0, 0])[0]
    _ = try attributes.bool("bias", default: true)
  }
  func encode(into attributes: inout AttributeWriter) { attributes.int("out_channels", channels) }
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [
      ParameterSpec(
        "kernel", try Shape([channels, inputs[0].shape[1]] + kernel), initializer: .zeros)
    ]
  }
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = inputs[0].shape
    func extent(_ axis: Int) -> Int { (shape[axis] + 2 * padding - kernel[axis - 2]) / stride + 1 }
    return [TensorSpec(try Shape([shape[0], channels, extent(2), extent(3)]))]
  }
  func forward(_ call: ForwardCall) throws {}
}

@Suite struct BlockTests {
  @Test func layersAreNamedByKind() throws {
    var registry = LayerRegistry.standard
    registry.replace(OtherConvolution.self, provider: "test")
    let graph = try ModelCatalog.entry(named: "resnet50").makeGraph(registry: registry)
    let convolutions = graph.nodes.filter { $0.definition.kind == "lamina.conv2d" }
    #expect(convolutions.count == 53)
    #expect(
      convolutions.allSatisfy { $0.layer is OtherConvolution && $0.definition.provider == "test" })
    let kernels = try graph.parameterSlots(parameters: [:]).filter { $0.spec.name == "kernel" }
    #expect(kernels.count == 53)
  }

  private func build(_ body: (inout GraphBuilder, ValueID) throws -> ValueID) throws -> (
    Graph, Shape
  ) {
    var builder = GraphBuilder(name: "block", registry: .standard)
    let x = try builder.input("input", [.batch, 64, 16, 16])
    let y = try body(&builder, x)
    try builder.output(y)
    let specs = try builder.graph.inferSpecs(
      inputs: [TensorSpec([1, 64, 16, 16])], parameters: [:])
    return (builder.graph, specs[y].shape)
  }

  private func stride(_ graph: Graph, _ node: String) -> AttributeValue? {
    graph.nodes.first { $0.name == node }?.attributes["strides"]
  }

  @Test func bottlenecksTakeTheirStrideWhereTheyAreTold() throws {
    let (spatial, shape) = try build {
      try $0.bottleneckBlock("b", $1, width: 32, stride: 2, shortcut: .projection)
    }
    #expect(shape == [1, 128, 8, 8])
    #expect(stride(spatial, "b.conv1") != [2, 2])
    #expect(stride(spatial, "b.conv2") == [2, 2])
    let (reduction, same) = try build {
      try $0.bottleneckBlock(
        "b", $1, width: 32, stride: 2, strideAt: .reduction, shortcut: .projection)
    }
    #expect(same == [1, 128, 8, 8])
    #expect(stride(reduction, "b.conv1") == [2, 2])
    #expect(stride(reduction, "b.conv2") != [2, 2])
  }

  @Test func shortcutsFit() throws {
    #expect(
      try build { try $0.basicBlock("b", $1, channels: 64, shortcut: .identity) }.1 == [
        1, 64, 16, 16,
      ])
    #expect(
      try build {
        try $0.basicBlock("b", $1, channels: 128, stride: 2, shortcut: .padding(newChannels: 64))
      }.1 == [1, 128, 8, 8])
    #expect(throws: LaminaError.self) {
      try build { try $0.basicBlock("b", $1, channels: 128, stride: 2, shortcut: .identity) }
    }
  }

  @Test func invertedResidualsAddWhereTheyCan() throws {
    func adds(channels: Int, stride: Int) throws -> Bool {
      try build {
        try $0.invertedResidual(
          "b", $1, inputChannels: 64, channels: channels, expansion: 6, kernel: 5, stride: stride)
      }.0.nodes.contains { $0.name == "b.add" }
    }
    #expect(try adds(channels: 64, stride: 1))
    #expect(try !adds(channels: 64, stride: 2))
    #expect(try !adds(channels: 32, stride: 1))
    let (plain, shape) = try build {
      try $0.invertedResidual(
        "b", $1, inputChannels: 64, channels: 16, expansion: 1, kernel: 3, stride: 2)
    }
    #expect(shape == [1, 16, 8, 8])
    #expect(!plain.nodes.contains { $0.name == "b.expand_conv" })
  }
}

@Suite struct LabelTests {
  @Test func labelFilesAreRead() throws {
    func labels(_ text: String) throws -> [String] { try LabelFile.labels(bytes: Array(text.utf8)) }
    #expect(try labels("cat\ndog\n") == ["cat", "dog"])
    #expect(try labels("cat\r\n dog \r\n\n") == ["cat", "dog"])
    #expect(
      try labels("n01440764 tench, Tinca tinca\nn01443537 goldfish\n") == [
        "tench, Tinca tinca", "goldfish",
      ])
    #expect(try labels("n01440764 tench\ngoldfish") == ["n01440764 tench", "goldfish"])
    #expect(try labels("n01440764") == ["n01440764"])
    expectError(.format, "expected a label, found none", path: "labels") { try labels("\n\n") }
    expectError(.format, "expected a label on line 2, found none", path: "labels") {
      try labels("a\n\nb")
    }
    expectError(.format, "the text is not UTF-8", path: "labels") {
      try LabelFile.labels(bytes: [0xFF, 0xFE])
    }
  }

  @Test(.enabled(if: SharedData.isAvailable)) func imageNetLabelsAreThoseOfTheFile() throws {
    guard let names = SharedData.path("labels/imagenet_classes.txt"),
      let synsets = SharedData.path("labels/synset.txt")
    else { return }
    let labels = try ModelCatalog.entry(named: "resnet50").labels
    #expect(try LabelFile.labels(path: names) == labels)
    let long = try LabelFile.labels(path: synsets)
    #expect(long.count == 1000)
    #expect(long[0] == "tench, Tinca tinca")
  }
}
