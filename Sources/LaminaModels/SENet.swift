// Hu, Shen, Albanie, Sun, Wu 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507, tables 1 and 8
// and appendix: squeeze-and-excitation in residual blocks, in timm's form (the stride on the 3×3
// convolution) and in the form of the authors' Caffe files (on the first 1×1, the first pooling
// without padding); and SENet-154.

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  private static let paper = "Hu et al. 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507"

  static let seResNets = ResNetDepth.allCases.filter(\.usesBottlenecks).map { depth in
    CatalogEntry(
      name: "seresnet\(depth.rawValue)", title: "SE-ResNet-\(depth.rawValue)", paper: paper,
      side: 224, preprocessing: .torch(size: 224, resize: depth == .resNet50 ? 235 : 256, .bicubic),
      classes: 1000,
      keyMaps: [KeyMap(origin: "timm")], labels: imageNetLabels
    ) { builder, input, classes in
      var x = try builder.residualStem(input)
      x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, padding: .zeros(1))
      x = try builder.residualStages(depth, x, style: style(.beforeSum))
      return try builder.poolingClassifier("fc", x, classes: classes)
    }
  }

  static let legacySENets =
    ResNetDepth.allCases.map { depth in
      legacy("seresnet\(depth.rawValue)", "SE-ResNet-\(depth.rawValue)") {
        builder, input, classes in
        var x = try builder.residualStem(input)
        x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, ceilMode: true)
        x = try builder.residualStages(
          depth, x, strideAt: .reduction,
          style: style(depth.usesBottlenecks ? .beforeSum : .behindActivation))
        return try builder.poolingClassifier("fc", x, classes: classes)
      }
    } + [legacy("senet154", "SENet-154", body: seNet154)]

  private static func style(_ excitation: ResidualStyle.Excitation) -> ResidualStyle {
    var style = ResidualStyle()
    style.excitation = excitation
    return style
  }

  private static func legacy(
    _ name: String, _ title: String,
    body: @escaping @Sendable (inout GraphBuilder, ValueID, Int) throws -> ValueID
  ) -> CatalogEntry {
    let dense = KeyPattern("*.se_module.fc*.weight")
    return CatalogEntry(
      name: "legacy_\(name)", title: "\(title) of the authors' files", paper: paper, side: 224,
      preprocessing: .torch(), classes: 1000,
      keyMaps: [
        KeyMap(
          origin: "timm",
          ["layer0.*": "*", "*.se_module.*": "*.se.*", "last_linear.*": "fc.*"],
          changes: [KeyMap.Change(dense, .matchUnitAxes)])
      ], labels: imageNetLabels, body: body)
  }

  /// The 3×3 convolutions in 64 groups, twice the channels before them, 3×3 projections but for the
  /// first, and three 3×3 convolutions for the 7×7 of the stem.
  @Sendable private static func seNet154(
    _ builder: inout GraphBuilder, _ input: ValueID, _ classes: Int
  ) throws -> ValueID {
    var style = style(.beforeSum)
    style.groups = 64
    var x = input
    for (index, channels) in [64, 64, 128].enumerated() {
      x = try builder.convolutionBlock(
        convolution: "conv\(index + 1)", norm: "bn\(index + 1)", activationName: "relu\(index + 1)",
        x, channels: channels, kernel: 3, stride: index == 0 ? 2 : 1, padding: .zeros(1),
        activation: .relu)
    }
    x = try builder.maxPool("maxpool", x, kernel: 3, stride: 2, ceilMode: true)
    for (stage, block) in ResNetDepth.resNet152.blocks {
      let width = 64 << stage
      style.projectionKernel = stage == 0 ? 1 : 3
      x = try builder.bottleneckBlock(
        "layer\(stage + 1).\(block)", x, width: 2 * width, spatialWidth: 4 * width,
        channels: 4 * width, stride: stage > 0 && block == 0 ? 2 : 1, style: style,
        shortcut: block == 0 ? .projection : .identity)
    }
    return try builder.poolingClassifier("fc", x, classes: classes, dropout: 0.2)
  }
}
