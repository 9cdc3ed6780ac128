// Krizhevsky, Sutskever, Hinton 2012, ImageNet Classification with Deep Convolutional Neural
// Networks, section 3.5: five convolutions, the second, fourth and fifth in two groups, local
// response normalisation, three dense layers. And Krizhevsky 2014, One weird trick for parallelizing
// convolutional neural networks, arXiv:1404.5997, which torchvision has: fewer channels, no groups.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let alexNets = [
    CatalogEntry(
      name: "alexnet", title: "AlexNet in one tower",
      paper: "Krizhevsky 2014, One weird trick for parallelizing CNNs, arXiv:1404.5997",
      side: 224, preprocessing: .torch(), classes: 1000, keyMaps: [KeyMap(origin: "torchvision")],
      labels: imageNetLabels, body: alexNetInOneTower),
    twoTowerAlexNet(
      "alexnet_paper", "AlexNet of the paper", keyMaps: [],
      norm: ["size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75, "alpha_divided_by_size": false]),
    twoTowerAlexNet(
      "alexnet_bvlc", "AlexNet of the Caffe model zoo", keyMaps: [KeyMap(origin: "Caffe")],
      norm: ["size": 5, "k": 1.0, "alpha": 1e-4, "beta": 0.75]),
  ]

  @Sendable private static func alexNetInOneTower(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    func convolution(_ number: Int, _ x: ValueID, _ channels: Int, _ kernel: Int, stride: Int = 1)
      throws -> ValueID
    {
      let y = try builder.convolution(
        "features.\(number)", x, channels: channels, kernel: kernel, stride: stride,
        padding: .zeros(kernel == 11 ? 2 : kernel / 2), bias: true)
      return try builder.activation(.relu, "features.\(number + 1)", y)
    }
    func pool(_ number: Int, _ x: ValueID) throws -> ValueID {
      try builder.maxPool("features.\(number)", x, kernel: 3, stride: 2)
    }
    var x = try pool(2, convolution(0, input, 64, 11, stride: 4))
    x = try pool(5, convolution(3, x, 192, 5))
    x = try convolution(6, x, 384, 3)
    x = try convolution(8, x, 256, 3)
    x = try pool(12, convolution(10, x, 256, 3))
    x = try builder.add(
      "lamina.adaptive_average_pool", "avgpool", x, attributes: ["output_size": [6, 6]])
    x = try builder.add("lamina.flatten", "flatten", x)
    for number in [0, 3] {
      x = try builder.dropout("classifier.\(number)", x)
      x = try builder.dense("classifier.\(number + 1)", x, features: 4096)
      x = try builder.activation(.relu, "classifier.\(number + 2)", x)
    }
    return try builder.dense("classifier.6", x, features: classes)
  }

  private static func twoTowerAlexNet(
    _ name: String, _ title: String, keyMaps: [KeyMap], norm: Attributes
  ) -> CatalogEntry {
    CatalogEntry(
      name: name, title: title,
      paper: "Krizhevsky et al. 2012, ImageNet Classification with Deep CNNs",
      side: 227, acceptsOtherSizes: false,
      preprocessing: Preprocessing(
        resize: .exact(height: 256, width: 256),
        centerCrop: Preprocessing.Size(height: 227, width: 227), channelOrder: .bgr, scale: 1,
        mean: [104, 117, 123], std: [1]),
      classes: 1000, keyMaps: keyMaps, labels: imageNetLabels
    ) { builder, input, classes in
      func convolution(
        _ number: Int, _ x: ValueID, _ channels: Int, _ kernel: Int, stride: Int = 1,
        groups: Int = 1
      ) throws -> ValueID {
        let y = try builder.convolution(
          "conv\(number)", x, channels: channels, kernel: kernel, stride: stride,
          padding: .zeros(stride == 1 ? kernel / 2 : 0), groups: groups, bias: true)
        return try builder.activation(.relu, "relu\(number)", y)
      }
      func pool(_ number: Int, _ x: ValueID) throws -> ValueID {
        try builder.maxPool("pool\(number)", x, kernel: 3, stride: 2, ceilMode: true)
      }
      var x = try convolution(1, input, 96, 11, stride: 4)
      x = try pool(1, builder.add("lamina.lrn", "norm1", x, attributes: norm))
      x = try convolution(2, x, 256, 5, groups: 2)
      x = try pool(2, builder.add("lamina.lrn", "norm2", x, attributes: norm))
      x = try convolution(3, x, 384, 3)
      x = try convolution(4, x, 384, 3, groups: 2)
      x = try pool(5, convolution(5, x, 256, 3, groups: 2))
      x = try builder.add("lamina.flatten", "flatten", x)
      for number in [6, 7] {
        x = try builder.dense("fc\(number)", x, features: 4096)
        x = try builder.activation(.relu, "relu\(number)", x)
        x = try builder.dropout("drop\(number)", x)
      }
      return try builder.dense("fc8", x, features: classes)
    }
  }
}
