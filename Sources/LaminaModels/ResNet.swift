// He, Zhang, Ren, Sun 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385, table
// 1: with the stride on the 3×3 convolution of a bottleneck (v1.5), as torchvision has it, and on the
// first 1×1 (v1), as the paper.

import LaminaBlocks
import LaminaCore

/// The depths of table 1.
enum ResNetDepth: Int, CaseIterable {
  case resNet18 = 18
  case resNet34 = 34
  case resNet50 = 50
  case resNet101 = 101
  case resNet152 = 152

  /// Blocks of conv2_x, conv3_x, conv4_x and conv5_x.
  var blockCounts: [Int] {
    switch self {
    case .resNet18: [2, 2, 2, 2]
    case .resNet34: [3, 4, 6, 3]
    case .resNet50: [3, 4, 6, 3]
    case .resNet101: [3, 4, 23, 3]
    case .resNet152: [3, 8, 36, 3]
    }
  }

  /// Whether blocks are 1×1, 3×3, 1×1 rather than two 3×3.
  var usesBottlenecks: Bool { rawValue >= 50 }

  /// Stage and place in it of every block, both from 0.
  var blocks: [(stage: Int, block: Int)] {
    blockCounts.enumerated().flatMap { stage, count in (0..<count).map { (stage, $0) } }
  }
}

extension ModelCatalog {
  private static let paper =
    "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385"

  static let resNets = ResNetDepth.allCases.map { depth in
    CatalogEntry(
      name: "resnet\(depth.rawValue)", title: "ResNet-\(depth.rawValue)", paper: paper, side: 224,
      preprocessing: .torch(), classes: 1000, keyMaps: [KeyMap(origin: "torchvision, timm")],
      labels: imageNetLabels
    ) { builder, input, classes in
      var x = try builder.residualStem(input)
      x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, padding: .zeros(1))
      x = try builder.residualStages(depth, x)
      return try builder.poolingClassifier("fc", x, classes: classes)
    }
  }

  /// The stride on the first 1×1 convolution (v1), where the two forms differ: as Keras has it, with
  /// biases, and as the authors' Caffe files, whose first pooling has no padding.
  static let resNetsV1 = ResNetDepth.allCases.filter(\.usesBottlenecks).flatMap { depth in
    let number = depth.rawValue
    var style = ResidualStyle()
    style.bias = true
    style.norm = .kerasResNet
    return [
      CatalogEntry(
        name: "resnet\(number)_v1", title: "ResNet-\(number) v1", paper: paper, side: 224,
        preprocessing: .caffe(), classes: 1000, keyMaps: [kerasKeyMap(depth)],
        labels: imageNetLabels
      ) { [style] builder, input, classes in
        var x = try builder.residualStem(input, bias: true, style: style.norm)
        x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, padding: .zeros(1))
        x = try builder.residualStages(depth, x, strideAt: .reduction, style: style)
        return try builder.poolingClassifier("fc", x, classes: classes)
      },
      CatalogEntry(
        name: "resnet\(number)_caffe", title: "ResNet-\(number) of the authors' files",
        paper: paper, side: 224, preprocessing: .caffe(), classes: 1000,
        keyMaps: [caffeKeyMap(depth)], labels: imageNetLabels
      ) { builder, input, classes in
        var x = try builder.residualStem(input, bias: depth == .resNet50)
        x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, ceilMode: true)
        x = try builder.residualStages(depth, x, strideAt: .reduction)
        return try builder.poolingClassifier("fc", x, classes: classes)
      },
    ]
  }

  /// ResNet-50 with half as many channels in each block, stride on the first 1×1, as in the Caffe model of open_nsfw.
  static let thinResNets = [
    CatalogEntry(
      name: "resnet50_thin", title: "ResNet-50 of half the width", paper: paper, side: 224,
      preprocessing: Preprocessing(
        resize: .exact(height: 256, width: 256),
        centerCrop: Preprocessing.Size(height: 224, width: 224), channelOrder: .bgr, scale: 1,
        mean: [104, 117, 123], std: [1]),
      classes: 2, keyMaps: [thinKeyMap], labels: []
    ) { builder, input, classes in
      var style = ResidualStyle()
      style.bias = true
      var x = try builder.residualStem(input, bias: true)
      x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, ceilMode: true)
      x = try builder.residualStages(.resNet50, x, narrowing: 2, strideAt: .reduction, style: style)
      return try builder.poolingClassifier("fc", x, classes: classes)
    }
  ]

  /// The ResNet-34 of Géron, Hands-On Machine Learning, third edition, chapter 14: TensorFlow's
  /// `same` borders, and the file in the order of its residual units.
  static let textbookResNets = [ResNetDepth.resNet34].map { depth in
    var style = ResidualStyle()
    style.padding = .same
    style.norm = .keras()
    var modules = ["conv1", "bn1"]
    for (stage, block) in depth.blocks {
      let name = "layer\(stage + 1).\(block)"
      modules += ["conv1", "bn1", "conv2", "bn2"].map { "\(name).\($0)" }
      if stage > 0, block == 0 { modules += ["\(name).downsample.0", "\(name).downsample.1"] }
    }
    return CatalogEntry(
      name: "resnet34_textbook", title: "ResNet-34 of a textbook", paper: paper, side: 224,
      preprocessing: .tf(size: 224, resize: 224, .bilinear), classes: 10,
      keyMaps: [KeyMap(origin: "Keras", modules: modules + ["fc"])], labels: []
    ) { [style] builder, input, classes in
      var x = try builder.residualStem(input, padding: .same, style: style.norm)
      x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, padding: .same)
      x = try builder.residualStages(depth, x, style: style)
      return try builder.poolingClassifier("fc", x, classes: classes)
    }
  }

  private static let thinKeyMap = caffeKeyMap(
    .resNet50, shortcut: "proj_shortcut",
    ends: ["conv_1.": "conv1.", "bn_1.": "bn1.", "scale_1.": "bn1.", "fc_nsfw.": "fc."]
  ) { stage, block, branch in
    let place = "stage\(stage)_block\(block)_\(branch)"
    return ("conv_\(place)", "bn_\(place)", "scale_\(place)")
  }

  /// Keras counts stages from 2 and blocks from 1, and numbers a block's layers.
  static func kerasKeyMap(_ depth: ResNetDepth, preActivation: Bool = false) -> KeyMap {
    let layers =
      preActivation
      ? [
        ("preact_bn", "bn1"), ("1_conv", "conv1"), ("1_bn", "bn2"), ("2_conv", "conv2"),
        ("2_bn", "bn3"), ("3_conv", "conv3"), ("0_conv", "downsample.0"),
      ]
      : [("0_conv", "downsample.0"), ("0_bn", "downsample.1")]
        + (1...3).flatMap { [("\($0)_conv", "conv\($0)"), ("\($0)_bn", "bn\($0)")] }
    let blocks = depth.blocks.flatMap { stage, block in
      layers.map { from, to in
        KeyMap.Rule.prefix(
          "conv\(stage + 2)_block\(block + 1)_\(from).", "layer\(stage + 1).\(block).\(to).")
      }
    }
    return KeyMap(
      origin: "Keras",
      rules: [
        .prefix("conv1_conv.", "conv1."), .prefix(preActivation ? "post_bn." : "conv1_bn.", "bn1."),
        .prefix("predictions.", "fc."),
      ] + blocks)
  }

  /// Caffe's layers of block a of stage 2 are `res2a_…`, `bn2a_…` and `scale2a_…`; of the long stages
  /// of the deeper networks the blocks are a, b1, b2, …
  private static func caffeKeyMap(_ depth: ResNetDepth) -> KeyMap {
    let letters = ["a", "b", "c", "d", "e", "f"]
    return caffeKeyMap(
      depth, shortcut: "branch1",
      ends: ["bn_conv1.": "bn1.", "scale_conv1.": "bn1.", "fc1000.": "fc."]
    ) { stage, block, branch in
      let isNumbered = depth != .resNet50 && (stage == 1 || stage == 2) && block > 0
      let place = "\(stage + 2)\(isNumbered ? "b\(block)" : letters[block])_\(branch)"
      return ("res\(place)", "bn\(place)", "scale\(place)")
    }
  }

  /// - Parameters:
  ///   - shortcut: the branch of the projection; the others are `branch2a` to `branch2c`.
  ///   - ends: prefixes of what lies before and behind the blocks.
  ///   - layers: names of a branch's convolution, norm and scale, by stage and block from 0.
  private static func caffeKeyMap(
    _ depth: ResNetDepth, shortcut: String, ends: KeyValuePairs<String, String>,
    layers: (_ stage: Int, _ block: Int, _ branch: String) -> (String, String, String)
  ) -> KeyMap {
    let branches = [
      (shortcut, "downsample.0", "downsample.1"), ("branch2a", "conv1", "bn1"),
      ("branch2b", "conv2", "bn2"), ("branch2c", "conv3", "bn3"),
    ]
    let rules = depth.blocks.flatMap { stage, block in
      let target = "layer\(stage + 1).\(block)"
      return branches.flatMap { branch, convolution, norm in
        let names = layers(stage, block, branch)
        return [
          KeyMap.Rule.prefix("\(names.0).", "\(target).\(convolution)."),
          .prefix("\(names.1).", "\(target).\(norm)."),
          .prefix("\(names.2).", "\(target).\(norm)."),
        ]
      }
    }
    return KeyMap(
      origin: "Caffe", rules: ends.map { KeyMap.Rule.prefix($0.key, $0.value) } + rules)
  }
}

