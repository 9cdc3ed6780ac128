// Tan, Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
// arXiv:1905.11946, table 1, in the Lite form of the TPU repository: no squeeze-and-excitation,
// ReLU6 for swish, and stem, head and the repeats of the first and last stage not scaled.

import LaminaBlocks
import LaminaCore

/// A row of the table of Lite variants.
private struct LiteVariant {
  var number: Int
  var width: Double
  var depth: Double
  var side: Int
  var dropout: Double

  static let all = [
    LiteVariant(number: 0, width: 1.0, depth: 1.0, side: 224, dropout: 0.2),
    LiteVariant(number: 1, width: 1.0, depth: 1.1, side: 240, dropout: 0.2),
    LiteVariant(number: 2, width: 1.1, depth: 1.2, side: 260, dropout: 0.3),
    LiteVariant(number: 3, width: 1.2, depth: 1.4, side: 280, dropout: 0.3),
    LiteVariant(number: 4, width: 1.4, depth: 1.8, side: 300, dropout: 0.3),
  ]

  /// Scaled channels, to the nearest multiple of 8 that loses no more than a tenth.
  func channels(_ base: Int) -> Int {
    let scaled = Double(base) * width
    let rounded = max(8, Int(scaled + 4) / 8 * 8)
    return Double(rounded) < 0.9 * scaled ? rounded + 8 : rounded
  }

  /// Repeats of a stage: scaled and rounded up, but for the first and last.
  func repeats(_ stage: Int) -> Int {
    let base = Stage.all[stage].repeats
    let isScaled = stage > 0 && stage < Stage.all.count - 1
    return isScaled ? Int((Double(base) * depth).rounded(.up)) : base
  }

  var timmRules: [KeyMap.Rule] {
    [.prefix("bn1.", "bn0."), .prefix("bn2.", "bn1."), .prefix("classifier.", "fc.")]
      + KeyMap.Rule.timmInvertedResiduals(
        Stage.all.enumerated().map { ($1.expansion != 1, repeats($0)) }, names: .efficientNet,
        prefix: "blocks.", first: 0)
  }
}

/// A stage of table 1.
private struct Stage {
  var expansion: Int
  var kernel: Int
  var stride: Int
  var channels: Int
  var repeats: Int

  static let all = [
    Stage(expansion: 1, kernel: 3, stride: 1, channels: 16, repeats: 1),
    Stage(expansion: 6, kernel: 3, stride: 2, channels: 24, repeats: 2),
    Stage(expansion: 6, kernel: 5, stride: 2, channels: 40, repeats: 2),
    Stage(expansion: 6, kernel: 3, stride: 2, channels: 80, repeats: 3),
    Stage(expansion: 6, kernel: 5, stride: 1, channels: 112, repeats: 3),
    Stage(expansion: 6, kernel: 5, stride: 2, channels: 192, repeats: 4),
    Stage(expansion: 6, kernel: 3, stride: 1, channels: 320, repeats: 1),
  ]
}

extension ModelCatalog {
  static let efficientNetLites = LiteVariant.all.map { variant in
    CatalogEntry(
      name: "efficientnet_lite\(variant.number)", title: "EfficientNet-Lite\(variant.number)",
      paper: "Tan and Le 2019, EfficientNet: Rethinking Model Scaling, arXiv:1905.11946",
      side: variant.side,
      preprocessing: Preprocessing(
        resize: .shorterSide(variant.side + 32), interpolation: .bicubic,
        centerCrop: Preprocessing.Size(height: variant.side, width: variant.side), scale: 1,
        mean: [127], std: [128]),
      classes: 1000,
      keyMaps: [
        KeyMap(
          origin: "RangiLyu/EfficientNet-Lite", ["_blocks.{}._*": "blocks.{}.*", "_*": "*"]),
        KeyMap(origin: "timm", rules: variant.timmRules),
      ], labels: imageNetLabels
    ) { builder, input, classes in
      let style = BatchNormStyle(epsilon: 1e-3, momentum: 0.01)
      var x = try builder.convolutionBlock(
        convolution: "conv_stem", norm: "bn0", activationName: "stem_act", input, channels: 32,
        kernel: 3, stride: 2, padding: .same, style: style, activation: .relu6)
      var inputChannels = 32
      var block = 0
      for (index, stage) in Stage.all.enumerated() {
        let channels = variant.channels(stage.channels)
        for position in 0..<variant.repeats(index) {
          x = try builder.invertedResidual(
            "blocks.\(block)", x, inputChannels: inputChannels, channels: channels,
            expansion: stage.expansion, kernel: stage.kernel,
            stride: position == 0 ? stage.stride : 1, style: style)
          inputChannels = channels
          block += 1
        }
      }
      x = try builder.convolutionBlock(
        convolution: "conv_head", norm: "bn1", activationName: "head_act", x, channels: 1280,
        kernel: 1, style: style, activation: .relu6)
      return try builder.poolingClassifier("fc", x, classes: classes, dropout: variant.dropout)
    }
  }
}
