// He, Zhang, Ren, Sun 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385, table
// 1, with the stride on the 3×3 convolution of a bottleneck (v1.5), as torchvision has it.

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
}

extension ModelCatalog {
  static let resNets = ResNetDepth.allCases.map { depth in
    CatalogEntry(
      name: "resnet\(depth.rawValue)", title: "ResNet-\(depth.rawValue)",
      paper: "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
      side: 224, preprocessing: .torch(), classes: 1000, keyMaps: [KeyMap(origin: "torchvision")],
      labels: imageNetLabels
    ) { builder, input, classes in
      try resNet(depth, &builder, input, classes: classes)
    }
  }

  private static func resNet(
    _ depth: ResNetDepth, _ builder: inout GraphBuilder, _ input: ValueID, classes: Int
  ) throws -> ValueID {
    var x = try builder.convolutionBlock(
      convolution: "conv1", norm: "bn1", activationName: "relu", input, channels: 64, kernel: 7,
      stride: 2, padding: .zeros(3), activation: .relu)
    x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, padding: .zeros(1))
    for (stage, blockCount) in depth.blockCounts.enumerated() {
      let width = 64 << stage
      for block in 0..<blockCount {
        let name = "layer\(stage + 1).\(block)"
        let stride = stage > 0 && block == 0 ? 2 : 1
        // Bottlenecks widen 64 channels to 256 in the first stage already.
        let changesShape = block == 0 && (stage > 0 || depth.usesBottlenecks)
        let shortcut: ResidualShortcut = changesShape ? .projection : .identity
        x =
          depth.usesBottlenecks
          ? try builder.bottleneckBlock(name, x, width: width, stride: stride, shortcut: shortcut)
          : try builder.basicBlock(name, x, channels: width, stride: stride, shortcut: shortcut)
      }
    }
    return try builder.poolingClassifier("fc", x, classes: classes)
  }
}
