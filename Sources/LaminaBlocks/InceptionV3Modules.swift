// Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, Rethinking the Inception Architecture for Computer
// Vision, arXiv:1512.00567; names and numbers of channels as torchvision's.

extension InceptionModule {
  /// Figure 5, for 35×35 maps: 5×5 and twice 3×3 beside 1×1 and an average.
  public static func v3A(poolChannels: Int) -> InceptionModule {
    InceptionModule(
      [.convolution("branch1x1", 64)],
      [.convolution("branch5x5_1", 48), .convolution("branch5x5_2", 64, 5)],
      [
        .convolution("branch3x3dbl_1", 64), .convolution("branch3x3dbl_2", 96, 3),
        .convolution("branch3x3dbl_3", 96, 3),
      ],
      [.averagePool, .convolution("branch_pool", poolChannels)])
  }

  /// Figure 10, from 35×35 to 17×17.
  public static let v3B = InceptionModule(
    [.convolution("branch3x3", 384, 3, stride: 2)],
    [
      .convolution("branch3x3dbl_1", 64), .convolution("branch3x3dbl_2", 96, 3),
      .convolution("branch3x3dbl_3", 96, 3, stride: 2),
    ],
    [.maxPool(stride: 2)])

  /// Figure 6, for 17×17 maps: 7×7 as 1×7 and 7×1, with `channels` between them.
  public static func v3C(channels: Int) -> InceptionModule {
    InceptionModule(
      [.convolution("branch1x1", 192)],
      [
        .convolution("branch7x7_1", channels), .convolution("branch7x7_2", channels, .row(7)),
        .convolution("branch7x7_3", 192, .column(7)),
      ],
      [
        .convolution("branch7x7dbl_1", channels),
        .convolution("branch7x7dbl_2", channels, .column(7)),
        .convolution("branch7x7dbl_3", channels, .row(7)),
        .convolution("branch7x7dbl_4", channels, .column(7)),
        .convolution("branch7x7dbl_5", 192, .row(7)),
      ],
      [.averagePool, .convolution("branch_pool", 192)])
  }

  /// From 17×17 to 8×8.
  public static let v3D = InceptionModule(
    [.convolution("branch3x3_1", 192), .convolution("branch3x3_2", 320, 3, stride: 2)],
    [
      .convolution("branch7x7x3_1", 192), .convolution("branch7x7x3_2", 192, .row(7)),
      .convolution("branch7x7x3_3", 192, .column(7)),
      .convolution("branch7x7x3_4", 192, 3, stride: 2),
    ],
    [.maxPool(stride: 2)])

  /// Figure 7, for 8×8 maps: 1×3 and 3×1 side by side.
  public static let v3E = InceptionModule(
    [.convolution("branch1x1", 320)],
    [.convolution("branch3x3_1", 384), .fork("branch3x3_2a", "branch3x3_2b", 384)],
    [
      .convolution("branch3x3dbl_1", 448), .convolution("branch3x3dbl_2", 384, 3),
      .fork("branch3x3dbl_3a", "branch3x3dbl_3b", 384),
    ],
    [.averagePool, .convolution("branch_pool", 192)])
}
