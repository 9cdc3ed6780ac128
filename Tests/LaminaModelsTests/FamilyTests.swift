import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Shapes inside, parameters with statistics, and names of other people's files.
@Suite struct FamilyTests {
  private func shapes(_ name: String, _ values: [String]) throws -> [[Int]] {
    let graph = try ModelCatalog.entry(named: name).makeGraph(registry: .standard)
    let inputs = try graph.inputs.map { try $0.defaultSpec() }
    let specs = try graph.inferSpecs(inputs: inputs, parameters: [:])
    return try values.map { specs[try graph.requireValue(named: $0)].shape.dimensions }
  }

  @Test(arguments: [
    (
      "lenet5_1998", ["c1", "s2", "c3", "s4", "c5", "f6"],
      [
        [1, 6, 28, 28], [1, 6, 14, 14], [1, 16, 10, 10], [1, 16, 5, 5], [1, 120, 1, 1], [1, 84],
      ]
    ),
    (
      "lenet_64", ["conv1", "pool1", "conv2", "pool2", "flatten", "fc"],
      [[1, 6, 62, 62], [1, 6, 31, 31], [1, 16, 28, 28], [1, 16, 14, 14], [1, 3136], [1, 10]]
    ),
    (
      "mnist_net", ["conv1", "pool1", "pool2", "pool3", "flatten", "fc1"],
      [[1, 32, 28, 28], [1, 32, 14, 14], [1, 64, 7, 7], [1, 128, 4, 4], [1, 2048], [1, 625]]
    ),
    (
      "simple_convnet", ["conv1", "pool1", "flatten"],
      [[1, 30, 24, 24], [1, 30, 12, 12], [1, 4320]]
    ),
    (
      "deep_convnet", ["pool1", "conv4", "pool2", "pool3", "flatten"],
      [[1, 16, 14, 14], [1, 32, 16, 16], [1, 32, 8, 8], [1, 64, 4, 4], [1, 1024]]
    ),
    (
      "fashion_mnist_cnn", ["conv1", "pool1", "pool3", "pool5", "flatten"],
      [[1, 64, 28, 28], [1, 64, 14, 14], [1, 128, 7, 7], [1, 256, 3, 3], [1, 2304]]
    ),
    ("resnet50_v1", ["layer2.0.conv1", "layer4.2.relu3"], [[1, 128, 28, 28], [1, 2048, 7, 7]]),
    (
      "resnet50_v2", ["maxpool", "layer1.1.add", "layer1.2.add", "layer4.2.add"],
      [[1, 64, 56, 56], [1, 256, 56, 56], [1, 256, 28, 28], [1, 2048, 7, 7]]
    ),
    ("resnet18_v2", ["layer2.0.add", "relu"], [[1, 128, 28, 28], [1, 512, 7, 7]]),
    (
      "resnet34_textbook", ["conv1", "maxpool", "layer4.2.relu2"],
      [[1, 64, 112, 112], [1, 64, 56, 56], [1, 512, 7, 7]]
    ),
    (
      "seresnet50", ["layer1.0.se.squeeze", "layer1.0.se.fc1", "layer1.0.se.scale"],
      [[1, 256, 1, 1], [1, 16, 1, 1], [1, 256, 56, 56]]
    ),
    (
      "legacy_senet154",
      ["conv3", "maxpool", "layer1.0.conv1", "layer1.0.conv2", "layer4.2.relu3"],
      [
        [1, 128, 112, 112], [1, 128, 56, 56], [1, 128, 56, 56], [1, 256, 56, 56], [1, 2048, 7, 7],
      ]
    ),
  ]) func valuesHaveTheirShapes(name: String, values: [String], expected: [[Int]]) throws {
    #expect(try shapes(name, values) == expected)
  }

  /// Counts with the norms' statistics, as Keras prints them.
  @Test(arguments: [
    ("resnet50_v1", 25_636_712), ("resnet101_v1", 44_707_176), ("resnet152_v1", 60_419_944),
    ("resnet50_v2", 25_613_800), ("resnet101_v2", 44_675_560), ("resnet152_v2", 60_380_648),
    ("resnet34_textbook", 21_306_826), ("mobilenet_v1", 4_253_864),
  ]) func statisticsAreCountedAsKerasDoes(name: String, count: Int) throws {
    let graph = try ModelCatalog.entry(named: name).makeGraph(registry: .standard)
    let slots = try graph.parameterSlots(parameters: [:])
    #expect(slots.reduce(0) { $0 + $1.spec.spec.shape.count } == count)
  }

  @Test func firstLayersHaveThePapersWeights() throws {
    func count(_ name: String, _ prefix: String) throws -> Int {
      try ModelCatalog.entry(named: name).makeGraph(registry: .standard)
        .parameterSlots(parameters: [:]).reduce(0) { sum, slot in
          guard case .tensor(let key) = slot.binding, key.hasPrefix(prefix) else { return sum }
          return sum + slot.spec.spec.shape.count
        }
    }
    #expect(try count("alexnet_paper", "conv1.weight") == 34_848)
    #expect(try count("lenet_64", "conv1.weight") == 162)
    #expect(try count("lenet_64", "conv2.weight") == 1536)
    #expect(try count("lenet_64", "fc.weight") == 31_360)
    // Table I and section II.B: 156, 12, 1,516, 32, 48,120 and 10,164.
    #expect(try count("lenet5_1998", "c1.") == 156)
    #expect(try count("lenet5_1998", "s2.") == 12)
    #expect(try count("lenet5_1998", "c3.") == 1516)
    #expect(try count("lenet5_1998", "s4.") == 32)
    #expect(try count("lenet5_1998", "c5.") == 48_120)
    #expect(try count("lenet5_1998", "f6.") == 10_164)
  }

