// Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich 2014, Going Deeper with
// Convolutions, arXiv:1409.4842, table 1: with 5×5 convolutions, local response normalisation and
// biases as in the paper and in Caffe, or with 3×3 convolutions in their place and batch
// normalisation as in torchvision, also with squeeze-and-excitation behind each module (Hu, Shen, Sun
// 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507, figure 2).

import LaminaBlocks
import LaminaCore

/// A row of table 1: a module and its numbers of channels.
private struct Row {
  var name: String
  var one: Int
  var threeReduce: Int
  var three: Int
  var fiveReduce: Int
  var five: Int
  var pool: Int

  init(
    _ name: String, _ one: Int, _ threeReduce: Int, _ three: Int, _ fiveReduce: Int, _ five: Int,
    _ pool: Int
  ) {
    self.name = name
    self.one = one
    self.threeReduce = threeReduce
    self.three = three
    self.fiveReduce = fiveReduce
    self.five = five
    self.pool = pool
  }

  /// Channels of the result.
  var channels: Int { one + three + five + pool }

  /// The module, `large` the window of its third branch.
  func module(_ large: KernelSize) -> InceptionModule {
    InceptionModule(
      [.convolution("branch1", one)],
      [.convolution("branch2.0", threeReduce), .convolution("branch2.1", three, 3)],
      [.convolution("branch3.0", fiveReduce), .convolution("branch3.1", five, large)],
      [.maxPool(stride: 1), .convolution("branch4.1", pool)])
  }

  static let stages = [
    [
      Row("inception3a", 64, 96, 128, 16, 32, 32),
      Row("inception3b", 128, 128, 192, 32, 96, 64),
    ],
    [
      Row("inception4a", 192, 96, 208, 16, 48, 64),
      Row("inception4b", 160, 112, 224, 24, 64, 64),
      Row("inception4c", 128, 128, 256, 24, 64, 64),
      Row("inception4d", 112, 144, 288, 32, 64, 64),
      Row("inception4e", 256, 160, 320, 32, 128, 128),
    ],
    [
      Row("inception5a", 256, 160, 320, 32, 128, 128),
      Row("inception5b", 384, 192, 384, 48, 128, 128),
    ],
  ]
}

/// The forms in which the network is around.
private enum Form {
  case paper, torchvision, squeezeExcite

  var style: InceptionStyle {
    self == .paper ? InceptionStyle(norm: nil) : InceptionStyle(averagesPadding: true)
  }
  /// Side of the third branch's window.
  var largeKernel: KernelSize { self == .paper ? 5 : 3 }
  var lastPool: Int { self == .paper ? 3 : 2 }
  var dropout: Double { self == .paper ? 0.4 : 0.2 }
  var auxiliaryPooling: AuxiliaryPooling { self == .paper ? .window : .adaptive }
}

extension ModelCatalog {
  private static let goingDeeper =
    "Szegedy et al. 2014, Going Deeper with Convolutions, arXiv:1409.4842"

