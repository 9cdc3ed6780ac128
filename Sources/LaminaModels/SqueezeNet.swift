// Iandola et al. 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
// size, arXiv:1602.07360, table 1; and version 1.1 of its repository, which pools earlier.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let squeezeNets = [
    squeezeNet("1_0", "1.0", channels: 96, kernel: 7, poolsAfterFire: [4, 8]),
    squeezeNet("1_1", "1.1", channels: 64, kernel: 3, poolsAfterFire: [3, 5]),
  ]

  /// Squeeze channels of fire2 to fire9; each expansion has four times as many.
  private static let fireChannels = [16, 16, 32, 32, 48, 48, 64, 64]

  private static func squeezeNet(
    _ suffix: String, _ version: String, channels: Int, kernel: Int, poolsAfterFire: Set<Int>
  ) -> CatalogEntry {
    // fire2 and its number in torchvision's `features`, and so on.
    var places: [(fire: Int, number: Int)] = []
    for fire in 2...9 {
      let number = places.last.map { $0.number + (poolsAfterFire.contains($0.fire) ? 2 : 1) } ?? 3
      places.append((fire, number))
    }
    func layers(_ separator: String) -> [(theirs: String, ours: String)] {
      [("conv1", "features.0"), ("conv10", "classifier.1")]
        + places.flatMap { fire, number in
          [("squeeze1x1", "squeeze"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")].map {
            ("fire\(fire)\(separator)\($0)", "features.\(number).\($1)")
          }
        }
    }
    func rules(_ separator: String) -> [KeyMap.Rule] {
      layers(separator).map { .prefix("\($0.theirs).", "\($0.ours).") }
    }
    return CatalogEntry(
      name: "squeezenet\(suffix)", title: "SqueezeNet \(version)",
      paper: "Iandola et al. 2016, SqueezeNet, arXiv:1602.07360", side: 224,
      preprocessing: .torch(), classes: 1000,
      keyMaps: [
        KeyMap(origin: "torchvision"), KeyMap(origin: "Keras, Caffe", rules: rules("/")),
        KeyMap(origin: "Keras", rules: rules("_")),
        // Kernel and bias of each layer as Keras hands them out.
        KeyMap(
          origin: "pickles of Keras' arrays",
          rules: layers("/").flatMap {
            [
              KeyMap.Rule.exact("\($0.theirs).0", "\($0.ours).weight"),
              .exact("\($0.theirs).1", "\($0.ours).bias"),
            ]
          }, changes: [KeyMap.Change("*.0", .transpose([3, 2, 0, 1]))]),
      ], labels: imageNetLabels
    ) { [places] builder, input, classes in
      func pool(_ number: Int, _ x: ValueID) throws -> ValueID {
        try builder.maxPool("features.\(number)", x, kernel: 3, stride: 2, ceilMode: true)
      }
      var x = try builder.convolution(
        "features.0", input, channels: channels, kernel: kernel, stride: 2, bias: true)
      x = try pool(2, builder.activation(.relu, "features.1", x))
      for ((fire, number), channels) in zip(places, fireChannels) {
        x = try builder.fire("features.\(number)", x, channels: channels)
        if poolsAfterFire.contains(fire) { x = try pool(number + 1, x) }
      }
      x = try builder.dropout("classifier.0", x)
      x = try builder.convolution("classifier.1", x, channels: classes, kernel: 1, bias: true)
      x = try builder.activation(.relu, "classifier.2", x)
      x = try builder.add("lamina.global_average_pool", "classifier.3", x)
      return try builder.add("lamina.flatten", "flatten", x)
    }
  }
}

extension GraphBuilder {
  /// concat(relu(expand1x1(y)), relu(expand3x3(y))) of y = relu(squeeze(x)) with `channels` channels;
  /// `[N, C, H, W]` → `[N, 8·channels, H, W]`; names as torchvision's `Fire`.
  fileprivate mutating func fire(_ name: String, _ x: ValueID, channels: Int) throws -> ValueID {
    try scope(name) { builder in
      func branch(_ name: String, _ x: ValueID, _ channels: Int, _ kernel: Int) throws -> ValueID {
        let y = try builder.convolution(
          name, x, channels: channels, kernel: kernel, padding: .zeros(kernel / 2), bias: true)
        return try builder.activation(.relu, "\(name)_activation", y)
      }
      let squeezed = try branch("squeeze", x, channels, 1)
      let expanded = [
        try branch("expand1x1", squeezed, 4 * channels, 1),
        try branch("expand3x3", squeezed, 4 * channels, 3),
      ]
      return try builder.addNode("lamina.concat", "concat", expanded, attributes: ["axis": 1])[0]
    }
  }
}
