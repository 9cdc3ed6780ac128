// Szegedy, Ioffe, Vanhoucke, Alemi 2016, Inception-v4, Inception-ResNet and the Impact of Residual
// Connections on Learning, arXiv:1602.07261, figure 15, with the numbers of channels and blocks of
// the weights that came from TensorFlow.

import LaminaBlocks
import LaminaCore

/// A module of the network, on its own or with a shortcut around it.
private struct Stage {
  var name: String
  var module: InceptionModule
  /// Channels of the map and factor of the residual; nil: no shortcut.
  var residual: (channels: Int, factor: Double)?
  var activation = BlockActivation.relu

  static func repeated(
    _ name: String, _ count: Int, _ module: InceptionModule, _ channels: Int, _ factor: Double
  ) -> [Stage] {
    (0..<count).map { Stage(name: "\(name).\($0)", module: module, residual: (channels, factor)) }
  }

  static let all: [Stage] =
    [Stage(name: "mixed_5b", module: .residualStem)]
    + repeated("repeat", 10, .residualA, 320, 0.17)
    + [Stage(name: "mixed_6a", module: .reductionA(k: 256, l: 256, m: 384, n: 384))]
    + repeated("repeat_1", 20, .residualB, 1088, 0.1)
    + [Stage(name: "mixed_7a", module: .residualReductionB)]
    + repeated("repeat_2", 9, .residualC, 2080, 0.2)
    + [Stage(name: "block8", module: .residualC, residual: (2080, 1), activation: .none)]
}

extension ModelCatalog {
  private static let paper = "Szegedy et al. 2016, Inception-v4, Inception-ResNet, arXiv:1602.07261"

  static let inceptionResNets = [
    CatalogEntry(
      name: "inception_resnet_v2", title: "Inception-ResNet-v2", paper: paper, side: 299,
      preprocessing: .tf(), classes: 1000, keyMaps: [KeyMap(origin: "timm")],
      labels: imageNetLabels
    ) { builder, input, classes in
      try inceptionResNet(InceptionStyle(), &builder, input, classes: classes)
    },
    CatalogEntry(
      name: "inception_resnet_v2_keras", title: "Inception-ResNet-v2 of Keras", paper: paper,
      side: 299, preprocessing: .tf(), classes: 1000,
      keyMaps: kerasMaps(
        ["conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a"]
          .flatMap { ["\($0).conv", "\($0).bn"] }
          + Stage.all.flatMap { stage in
            stage.module.kerasOrder.map { "\(stage.name).\($0)" }
              + (stage.residual == nil ? [] : ["\(stage.name).conv2d"])
          } + ["conv2d_7b.conv", "conv2d_7b.bn"], head: "classif"),
      labels: imageNetLabels
    ) { builder, input, classes in
      let style = InceptionStyle(norm: .keras(scale: false))
      return try inceptionResNet(style, &builder, input, classes: classes)
    },
  ]

  private static func inceptionResNet(
    _ style: InceptionStyle, _ builder: inout GraphBuilder, _ input: ValueID, classes: Int
  ) throws -> ValueID {
    var x = try builder.basicConvolution(
      "conv2d_1a", input, channels: 32, kernel: 3, stride: 2, padded: false, style: style)
    x = try builder.basicConvolution(
      "conv2d_2a", x, channels: 32, kernel: 3, padded: false, style: style)
    x = try builder.basicConvolution("conv2d_2b", x, channels: 64, kernel: 3, style: style)
    x = try builder.maxPool("maxpool_3a", x, kernel: 3, stride: 2)
    x = try builder.basicConvolution("conv2d_3b", x, channels: 80, style: style)
    x = try builder.basicConvolution(
      "conv2d_4a", x, channels: 192, kernel: 3, padded: false, style: style)
    x = try builder.maxPool("maxpool_5a", x, kernel: 3, stride: 2)
    for stage in Stage.all {
      if let (channels, factor) = stage.residual {
        x = try builder.inceptionResidual(
          stage.name, x, stage.module, channels: channels, factor: factor,
          activation: stage.activation, style: style)
      } else {
        x = try builder.inception(stage.name, x, stage.module, style: style)
      }
    }
    x = try builder.basicConvolution("conv2d_7b", x, channels: 1536, style: style)
    return try builder.poolingClassifier("classif", x, classes: classes)
  }
}
