// Szegedy, Ioffe, Vanhoucke, Alemi 2016, Inception-v4, Inception-ResNet and the Impact of Residual
// Connections on Learning, arXiv:1602.07261, figure 9.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let inceptionV4s = [
    CatalogEntry(
      name: "inception_v4", title: "Inception-v4",
      paper: "Szegedy et al. 2016, Inception-v4, Inception-ResNet, arXiv:1602.07261", side: 299,
      preprocessing: .tf(size: 299, resize: 341), classes: 1000, keyMaps: [KeyMap(origin: "timm")],
      labels: imageNetLabels
    ) { builder, input, classes in
      let style = InceptionStyle()
      var x = try builder.basicConvolution(
        "features.0", input, channels: 32, kernel: 3, stride: 2, padded: false, style: style)
      x = try builder.basicConvolution(
        "features.1", x, channels: 32, kernel: 3, padded: false, style: style)
      x = try builder.basicConvolution("features.2", x, channels: 64, kernel: 3, style: style)
      let modules: [InceptionModule] =
        [.v4StemA, .v4StemB, .v4StemC]
        + Array(repeating: .v4A, count: 4) + [.reductionA(k: 192, l: 224, m: 256, n: 384)]
        + Array(repeating: .v4B, count: 7) + [.v4ReductionB]
        + Array(repeating: .v4C, count: 3)
      for (index, module) in modules.enumerated() {
        x = try builder.inception("features.\(index + 3)", x, module, style: style)
      }
      return try builder.poolingClassifier("last_linear", x, classes: classes)
    }
  ]
}