  static let googLeNets = [
    // torchvision's pretrained network takes pictures normalised with ImageNet's mean and deviation
    // and undoes it (`transform_input`): together x / 127.5 − 1.
    CatalogEntry(
      name: "googlenet", title: "GoogLeNet with batch normalisation", paper: goingDeeper, side: 224,
      preprocessing: .tf(size: 224, resize: 256, .bilinear), classes: 1000,
      keyMaps: [
        KeyMap(origin: "torchvision", [:], ignored: ["*aux1.*", "*aux2.*"]),
        KeyMap(origin: "torchvision with auxiliary heads"),
      ],
      labels: imageNetLabels, auxiliaryHeads: googLeNetHeads(.torchvision)
    ) { builder, input, classes in
      try googLeNet(.torchvision, &builder, input, classes: classes)
    },
    CatalogEntry(
      name: "googlenet_paper", title: "GoogLeNet", paper: goingDeeper, side: 224,
      preprocessing: Preprocessing(
        resize: .exact(height: 256, width: 256),
        centerCrop: Preprocessing.Size(height: 224, width: 224), channelOrder: .bgr, scale: 1,
        mean: [104, 117, 123], std: [1]),
      classes: 1000,
      keyMaps: [
        KeyMap(origin: "Caffe", caffeRules, ignored: ["loss1/*", "loss2/*"]),
        KeyMap(origin: "Caffe with auxiliary heads", caffeRules),
      ],
      labels: imageNetLabels, auxiliaryHeads: googLeNetHeads(.paper)
    ) { builder, input, classes in
      try googLeNet(.paper, &builder, input, classes: classes)
    },
    CatalogEntry(
      name: "se_inception", title: "SE-Inception",
      paper: "Hu et al. 2017, Squeeze-and-Excitation Networks, arXiv:1709.01507", side: 224,
      preprocessing: .tf(size: 224, resize: 256, .bilinear), classes: 1000, keyMaps: [],
      labels: imageNetLabels
    ) { builder, input, classes in
      try googLeNet(.squeezeExcite, &builder, input, classes: classes)
    },
  ]

  private static let caffeRules: KeyValuePairs = [
    "conv1/7x7_s2.*": "conv1.conv.*",
    "conv2/3x3_reduce.*": "conv2.conv.*",
    "conv2/3x3.*": "conv3.conv.*",
    "inception_{}/1x1.*": "inception{}.branch1.conv.*",
    "inception_{}/3x3_reduce.*": "inception{}.branch2.0.conv.*",
    "inception_{}/3x3.*": "inception{}.branch2.1.conv.*",
    "inception_{}/5x5_reduce.*": "inception{}.branch3.0.conv.*",
    "inception_{}/5x5.*": "inception{}.branch3.1.conv.*",
    "inception_{}/pool_proj.*": "inception{}.branch4.1.conv.*",
    "loss3/classifier.*": "fc.*",
    "loss{}/conv.*": "aux{}.conv.conv.*",
    "loss{}/fc.*": "aux{}.fc1.*",
    "loss{}/classifier.*": "aux{}.fc2.*",
  ]

  private static func googLeNet(
    _ form: Form, _ builder: inout GraphBuilder, _ input: ValueID, classes: Int
  ) throws -> ValueID {
    let style = form.style
    func norm(_ name: String, _ x: ValueID) throws -> ValueID {
      guard form == .paper else { return x }
      return try builder.add("lamina.lrn", name, x, attributes: ["size": 5])
    }
    var x = try builder.basicConvolution(
      "conv1", input, channels: 64, kernel: 7, stride: 2, style: style)
    x = try norm("norm1", builder.ceilingMaxPool("maxpool1", x))
    x = try builder.basicConvolution("conv2", x, channels: 64, style: style)
    x = try builder.basicConvolution("conv3", x, channels: 192, kernel: 3, style: style)
    x = try builder.ceilingMaxPool("maxpool2", norm("norm2", x))
    for (index, stage) in Row.stages.enumerated() {
      if index > 0 {
        x = try builder.ceilingMaxPool(
          "maxpool\(index + 2)", x, kernel: index == 2 ? form.lastPool : 3)
      }
      for row in stage {
        x = try builder.inception(row.name, x, row.module(form.largeKernel), style: style)
        if form == .squeezeExcite {
          x = try builder.squeezeExcite("\(row.name).se", x, channels: row.channels, reduction: 16)
        }
      }
    }
    return try builder.poolingClassifier("fc", x, classes: classes, dropout: form.dropout)
  }

  private static func googLeNetHeads(_ form: Form) -> [AuxiliaryHead] {
    [("aux1", "inception4a.concat"), ("aux2", "inception4d.concat")].map { name, value in
      AuxiliaryHead(name: name, value: value, lossWeight: 0.3) { builder, x, classes in
        try builder.auxiliaryClassifier(
          name, x, classes: classes, pooling: form.auxiliaryPooling, style: form.style)
      }
    }
  }
}