  @Test(arguments: [
    ("vgg16", "timm", "pre_logits.fc2.bias", "classifier.3.bias"),
    ("vgg16", "Keras", "block3_conv3.weight", "features.14.weight"),
    ("vgg19", "Keras", "block5_conv4.bias", "features.34.bias"),
    ("vgg16", "Keras", "predictions.weight", "classifier.6.weight"),
    ("vgg16", "Caffe", "conv5_3.weight", "features.28.weight"),
    ("squeezenet1_1", "Keras, Caffe", "fire9/expand3x3.weight", "features.12.expand3x3.weight"),
    ("squeezenet1_0", "Keras, Caffe", "fire5/squeeze1x1.bias", "features.7.squeeze.bias"),
    ("squeezenet1_1", "pickles of Keras' arrays", "conv10.1", "classifier.1.bias"),
    (
      "squeezenet1_1", "pickles of Keras' arrays", "fire2/expand3x3.0",
      "features.3.expand3x3.weight"
    ),
    ("mobilenet_v2", "timm", "blocks.0.0.conv_pw.weight", "features.1.conv.1.weight"),
    ("mobilenet_v2", "timm", "blocks.6.0.bn3.weight", "features.17.conv.3.weight"),
    ("mobilenet_v2", "timm", "conv_head.weight", "features.18.0.weight"),
    (
      "mobilenet_v2", "tonylins/pytorch-mobilenet-v2", "features.1.conv.3.weight",
      "features.1.conv.1.weight"
    ),
    (
      "mobilenet_v2", "tonylins/pytorch-mobilenet-v2", "features.1.conv.1.bias",
      "features.1.conv.0.1.bias"
    ),
    (
      "mobilenet_v2", "tonylins/pytorch-mobilenet-v2", "features.17.conv.6.weight",
      "features.17.conv.2.weight"
    ),
    (
      "mobilenet_v2", "tonylins/pytorch-mobilenet-v2", "features.17.conv.4.running_var",
      "features.17.conv.1.1.running_var"
    ),
    ("efficientnet_lite0", "timm", "blocks.1.1.bn2.bias", "blocks.2.bn1.bias"),
    ("efficientnet_lite0", "timm", "bn2.bias", "bn1.bias"),
    ("resnet50_v1", "Keras", "conv2_block1_0_conv.bias", "layer1.0.downsample.0.bias"),
    ("resnet50_v1", "Keras", "conv4_block6_2_bn.running_var", "layer3.5.bn2.running_var"),
    ("resnet152_v1", "Keras", "conv4_block36_3_conv.weight", "layer3.35.conv3.weight"),
    ("resnet50_v2", "Keras", "conv3_block1_preact_bn.weight", "layer2.0.bn1.weight"),
    ("resnet50_v2", "Keras", "conv3_block4_2_bn.weight", "layer2.3.bn3.weight"),
    ("resnet50_v2", "Keras", "post_bn.bias", "bn1.bias"),
    (
      "resnet18_v2", "timm", "stages.1.blocks.0.downsample.conv.weight",
      "layer2.0.downsample.0.weight"
    ),
    ("resnet50_caffe", "Caffe", "res4f_branch2b.weight", "layer3.5.conv2.weight"),
    ("resnet101_caffe", "Caffe", "bn4b22_branch2c.running_mean", "layer3.22.bn3.running_mean"),
    ("resnet101_caffe", "Caffe", "scale5c_branch2a.bias", "layer4.2.bn1.bias"),
    ("legacy_senet154", "timm", "layer0.conv3.weight", "conv3.weight"),
    ("legacy_senet154", "timm", "layer3.35.se_module.fc2.bias", "layer3.35.se.fc2.bias"),
    ("deep_convnet", "Deep Learning from Scratch", "W7", "fc7.weight"),
    ("deep_convnet", "Deep Learning from Scratch", "b6", "conv6.bias"),
  ]) func namesOfFilesAreKnown(name: String, origin: String, key: String, expected: String) throws {
    let entry = try ModelCatalog.entry(named: name)
    let map = try #require(entry.keyMaps.first { $0.origin == origin })
    #expect(map.target(of: key) == expected)
    let isParameter = try entry.makeGraph(registry: .standard).parameterSlots(parameters: [:])
      .contains { slot in
        if case .tensor(let parameter) = slot.binding { parameter == expected } else { false }
      }
    #expect(isParameter)
  }

  /// Squeeze-and-excitation in both forms gates each channel of what it is given, wherever it stands.
  @Test func squeezeExciteFitsAnywhere() throws {
    func build(_ form: SqueezeExciteForm, reduction: Int) throws -> (Shape, Int) {
      var builder = GraphBuilder(name: "block", registry: .standard)
      let x = try builder.input("input", [.batch, 64, 16, 16])
      let y = try builder.squeezeExcite(
        "se", x, channels: 64, reduction: reduction, form: form)
      try builder.output(y)
      let specs = try builder.graph.inferSpecs(
        inputs: [TensorSpec([2, 64, 16, 16])], parameters: [:])
      let count = try builder.graph.parameterSlots(parameters: [:]).reduce(0) {
        $0 + $1.spec.spec.shape.count
      }
      return (specs[y].shape, count)
    }
    for form in [SqueezeExciteForm.convolution, .dense] {
      for reduction in [4, 16] {
        let (shape, count) = try build(form, reduction: reduction)
        let reduced = 64 / reduction
        #expect(shape == [2, 64, 16, 16])
        #expect(count == 2 * 64 * reduced + reduced + 64)
      }
    }
  }
}
