// Chollet 2016, Xception: Deep Learning with Depthwise Separable Convolutions, arXiv:1610.02357,
// figure 5.

import LaminaBlocks
import LaminaCore

/// A block of figure 5.
private struct Block {
  var steps: [SeparableStep]
  /// Whether it halves the map: entry and exit flow.
  var isStrided: Bool

  static let all =
    [
      Block(steps: [SeparableStep(128, activates: false), SeparableStep(128)], isStrided: true),
      Block(steps: [SeparableStep(256), SeparableStep(256)], isStrided: true),
      Block(steps: [SeparableStep(728), SeparableStep(728)], isStrided: true),
    ]
    + Array(
      repeating: Block(
        steps: [SeparableStep(728), SeparableStep(728), SeparableStep(728)], isStrided: false),
      count: 8)
    + [Block(steps: [SeparableStep(728), SeparableStep(1024)], isStrided: true)]

  /// Names of the steps' convolutions and normalisations.
  var layers: [(convolution: String, norm: String)] {
    steps.indices.map { number in
      let index = 3 * number + (steps[0].activates ? 1 : 0)
      return ("rep.\(index)", "rep.\(index + 1)")
    }
  }
}

/// Whose Xception.
private enum Form {
  case timm, keras

  var style: BatchNormStyle { self == .timm ? BatchNormStyle() : .keras() }
  /// Around the strided maxima.
  var poolPadding: BlockPadding { self == .timm ? .zeros(1) : .same }
}

extension ModelCatalog {
  private static let paper = "Chollet 2016, Xception, arXiv:1610.02357"

  static let xceptions = [
    CatalogEntry(
      name: "xception", title: "Xception", paper: paper, side: 299, preprocessing: .tf(),
      classes: 1000, keyMaps: [KeyMap(origin: "timm legacy_xception")], labels: imageNetLabels
    ) { builder, input, classes in
      try xception(.timm, &builder, input, classes: classes)
    },
    CatalogEntry(
      name: "xception_keras", title: "Xception of Keras", paper: paper, side: 299,
      preprocessing: .tf(), classes: 1000,
      keyMaps: [
        KeyMap(origin: "Keras", modules: kerasModules),
        KeyMap(origin: "Keras 3, layers by number", rules: kerasNumbers),
        KeyMap(
          origin: "Keras 3, layers by name", rules: kerasNames,
          ignored: ["*num_batches_tracked", "dense*"]),
      ],
      labels: imageNetLabels
    ) { builder, input, classes in
      try xception(.keras, &builder, input, classes: classes)
    },
  ]

  private static func xception(
    _ form: Form, _ builder: inout GraphBuilder, _ input: ValueID, classes: Int
  ) throws -> ValueID {
    let style = form.style
    var x = try builder.convolutionBlock(
      convolution: "conv1", norm: "bn1", activationName: "act1", input, channels: 32, kernel: 3,
      stride: 2, style: style, activation: .relu)
    x = try builder.convolutionBlock(
      convolution: "conv2", norm: "bn2", activationName: "act2", x, channels: 64, kernel: 3,
      style: style, activation: .relu)
    var inputChannels = 64
    for (index, block) in Block.all.enumerated() {
      x = try builder.xceptionBlock(
        "block\(index + 1)", x, inputChannels: inputChannels, block.steps,
        pooling: block.isStrided ? form.poolPadding : nil, style: style)
      inputChannels = block.steps.last?.channels ?? inputChannels
    }
    for (number, channels) in [(3, 1536), (4, 2048)] {
      x = try builder.separableConvolution(
        "conv\(number)", x, inputChannels: inputChannels, channels: channels)
      x = try builder.activation(
        .relu, "act\(number)", builder.batchNorm("bn\(number)", x, style: style))
      inputChannels = channels
    }
    return try builder.poolingClassifier("fc", x, classes: classes)
  }

  /// The model's layers and their classes in the order of Keras' files: a shortcut's convolution
  /// comes with the pool, behind the norm of the last step.
  private static let kerasLayers: [(kind: String, name: String)] = {
    let (convolution, separable) = ("conv2d", "separable_conv2d")
    let norm = "batch_normalization"
    var layers = [(convolution, "conv1"), (norm, "bn1"), (convolution, "conv2"), (norm, "bn2")]
    for (index, block) in Block.all.enumerated() {
      let scope = "block\(index + 1)"
      for step in block.layers {
        layers += [(separable, "\(scope).\(step.convolution)"), (norm, "\(scope).\(step.norm)")]
      }
      if block.isStrided {
        layers += [(convolution, "\(scope).skip"), (norm, "\(scope).skipbn")]
      }
    }
    return layers + [
      (separable, "conv3"), (norm, "bn3"), (separable, "conv4"), (norm, "bn4"), ("dense", "fc"),
    ]
  }()

  private static let kerasModules = kerasLayers.flatMap { layer in
    layer.kind == "separable_conv2d"
      ? ["\(layer.name).conv1", "\(layer.name).pointwise"] : [layer.name]
  }

  /// Keras names all layers but the shortcuts', which it numbers. Of a network with another head, `dense`, the trunk fits.
  private static let kerasNames: [KeyMap.Rule] = {
    var rules: [KeyMap.Rule] = []
    func add(_ from: String, _ to: String) { rules.append(.prefix("\(from).", "\(to).")) }
    for number in 1...2 {
      add("block1_conv\(number)", "conv\(number)")
      add("block1_conv\(number)_bn", "bn\(number)")
    }
    var shortcuts = 0
    for (index, block) in Block.all.enumerated() {
      let scope = "block\(index + 1)"
      for (step, layer) in block.layers.enumerated() {
        let name = "block\(index + 2)_sepconv\(step + 1)"
        add(name, "\(scope).\(layer.convolution)")
        add("\(name)_bn", "\(scope).\(layer.norm)")
      }
      guard block.isStrided else { continue }
      let number = shortcuts == 0 ? "" : "_\(shortcuts)"
      add("conv2d\(number)", "\(scope).skip")
      add("batch_normalization\(number)", "\(scope).skipbn")
      shortcuts += 1
    }
    for number in 1...2 {
      add("block14_sepconv\(number)", "conv\(number + 2)")
      add("block14_sepconv\(number)_bn", "bn\(number + 2)")
    }
    add("predictions", "fc")
    return rules + [.pattern("*.depthwise.*", "*.conv1.*")]
  }()

  private static let kerasNumbers: [KeyMap.Rule] = {
    var counts: [String: Int] = [:]
    let rules = kerasLayers.map { kind, name in
      let number = counts[kind, default: 0]
      counts[kind] = number + 1
      return KeyMap.Rule.prefix(number == 0 ? "\(kind)." : "\(kind)_\(number).", "\(name).")
    }
    return rules + [.pattern("*.depthwise.*", "*.conv1.*")]
  }()
}