extension BatchNormStyle {
  /// That of Keras' residual networks.
  static let kerasResNet = keras(epsilon: 1.001e-5)
}

extension GraphBuilder {
  /// relu(bn1(conv1(x))), 7×7, 64 channels, stride 2.
  mutating func residualStem(
    _ x: ValueID, padding: BlockPadding = .zeros(3), bias: Bool = false,
    style: BatchNormStyle = BatchNormStyle()
  ) throws -> ValueID {
    try convolutionBlock(
      convolution: "conv1", norm: "bn1", activationName: "relu", x, channels: 64, kernel: 7,
      stride: 2, padding: padding, bias: bias, style: style, activation: .relu)
  }

  /// conv2_x to conv5_x of table 1, as `layer1` to `layer4`, with a `divisor`-th of the channels.
  mutating func residualStages(
    _ depth: ResNetDepth, _ x: ValueID, narrowing divisor: Int = 1,
    strideAt: BottleneckStride = .spatial,
    style: ResidualStyle = ResidualStyle()
  ) throws -> ValueID {
    var x = x
    for (stage, block) in depth.blocks {
      let name = "layer\(stage + 1).\(block)"
      let width = (64 << stage) / divisor
      let stride = stage > 0 && block == 0 ? 2 : 1
      // Bottlenecks widen 64 channels to 256 in the first stage already.
      let changesShape = block == 0 && (stage > 0 || depth.usesBottlenecks)
      let shortcut: ResidualShortcut = changesShape ? .projection : .identity
      x =
        depth.usesBottlenecks
        ? try bottleneckBlock(
          name, x, width: width, stride: stride, strideAt: strideAt, style: style,
          shortcut: shortcut)
        : try basicBlock(
          name, x, channels: width, stride: stride, style: style, shortcut: shortcut)
    }
    return x
  }
}
