// Howard et al. 2017, MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
// Applications, arXiv:1704.04861, table 1, as Keras has it; and Sandler et al. 2018, MobileNetV2:
// Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381, table 2, as torchvision has it.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let mobileNets = [
    CatalogEntry(
      name: "mobilenet_v1", title: "MobileNet",
      paper: "Howard et al. 2017, MobileNets, arXiv:1704.04861",
      side: 224, preprocessing: .tf(size: 224, resize: 256, .bilinear), classes: 1000,
      keyMaps: [
        KeyMap(
          origin: "Keras",
          changes: [
            KeyMap.Change("*conv_preds.weight", .matchUnitAxes),
            // A file of weights alone does not say that a kernel [h, w, c, 1] is depthwise.
            KeyMap.Change("*conv_dw_*.weight", .matchUnitAxes),
          ])
      ], labels: imageNetLabels, body: mobileNetV1),
    CatalogEntry(
      name: "mobilenet_v2", title: "MobileNetV2",
      paper: "Sandler et al. 2018, MobileNetV2, arXiv:1801.04381", side: 224,
      preprocessing: .torch(), classes: 1000,
      keyMaps: [
        KeyMap(origin: "torchvision"), KeyMap(origin: "timm", rules: mobileNetV2TimmRules),
        KeyMap(origin: "tonylins/pytorch-mobilenet-v2", rules: mobileNetV2FlatRules),
      ],
      labels: imageNetLabels, body: mobileNetV2),
  ]

  /// Channels and stride of the 13 depthwise separable convolutions.
  private static let separableConvolutions = [
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1),
    (512, 1), (512, 1), (1024, 2), (1024, 1),
  ]

  @Sendable private static func mobileNetV1(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    let style = BatchNormStyle.keras()
    var x = try builder.convolutionBlock(
      convolution: "conv1", norm: "conv1_bn", activationName: "conv1_relu", input, channels: 32,
      kernel: 3, stride: 2, padding: .same, style: style, activation: .relu6)
    var inputChannels = 32
    for (index, (channels, stride)) in separableConvolutions.enumerated() {
      let (depthwise, pointwise) = ("conv_dw_\(index + 1)", "conv_pw_\(index + 1)")
      x = try builder.convolutionBlock(
        convolution: depthwise, norm: "\(depthwise)_bn", activationName: "\(depthwise)_relu", x,
        channels: inputChannels, kernel: 3, stride: stride,
        padding: stride == 1 ? .zeros(1) : .sides(top: 0, left: 0, bottom: 1, right: 1),
        groups: inputChannels, style: style, activation: .relu6)
      x = try builder.convolutionBlock(
        convolution: pointwise, norm: "\(pointwise)_bn", activationName: "\(pointwise)_relu", x,
        channels: channels, kernel: 1, style: style, activation: .relu6)
      inputChannels = channels
    }
    return try builder.poolingClassifier("conv_preds", x, classes: classes, dropout: 1e-3)
  }

  /// Expansion t, channels c, repeats n and stride s of table 2.
  private static let bottlenecks = [
    (t: 1, c: 16, n: 1, s: 1), (t: 6, c: 24, n: 2, s: 2), (t: 6, c: 32, n: 3, s: 2),
    (t: 6, c: 64, n: 4, s: 2), (t: 6, c: 96, n: 3, s: 1), (t: 6, c: 160, n: 3, s: 2),
    (t: 6, c: 320, n: 1, s: 1),
  ]

  @Sendable private static func mobileNetV2(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    func block(_ number: Int, _ x: ValueID, channels: Int, kernel: Int, stride: Int)
      throws -> ValueID
    {
      try builder.convolutionBlock(
        convolution: "features.\(number).0", norm: "features.\(number).1",
        activationName: "features.\(number).2", x, channels: channels, kernel: kernel,
        stride: stride, padding: .zeros(kernel / 2), activation: .relu6)
    }
    var x = try block(0, input, channels: 32, kernel: 3, stride: 2)
    var inputChannels = 32
    var number = 1
    for (expansion, channels, repeats, stride) in bottlenecks {
      for place in 0..<repeats {
        x = try builder.invertedResidual(
          "features.\(number)", x, inputChannels: inputChannels, channels: channels,
          expansion: expansion, kernel: 3, stride: place == 0 ? stride : 1, padding: .zeros(1),
          names: .torchvision)
        inputChannels = channels
        number += 1
      }
    }
    x = try block(number, x, channels: 1280, kernel: 1, stride: 1)
    x = try builder.add("lamina.global_average_pool", "avgpool", x)
    x = try builder.add("lamina.flatten", "flatten", x)
    x = try builder.dropout("classifier.0", x, rate: 0.2)
    return try builder.dense("classifier.1", x, features: classes)
  }

  /// Convolution, norm and activation of a block counted through: 0, 1, 2 and so on.
  private static let mobileNetV2FlatRules: [KeyMap.Rule] = {
    let blocks = bottlenecks.flatMap { Array(repeating: $0.t != 1, count: $0.n) }
    return zip(1..., blocks).flatMap { number, expands in
      let parts = InvertedResidualNames.torchvision.parts(expands: expands)
      return (expands ? parts : Array(parts.dropFirst())).enumerated().flatMap { place, names in
        [(3 * place, names[0]), (3 * place + 1, names[1])].map {
          KeyMap.Rule.prefix("features.\(number).conv.\($0).", "features.\(number).\($1).")
        }
      }
    }
  }()

  private static let mobileNetV2TimmRules: [KeyMap.Rule] =
    [
      .prefix("conv_stem.", "features.0.0."), .prefix("bn1.", "features.0.1."),
      .prefix("conv_head.", "features.18.0."), .prefix("bn2.", "features.18.1."),
      .prefix("classifier.", "classifier.1."),
    ]
    + KeyMap.Rule.timmInvertedResiduals(
      bottlenecks.map { ($0.t != 1, $0.n) }, names: .torchvision, prefix: "features.", first: 1)
}
