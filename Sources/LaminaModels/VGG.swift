// Simonyan, Zisserman 2014, Very Deep Convolutional Networks for Large-Scale Image Recognition,
// arXiv:1409.1556, table 1: columns A, B, D and E, plain and with batch normalisation.

import LaminaBlocks
import LaminaCore

/// The columns of table 1 by their number of layers with weights.
enum VGGDepth: Int, CaseIterable {
  case vgg11 = 11
  case vgg13 = 13
  case vgg16 = 16
  case vgg19 = 19

  /// 3×3 convolutions before each pooling.
  var convolutionCounts: [Int] {
    switch self {
    case .vgg11: [1, 1, 2, 2, 2]
    case .vgg13: [2, 2, 2, 2, 2]
    case .vgg16: [2, 2, 3, 3, 3]
    case .vgg19: [2, 2, 4, 4, 4]
    }
  }

  /// Of each convolution its block and its place there, both from 1, and its number in torchvision's
  /// `features`.
  func convolutions(normalized: Bool) -> [(block: Int, place: Int, number: Int)] {
    var number = 0
    return convolutionCounts.enumerated().flatMap { block, count in
      defer { number += 1 }
      return (1...count).map { place in
        defer { number += normalized ? 3 : 2 }
        return (block + 1, place, number)
      }
    }
  }
}

extension ModelCatalog {
  static let vggs = [false, true].flatMap { normalized in
    VGGDepth.allCases.map { vgg($0, normalized: normalized) }
  }

  private static func vgg(_ depth: VGGDepth, normalized: Bool) -> CatalogEntry {
    let convolutions = depth.convolutions(normalized: normalized)
    return CatalogEntry(
      name: "vgg\(depth.rawValue)\(normalized ? "_bn" : "")",
      title: "VGG-\(depth.rawValue)\(normalized ? " with batch normalisation" : "")",
      paper: "Simonyan and Zisserman 2014, Very Deep Convolutional Networks, arXiv:1409.1556",
      side: 224, preprocessing: .torch(), classes: 1000,
      keyMaps: vggKeyMaps(depth, normalized: normalized), labels: imageNetLabels
    ) { builder, input, classes in
      var x = input
      for (index, (block, _, number)) in convolutions.enumerated() {
        x = try builder.convolution(
          "features.\(number)", x, channels: min(64 << (block - 1), 512), kernel: 3,
          padding: .zeros(1), bias: true)
        if normalized { x = try builder.batchNorm("features.\(number + 1)", x) }
        let end = number + (normalized ? 2 : 1)
        x = try builder.activation(.relu, "features.\(end)", x)
        if index + 1 == convolutions.count || convolutions[index + 1].block != block {
          x = try builder.maxPool("features.\(end + 1)", x, kernel: 2, stride: 2)
        }
      }
      x = try builder.add(
        "lamina.adaptive_average_pool", "avgpool", x, attributes: ["output_size": [7, 7]])
      x = try builder.add("lamina.flatten", "flatten", x)
      for number in [0, 3] {
        x = try builder.dense("classifier.\(number)", x, features: 4096)
        x = try builder.activation(.relu, "classifier.\(number + 1)", x)
        x = try builder.dropout("classifier.\(number + 2)", x)
      }
      return try builder.dense("classifier.6", x, features: classes)
    }
  }

  /// timm has convolutions of 7×7 and 1×1 for the first dense layers; Keras and Caffe count
  /// convolutions within their block, and Keras flattens height, width, channels.
  private static func vggKeyMaps(_ depth: VGGDepth, normalized: Bool) -> [KeyMap] {
    var maps = [
      KeyMap(origin: "torchvision"),
      KeyMap(
        origin: "timm",
        [
          "pre_logits.fc1.*": "classifier.0.*", "pre_logits.fc2.*": "classifier.3.*",
          "head.fc.*": "classifier.6.*",
        ],
        changes: [
          KeyMap.Change("*pre_logits.fc1.weight", .reshape([4096, -1])),
          KeyMap.Change("*pre_logits.fc2.weight", .matchUnitAxes),
        ]),
    ]
    guard !normalized else { return maps }
    func rules(_ name: (Int, Int) -> String, classifier: [String]) -> [KeyMap.Rule] {
      depth.convolutions(normalized: false).map { block, place, number in
        .prefix("\(name(block, place)).", "features.\(number).")
      }
        + zip(classifier, [0, 3, 6]).map { .prefix("\($0)." as String, "classifier.\($1).") }
    }
    if depth == .vgg16 || depth == .vgg19 {
      maps.append(
        KeyMap(
          origin: "Keras",
          rules: rules({ "block\($0)_conv\($1)" }, classifier: ["fc1", "fc2", "predictions"]),
          changes: [
            KeyMap.Change("*fc1.weight", .permuteAfterFlatten(channels: 512, height: 7, width: 7))
          ]))
      maps.append(
        KeyMap(
          origin: "Caffe", rules: rules({ "conv\($0)_\($1)" }, classifier: ["fc6", "fc7", "fc8"])))
    }
    return maps
  }
}
