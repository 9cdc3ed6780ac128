// LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based Learning Applied to Document Recognition,
// Proc. IEEE 86(11), with ReLU, max pooling and a dense output in place of tanh, trained
// subsampling and the Gaussian one; and the small network for MNIST that burn's examples use.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  private static let mnistPreprocessing = Preprocessing(
    resize: .exact(height: 28, width: 28), centerCrop: nil, channelOrder: .gray, mean: [0.1307],
    std: [0.3081])

  static let smallNets = [
    CatalogEntry(
      name: "lenet5", title: "LeNet-5 with ReLU and max pooling",
      paper: "LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition",
      inputChannels: 1, side: 28, acceptsOtherSizes: false, preprocessing: mnistPreprocessing,
      classes: 10, keyMaps: [], labels: digitLabels
    ) { builder, input, classes in
      var x = try builder.convolution(
        "conv1", input, channels: 6, kernel: 5, padding: .zeros(2), bias: true)
      x = try builder.activation(.relu, "relu1", x)
      x = try builder.maxPool("pool1", x, kernel: 2, stride: 2)
      x = try builder.convolution("conv2", x, channels: 16, kernel: 5, bias: true)
      x = try builder.activation(.relu, "relu2", x)
      x = try builder.maxPool("pool2", x, kernel: 2, stride: 2)
      x = try builder.add("lamina.flatten", "flatten", x)
      x = try builder.activation(.relu, "relu3", builder.dense("fc1", x, features: 120))
      x = try builder.activation(.relu, "relu4", builder.dense("fc2", x, features: 84))
      return try builder.dense("fc3", x, features: classes)
    },
    CatalogEntry(
      name: "mnist_cnn", title: "Three convolutions for MNIST", paper: "burn, import-model-weights",
      inputChannels: 1, side: 28, acceptsOtherSizes: false, preprocessing: mnistPreprocessing,
      classes: 10, keyMaps: [KeyMap(origin: "burn examples")], labels: digitLabels
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
      x = try builder.add("lamina.dropout", "dropout1", x, attributes: ["rate": 0.3])
      x = try builder.dense("fc2", x, features: classes)
      return try builder.batchNorm("norm2", x)
    },
  ]
}
