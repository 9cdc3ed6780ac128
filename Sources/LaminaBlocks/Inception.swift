import LaminaCore

/// Height and width of a window; an integer is a square.
public struct KernelSize: Sendable, Hashable, ExpressibleByIntegerLiteral {
  /// Rows.
  public var height: Int
  /// Columns.
  public var width: Int

  /// `height`×`width`.
  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }

  /// `value`×`value`.
  public init(integerLiteral value: Int) { self.init(height: value, width: value) }

  /// 1×`width`.
  public static func row(_ width: Int) -> KernelSize { KernelSize(height: 1, width: width) }

  /// `height`×1.
  public static func column(_ height: Int) -> KernelSize { KernelSize(height: height, width: 1) }
}

/// What the convolutions and averages of an Inception network have in common.
public struct InceptionStyle: Sendable, Hashable {
  /// The normalisation behind each convolution; nil: the convolutions have biases instead.
  public var norm: BatchNormStyle?
  /// Whether averages count the zeros around a map (torchvision) or not (TensorFlow).
  public var averagesPadding: Bool

  /// A style; by default with the normalisation of the weights that came from TensorFlow.
  public init(norm: BatchNormStyle? = BatchNormStyle(epsilon: 1e-3), averagesPadding: Bool = false)
  {
    self.norm = norm
    self.averagesPadding = averagesPadding
  }
}

/// A layer of a branch of an Inception module.
///
/// A window of stride 1 keeps the size unless it is `valid`; one of stride 2 has no padding.
public enum InceptionLayer: Sendable, Hashable {
  /// A convolution with normalisation and ReLU.
  case convolution(
    String, _ channels: Int, _ kernel: KernelSize = 1, stride: Int = 1, valid: Bool = false)
  /// A 1×3 and a 3×1 convolution side by side, the end of a branch.
  case fork(_ row: String, _ column: String, _ channels: Int)
  /// The mean of 3×3 neighbours.
  case averagePool
  /// The largest of 3×3 neighbours.
  case maxPool(stride: Int)
}

/// Branches side by side on one map, their results concatenated.
///
/// Szegedy et al. 2014, Going Deeper with Convolutions, arXiv:1409.4842, figure 2.
public struct InceptionModule: Sendable, Hashable {
  /// The branches, in the order of their channels.
  public var branches: [[InceptionLayer]]

  /// A module.
  public init(_ branches: [InceptionLayer]...) { self.branches = branches }

  /// Names of the convolutions' parts, `branch1x1.conv` and `branch1x1.bn`, as Keras orders the
  /// layers of a model: the furthest from the result first, equals in the order of the branches.
  public var kerasOrder: [String] {
    var parts: [(name: String, distance: Int)] = []
    for branch in branches {
      // A fork has a concatenation of its own behind it.
      var distance = 0
      var own: [(name: String, distance: Int)] = []
      for layer in branch.reversed() {
        switch layer {
        case .convolution(let name, _, _, _, _):
          let layers = [("\(name).conv", distance + 2), ("\(name).bn", distance + 1)]
          own.insert(contentsOf: layers, at: 0)
          distance += 3
        case .fork(let row, let column, _):
          own.insert(
            contentsOf: [row, column].flatMap { [("\($0).conv", 3), ("\($0).bn", 2)] }, at: 0)
          distance += 4
        case .averagePool, .maxPool: distance += 1
        }
      }
      parts += own
    }
    let distances = Set(parts.map(\.distance)).sorted(by: >)
    return distances.flatMap { distance in
      parts.filter { $0.distance == distance }.map(\.name)
    }
  }
}

extension GraphBuilder {
  /// relu(norm(convolution(x))), `[N, C, H, W]` → `[N, channels, H′, W′]`: the nodes `conv`, `bn`
  /// and `relu` in the scope `name`. `padded` adds ⌊kernel / 2⌋ zeros on each side.
  public mutating func basicConvolution(
    _ name: String, _ x: ValueID, channels: Int, kernel: KernelSize = 1, stride: Int = 1,
    padded: Bool = true, style: InceptionStyle
  ) throws -> ValueID {
    var attributes: Attributes = [
      "out_channels": .int(channels), "kernel_size": .ints([kernel.height, kernel.width]),
    ]
    if stride != 1 { attributes["strides"] = .ints([stride, stride]) }
    let (rows, columns) = (kernel.height / 2, kernel.width / 2)
    if padded, rows + columns > 0 {
      attributes["padding"] = .ints([rows, columns, rows, columns])
    }
    if style.norm != nil { attributes["bias"] = false }
    return try scope(name) { builder in
      var y = try builder.add("lamina.conv2d", "conv", x, attributes: attributes)
      if let norm = style.norm { y = try builder.batchNorm("bn", y, style: norm) }
      return try builder.activation(.relu, "relu", y)
    }
  }

  /// The results of the module's branches on x, one behind the other along the channels: `[N, C, H,
  /// W]` → `[N, ΣCᵢ, H′, W′]`, the value `concat` in the scope `name`.
  public mutating func inception(
    _ name: String, _ x: ValueID, _ module: InceptionModule, style: InceptionStyle
  ) throws -> ValueID {
    try scope(name) { try $0.inceptionBranches(x, module, style: style) }
  }

  mutating func inceptionBranches(
    _ x: ValueID, _ module: InceptionModule, style: InceptionStyle
  ) throws -> ValueID {
    var ends: [ValueID] = []
    for (number, branch) in module.branches.enumerated() {
      var y = x
      for layer in branch.dropLast() {
        y = try inceptionLayer(layer, "pool\(number)", y, style: style)[0]
      }
      ends +=
        try branch.last.map {
          try inceptionLayer($0, "pool\(number)", y, style: style)
        } ?? [y]
    }
    return try addNode("lamina.concat", "concat", ends, attributes: ["axis": 1])[0]
  }

  private mutating func inceptionLayer(
    _ layer: InceptionLayer, _ poolName: String, _ x: ValueID, style: InceptionStyle
  ) throws -> [ValueID] {
    switch layer {
    case .convolution(let name, let channels, let kernel, let stride, let valid):
      [
        try basicConvolution(
          name, x, channels: channels, kernel: kernel, stride: stride,
          padded: stride == 1 && !valid, style: style)
      ]
    case .fork(let row, let column, let channels):
      [
        try basicConvolution(row, x, channels: channels, kernel: .row(3), style: style),
        try basicConvolution(column, x, channels: channels, kernel: .column(3), style: style),
      ]
    case .averagePool:
      [try averagePool(poolName, x, countsPadding: style.averagesPadding)]
    case .maxPool(let stride):
      [
        try maxPool(
          poolName, x, kernel: 3, stride: stride, padding: .zeros(stride == 1 ? 1 : 0))
      ]
    }
  }

  /// The mean of the 3×3 neighbours of each element, shape kept.
  private mutating func averagePool(_ name: String, _ x: ValueID, countsPadding: Bool) throws
    -> ValueID
  {
    var attributes: Attributes = ["kernel_size": [3, 3], "padding": [1, 1, 1, 1]]
    if countsPadding { attributes["count_include_pad"] = true }
    return try add("lamina.average_pool", name, x, attributes: attributes)
  }

  /// A `kernel`×`kernel` maximum of stride 2 whose last window may reach over the border (Caffe).
  public mutating func ceilingMaxPool(_ name: String, _ x: ValueID, kernel: Int = 3) throws
    -> ValueID
  {
    try add(
      "lamina.max_pool", name, x,
      attributes: [
        "kernel_size": .ints([kernel, kernel]), "strides": [2, 2], "ceil_mode": true,
      ])
  }
}
