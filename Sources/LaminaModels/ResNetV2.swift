// He, Zhang, Ren, Sun 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027: batch
// normalisation and ReLU before each convolution. The depths without bottlenecks as timm has them;
// those with, as Keras: the stride on the last block of a stage, and zeros around the first pooling.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let resNetsV2 = ResNetDepth.allCases.map { depth in
    CatalogEntry(
      name: "resnet\(depth.rawValue)_v2", title: "ResNet-\(depth.rawValue) v2",
      paper: "He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027",
      side: 224,
      preprocessing: depth.usesBottlenecks ? .tf(size: 224, resize: 256, .bilinear) : .torch(),
      classes: 1000,
      keyMaps: [
        depth.usesBottlenecks ? kerasKeyMap(depth, preActivation: true) : timmV2KeyMap
      ], labels: imageNetLabels
    ) { builder, input, classes in
      depth.usesBottlenecks
        ? try bottleneckResNetV2(depth, &builder, input, classes)
        : try basicResNetV2(depth, &builder, input, classes)
    }
  }

  private static func bottleneckResNetV2(
    _ depth: ResNetDepth, _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    let style = BatchNormStyle.kerasResNet
    var x = try builder.convolution(
      "conv1", input, channels: 64, kernel: 7, stride: 2, padding: .zeros(3), bias: true)
    x = try builder.add("lamina.pad", "pad", x, attributes: ["pads": [0, 0, 1, 1, 0, 0, 1, 1]])
    x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2)
    for (stage, block) in depth.blocks {
      let isLast = block == depth.blockCounts[stage] - 1
      let stride = isLast && stage < 3 ? 2 : 1
      x = try builder.preActivationBottleneck(
        "layer\(stage + 1).\(block)", x, width: 64 << stage, stride: stride, bias: true,
        style: style, shortcut: block == 0 ? .projection : stride == 2 ? .subsampling : .identity)
    }
    x = try builder.activation(.relu, "relu", builder.batchNorm("bn1", x, style: style))
    return try builder.poolingClassifier("fc", x, classes: classes)
  }

  private static func basicResNetV2(
    _ depth: ResNetDepth, _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    var x = try builder.convolution(
      "conv1", input, channels: 64, kernel: 7, stride: 2, padding: .zeros(3))
    x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, padding: .zeros(1))
    for (stage, block) in depth.blocks {
      let changesShape = stage > 0 && block == 0
      x = try builder.preActivationBasicBlock(
        "layer\(stage + 1).\(block)", x, channels: 64 << stage, stride: changesShape ? 2 : 1,
        shortcut: changesShape ? .projection : .identity)
    }
    x = try builder.activation(.relu, "relu", builder.batchNorm("bn1", x))
    return try builder.poolingClassifier("fc", x, classes: classes)
  }

  private static let timmV2KeyMap = KeyMap(
    origin: "timm",
    rules: [
      .prefix("stem.conv.", "conv1."), .prefix("norm.", "bn1."), .prefix("head.fc.", "fc."),
    ]
      + (0..<4).map { .prefix("stages.\($0).blocks.", "layer\($0 + 1).") }
      + [
        .pattern("*.norm1.*", "*.bn1.*"), .pattern("*.norm2.*", "*.bn2.*"),
        .pattern("*.downsample.conv.*", "*.downsample.0.*"),
      ],
    changes: [KeyMap.Change("*head.fc.weight", .matchUnitAxes)])
}
