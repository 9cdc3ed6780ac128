// Small networks of textbooks and tutorials for MNIST and Fashion-MNIST: Saito, Deep Learning from
// Scratch, chapters 7 and 8; Géron, Hands-On Machine Learning, third edition, chapter 14; the
// three-layer convolutional network of the early Theano and TensorFlow tutorials; and that of burn's
// examples.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let mnistPreprocessing = Preprocessing(
    resize: .exact(height: 28, width: 28), centerCrop: nil, channelOrder: .gray, mean: [0.1307],
    std: [0.3081])

  /// Values in 0…1.
  private static let unitPreprocessing = Preprocessing(
    resize: .exact(height: 28, width: 28), centerCrop: nil, channelOrder: .gray, mean: [0],
    std: [1])

  private static func smallNet(
    _ name: String, _ title: String, from source: String,
    preprocessing: Preprocessing = unitPreprocessing, keyMaps: [KeyMap] = [],
    labels: [String] = digitLabels, initializer: Initializer? = nil,
    body: @escaping @Sendable (inout GraphBuilder, ValueID, Int) throws -> ValueID
  ) -> CatalogEntry {
    CatalogEntry(
      name: name, title: title, paper: source, inputChannels: 1, side: 28,
      acceptsOtherSizes: false, preprocessing: preprocessing, classes: 10, keyMaps: keyMaps,
      labels: labels, initializer: initializer, body: body)
  }

  static let smallNets = [
    smallNet(
      "mnist_cnn", "Three convolutions for MNIST", from: "burn, import-model-weights",
      preprocessing: mnistPreprocessing, keyMaps: [KeyMap(origin: "burn examples")]
    ) { builder, input, classes in
      var x = input
      for (number, channels) in [8, 16, 24].enumerated() {
        x = try builder.convolution(
          "conv\(number + 1)", x, channels: channels, kernel: 3, bias: true)
        x = try builder.activation(.relu, "relu\(number + 1)", x)
      }
      x = try builder.batchNorm("norm1", x)
      x = try builder.add("lamina.flatten", "flatten", x)
      x = try builder.activation(.relu, "relu4", builder.dense("fc1", x, features: 32))
      x = try builder.dropout("dropout1", x, rate: 0.3)
      x = try builder.dense("fc2", x, features: classes)
      return try builder.batchNorm("norm2", x)
    },
    smallNet(
      "mnist_net", "Three convolutions without biases for MNIST",
      from: "Theano and TensorFlow tutorials, convolutional network",
      initializer: .normal(deviation: 0.01)
    ) { builder, input, classes in
      var x = input
      for (number, channels) in zip(1..., [32, 64, 128]) {
        x = try builder.convolution(
          "conv\(number)", x, channels: channels, kernel: 3, padding: .same)
        x = try builder.activation(.relu, "relu\(number)", x)
        x = try builder.maxPool("pool\(number)", x, kernel: 2, stride: 2, padding: .same)
        x = try builder.dropout("dropout\(number)", x, rate: 0.2)
      }
      x = try builder.add("lamina.flatten", "flatten", x)
      x = try builder.dense("fc1", x, features: 625, bias: false)
      x = try builder.dropout("dropout4", builder.activation(.relu, "relu4", x))
      return try builder.dense("fc2", x, features: classes, bias: false)
    },
    smallNet(
      "simple_convnet", "SimpleConvNet", from: "Saito, Deep Learning from Scratch, section 7.5",
      keyMaps: [scratchKeyMap(convolutions: 1, layers: 3)],
      initializer: .normal(deviation: 0.01)
    ) { builder, input, classes in
      var x = try builder.convolution("conv1", input, channels: 30, kernel: 5, bias: true)
      x = try builder.activation(.relu, "relu1", x)
      x = try builder.maxPool("pool1", x, kernel: 2, stride: 2)
      x = try builder.add("lamina.flatten", "flatten", x)
      x = try builder.activation(.relu, "relu2", builder.dense("fc2", x, features: 100))
      return try builder.dense("fc3", x, features: classes)
    },
    smallNet(
      "deep_convnet", "DeepConvNet", from: "Saito, Deep Learning from Scratch, section 8.1",
      keyMaps: [scratchKeyMap(convolutions: 6, layers: 8)],
      initializer: .heNormal(fanOut: false), body: deepConvNet),
    smallNet(
      "fashion_mnist_cnn", "Five convolutions for Fashion-MNIST",
      from: "Géron, Hands-On Machine Learning, third edition, chapter 14",
      keyMaps: [
        KeyMap(
          origin: "Keras", modules: (1...5).map { "conv\($0)" } + ["fc1", "fc2", "fc3"],
          changes: [
            KeyMap.Change("dense.weight", .permuteAfterFlatten(channels: 256, height: 3, width: 3))
          ])
      ], labels: fashionMNISTLabels, initializer: .heNormal(fanOut: false)
    ) { builder, input, classes in
      var x = input
      let layers = [(64, 7), (128, 3), (128, 3), (256, 3), (256, 3)]
      for (number, (channels, kernel)) in zip(1..., layers) {
        x = try builder.convolution(
          "conv\(number)", x, channels: channels, kernel: kernel, padding: .same, bias: true)
        x = try builder.activation(.relu, "relu\(number)", x)
        if number % 2 == 1 { x = try builder.maxPool("pool\(number)", x, kernel: 2, stride: 2) }
      }
      x = try builder.add("lamina.flatten", "flatten", x)
      for (number, features) in [(1, 128), (2, 64)] {
        x = try builder.dense("fc\(number)", x, features: features)
        x = try builder.activation(.relu, "relu\(number + 5)", x)
        x = try builder.dropout("dropout\(number)", x)
      }
      return try builder.dense("fc3", x, features: classes)
    },
  ]

  /// The book's files number weights and biases through, and its dense weights are [in, out].
  private static func scratchKeyMap(convolutions: Int, layers: Int) -> KeyMap {
    func name(_ layer: Int) -> String { "\(layer <= convolutions ? "conv" : "fc")\(layer)" }
    return KeyMap(
      origin: "Deep Learning from Scratch",
      rules: (1...layers).flatMap {
        [
          KeyMap.Rule.exact("W\($0)", "\(name($0)).weight"),
          .exact("b\($0)", "\(name($0)).bias"),
        ]
      },
      changes: (convolutions + 1...layers).map {
        KeyMap.Change(KeyPattern("W\($0)"), .transpose([1, 0]))
      })
  }

  /// The book's dropout keeps values as they are in training and halves them otherwise.
  @Sendable private static func deepConvNet(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    func dropout(_ number: Int, _ x: ValueID) throws -> ValueID {
      let y = try builder.dropout("dropout\(number)", x)
      return try builder.add(
        "lamina.scale", "dropout\(number).keep", y, attributes: ["factor": 0.5])
    }
    var x = input
    for (number, channels) in zip(1..., [16, 16, 32, 32, 64, 64]) {
      x = try builder.convolution(
        "conv\(number)", x, channels: channels, kernel: 3, padding: .zeros(number == 4 ? 2 : 1),
        bias: true)
      x = try builder.activation(.relu, "relu\(number)", x)
      if number % 2 == 0 { x = try builder.maxPool("pool\(number / 2)", x, kernel: 2, stride: 2) }
    }
    x = try builder.add("lamina.flatten", "flatten", x)
    x = try dropout(1, builder.activation(.relu, "relu7", builder.dense("fc7", x, features: 50)))
    return try dropout(2, builder.dense("fc8", x, features: classes))
  }
}
