// Szegedy, Ioffe, Vanhoucke, Alemi 2016, Inception-v4, Inception-ResNet and the Impact of Residual
// Connections on Learning, arXiv:1602.07261; names as timm's.

extension InceptionModule {
  /// Figure 3, the first split of the stem, from 147×147 to 73×73.
  public static let v4StemA = InceptionModule(
    [.maxPool(stride: 2)], [.convolution("conv", 96, 3, stride: 2)])

  /// Figure 3, the second split of the stem, from 73×73 to 71×71.
  public static let v4StemB = InceptionModule(
    [.convolution("branch0.0", 64), .convolution("branch0.1", 96, 3, valid: true)],
    [
      .convolution("branch1.0", 64), .convolution("branch1.1", 64, .row(7)),
      .convolution("branch1.2", 64, .column(7)), .convolution("branch1.3", 96, 3, valid: true),
    ])

  /// Figure 3, the third split of the stem, from 71×71 to 35×35.
  public static let v4StemC = InceptionModule(
    [.convolution("conv", 192, 3, stride: 2)], [.maxPool(stride: 2)])

  /// Figure 4, for 35×35 maps.
  public static let v4A = InceptionModule(
    [.convolution("branch0", 96)],
    [.convolution("branch1.0", 64), .convolution("branch1.1", 96, 3)],
    [
      .convolution("branch2.0", 64), .convolution("branch2.1", 96, 3),
      .convolution("branch2.2", 96, 3),
    ],
    [.averagePool, .convolution("branch3.1", 96)])

  /// Figure 7, from 35×35 to 17×17: k, l, m and n channels as in table 1.
  public static func reductionA(k: Int, l: Int, m: Int, n: Int) -> InceptionModule {
    InceptionModule(
      [.convolution("branch0", n, 3, stride: 2)],
      [
        .convolution("branch1.0", k), .convolution("branch1.1", l, 3),
        .convolution("branch1.2", m, 3, stride: 2),
      ],
      [.maxPool(stride: 2)])
  }

  /// Figure 5, for 17×17 maps.
  public static let v4B = InceptionModule(
    [.convolution("branch0", 384)],
    [
      .convolution("branch1.0", 192), .convolution("branch1.1", 224, .row(7)),
      .convolution("branch1.2", 256, .column(7)),
    ],
    [
      .convolution("branch2.0", 192), .convolution("branch2.1", 192, .column(7)),
      .convolution("branch2.2", 224, .row(7)), .convolution("branch2.3", 224, .column(7)),
      .convolution("branch2.4", 256, .row(7)),
    ],
    [.averagePool, .convolution("branch3.1", 128)])

  /// Figure 8, from 17×17 to 8×8.
  public static let v4ReductionB = InceptionModule(
    [.convolution("branch0.0", 192), .convolution("branch0.1", 192, 3, stride: 2)],
    [
      .convolution("branch1.0", 256), .convolution("branch1.1", 256, .row(7)),
      .convolution("branch1.2", 320, .column(7)), .convolution("branch1.3", 320, 3, stride: 2),
    ],
    [.maxPool(stride: 2)])

  /// Figure 6, for 8×8 maps.
  public static let v4C = InceptionModule(
    [.convolution("branch0", 256)],
    [.convolution("branch1_0", 384), .fork("branch1_1a", "branch1_1b", 256)],
    [
      .convolution("branch2_0", 384), .convolution("branch2_1", 448, .column(3)),
      .convolution("branch2_2", 512, .row(3)), .fork("branch2_3a", "branch2_3b", 256),
    ],
    [.averagePool, .convolution("branch3.1", 256)])
}
