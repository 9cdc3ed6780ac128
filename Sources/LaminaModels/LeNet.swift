// LeCun, Bottou, Bengio, Haffner 1998, Gradient-Based Learning Applied to Document Recognition,
// Proc. IEEE 86(11), section II.B: with trained subsampling, the connections of table I and a scaled
// hyperbolic tangent, and a dense output in place of the Gaussian one; the form with ReLU and max
// pooling; and one for 64×64 colour pictures without biases.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  private static let paper =
    "LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition"

  static let leNets = [
    CatalogEntry(
      name: "lenet5_1998", title: "LeNet-5 of the paper", paper: paper, inputChannels: 1, side: 32,
      acceptsOtherSizes: false,
      preprocessing: Preprocessing(
        resize: .exact(height: 32, width: 32), centerCrop: nil, channelOrder: .gray,
        mean: [0.1 / 1.275], std: [1 / 1.275]),
      classes: 10, keyMaps: [], labels: digitLabels, body: leNet5),
    CatalogEntry(
      name: "lenet5", title: "LeNet-5 with ReLU and max pooling", paper: paper, inputChannels: 1,
      side: 28, acceptsOtherSizes: false, preprocessing: mnistPreprocessing, classes: 10,
      keyMaps: [], labels: digitLabels, body: modernLeNet5),
    CatalogEntry(
      name: "lenet_64", title: "LeNet for 64×64 colour pictures", paper: paper, side: 64,
      acceptsOtherSizes: false,
      preprocessing: Preprocessing(
        resize: .exact(height: 64, width: 64), centerCrop: nil, mean: [0], std: [1]),
      classes: 10, keyMaps: [], labels: [], body: leNet64),
  ]

  /// The maps of S2 that each of the first 15 maps of C3 sees, three, four and four of them (table I);
  /// the last sees all.
  private static let connections = [
    [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5]],
    [
      [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5],
      [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5],
    ],
  ]

  @Sendable private static func leNet5(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    func squash(_ name: String, _ x: ValueID) throws -> ValueID {
      try builder.add("lamina.scaled_tanh", name, x)
    }
    // The trained coefficient is that of a mean of four elements, not of their sum.
    func subsampling(_ name: String, _ x: ValueID, channels: Int) throws -> ValueID {
      let mean = try builder.add(
        "lamina.average_pool", "\(name).mean", x,
        attributes: ["kernel_size": [2, 2], "strides": [2, 2]])
      return try squash(
        "\(name).tanh",
        builder.convolution(
          name, mean, channels: channels, kernel: 1, groups: channels, bias: true))
    }
    func concat(_ name: String, _ parts: [ValueID]) throws -> ValueID {
      try builder.addNode("lamina.concat", name, parts, attributes: ["axis": 1])[0]
    }
    var x = try squash(
      "c1.tanh", builder.convolution("c1", input, channels: 6, kernel: 5, bias: true))
    x = try subsampling("s2", x, channels: 6)
    let maps = try builder.addNode(
      "lamina.split", "c3.maps", [x], attributes: ["axis": 1, "outputs": 6])
    var parts: [ValueID] = []
    for rows in connections {
      let name = "c3.\(parts.count)"
      let seen = try concat("\(name).maps", rows.joined().map { maps[$0] })
      parts.append(
        try builder.convolution(
          name, seen, channels: rows.count, kernel: 5, groups: rows.count, bias: true))
    }
    parts.append(try builder.convolution("c3.2", x, channels: 1, kernel: 5, bias: true))
    x = try squash("c3.tanh", concat("c3", parts))
    x = try subsampling("s4", x, channels: 16)
    x = try squash("c5.tanh", builder.convolution("c5", x, channels: 120, kernel: 5, bias: true))
    x = try builder.add("lamina.flatten", "flatten", x)
    x = try squash("f6.tanh", builder.dense("f6", x, features: 84))
    return try builder.dense("output_layer", x, features: classes)
  }

  @Sendable private static func modernLeNet5(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
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
  }

  @Sendable private static func leNet64(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    var x = input
    for (number, (channels, kernel)) in zip(1..., [(6, 3), (16, 4)]) {
      x = try builder.convolution("conv\(number)", x, channels: channels, kernel: kernel)
      x = try builder.activation(.relu, "relu\(number)", x)
      x = try builder.maxPool("pool\(number)", x, kernel: 2, stride: 2)
    }
    x = try builder.add("lamina.flatten", "flatten", x)
    return try builder.dense("fc", x, features: classes, bias: false)
  }
}
