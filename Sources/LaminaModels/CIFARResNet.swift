// He, Zhang, Ren, Sun 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385, section
// 4.2: 6n + 2 layers of 3×3 convolutions on 32×32 pictures, three stages of 16, 32 and 64 channels,
// shortcuts without parameters (option A).

import LaminaBlocks
import LaminaCore

extension ModelCatalog {
  static let cifarResNets = [8, 14, 20, 32, 44, 56].map { depth in
    CatalogEntry(
      name: "cifar_resnet\(depth)", title: "ResNet-\(depth) for CIFAR-10",
      paper: "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
      side: 32,
      preprocessing: Preprocessing(resize: .exact(height: 32, width: 32), centerCrop: nil),
      classes: 10, keyMaps: [KeyMap(origin: "akamaster/pytorch_resnet_cifar10")],
      labels: cifar10Labels
    ) { builder, input, classes in
      var x = try builder.convolutionBlock(
        convolution: "conv1", norm: "bn1", activationName: "relu", input, channels: 16, kernel: 3,
        padding: .zeros(1), activation: .relu)
      for (stage, channels) in [16, 32, 64].enumerated() {
        for block in 0..<(depth - 2) / 6 {
          let changesShape = stage > 0 && block == 0
          x = try builder.basicBlock(
            "layer\(stage + 1).\(block)", x, channels: channels, stride: changesShape ? 2 : 1,
            shortcut: changesShape ? .padding(newChannels: channels / 2) : .identity)
        }
      }
      return try builder.poolingClassifier("linear", x, classes: classes)
    }
  }
}
