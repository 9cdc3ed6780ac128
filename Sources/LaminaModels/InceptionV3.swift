// Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, Rethinking the Inception Architecture for Computer
// Vision, arXiv:1512.00567, table 1, with the modules of the weights that came from TensorFlow.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  private static let rethinking =
    "Szegedy et al. 2015, Rethinking the Inception Architecture, arXiv:1512.00567"

  /// The modules in their order, on a 35×35 map of 192 channels.
  private static let modules: KeyValuePairs<String, InceptionModule> = [
    "Mixed_5b": .v3A(poolChannels: 32),
    "Mixed_5c": .v3A(poolChannels: 64),
    "Mixed_5d": .v3A(poolChannels: 64),
    "Mixed_6a": .v3B,
    "Mixed_6b": .v3C(channels: 128),
    "Mixed_6c": .v3C(channels: 160),
    "Mixed_6d": .v3C(channels: 160),
    "Mixed_6e": .v3C(channels: 192),
    "Mixed_7a": .v3D,
    "Mixed_7b": .v3E,
    "Mixed_7c": .v3E,
  ]

  private static let torchvisionStyle = InceptionStyle(averagesPadding: true)
  private static let kerasStyle = InceptionStyle(norm: .keras(scale: false))

  static let inceptionV3s = [
    // torchvision's pretrained network takes pictures normalised with ImageNet's mean and deviation
    // and undoes it (`transform_input`): together x / 127.5 − 1.
    CatalogEntry(
      name: "inception_v3", title: "Inception-v3", paper: rethinking, side: 299,
      preprocessing: .tf(size: 299, resize: 342, .bilinear), classes: 1000,
      keyMaps: [
        KeyMap(origin: "torchvision, timm", [:], ignored: ["*AuxLogits.*"]),
        KeyMap(origin: "torchvision, timm with auxiliary head"),
      ],
      labels: imageNetLabels,
      auxiliaryHeads: [
        AuxiliaryHead(name: "AuxLogits", value: "Mixed_6e.concat", lossWeight: 0.4) {
          builder, x, classes in
          try builder.convolutionalAuxiliaryClassifier(
            "AuxLogits", x, classes: classes, style: torchvisionStyle)
        }
      ]
    ) { builder, input, classes in
      try inceptionV3(torchvisionStyle, &builder, input, classes: classes)
    },
    CatalogEntry(
      name: "inception_v3_keras", title: "Inception-v3 of Keras", paper: rethinking, side: 299,
      preprocessing: .tf(size: 299, resize: 341), classes: 1000,
      keyMaps: kerasMaps(
        ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
          .flatMap { ["\($0).conv", "\($0).bn"] }
          + modules.flatMap { name, module in module.kerasOrder.map { "\(name).\($0)" } },
        head: "fc"),
      labels: imageNetLabels
    ) { builder, input, classes in
      try inceptionV3(kerasStyle, &builder, input, classes: classes)
    },
  ]

  private static func inceptionV3(
    _ style: InceptionStyle, _ builder: inout GraphBuilder, _ input: ValueID, classes: Int
  ) throws -> ValueID {
    var x = try builder.basicConvolution(
      "Conv2d_1a_3x3", input, channels: 32, kernel: 3, stride: 2, padded: false, style: style)
    x = try builder.basicConvolution(
      "Conv2d_2a_3x3", x, channels: 32, kernel: 3, padded: false, style: style)
    x = try builder.basicConvolution("Conv2d_2b_3x3", x, channels: 64, kernel: 3, style: style)
    x = try builder.maxPool("maxpool1", x, kernel: 3, stride: 2)
    x = try builder.basicConvolution("Conv2d_3b_1x1", x, channels: 80, style: style)
    x = try builder.basicConvolution(
      "Conv2d_4a_3x3", x, channels: 192, kernel: 3, padded: false, style: style)
    x = try builder.maxPool("maxpool2", x, kernel: 3, stride: 2)
    for (name, module) in modules { x = try builder.inception(name, x, module, style: style) }
    return try builder.poolingClassifier("fc", x, classes: classes, dropout: 0.5)
  }

  /// Maps for Keras' files of networks whose layers mostly have no names of their own: by position,
  /// and by the number that a file gives each layer of a class.
  static func kerasMaps(_ body: [String], head: String) -> [KeyMap] {
    func numbered(_ kind: String, _ names: [String]) -> [KeyMap.Rule] {
      names.enumerated().map { number, name in
        .prefix(number == 0 ? "\(kind)." : "\(kind)_\(number).", "\(name).")
      }
    }
    return [
      KeyMap(origin: "Keras", modules: body + [head]),
      KeyMap(
        origin: "Keras 3, layers by number",
        rules: numbered("conv2d", body.filter { !$0.hasSuffix(".bn") })
          + numbered("batch_normalization", body.filter { $0.hasSuffix(".bn") })
          + numbered("dense", [head])),
    ]
  }
}
