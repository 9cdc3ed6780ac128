import LaminaCore

/// How one ONNX operator becomes nodes of a graph.
struct ONNXOperator: Sendable {
  typealias Conversion =
    @Sendable (_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws -> Void

  /// How many inputs it takes, optional ones included.
  var inputs: ClosedRange<Int>
  /// Adds the nodes.
  var convert: Conversion

  init(_ inputs: ClosedRange<Int>, _ convert: @escaping Conversion) {
    self.inputs = inputs
    self.convert = convert
  }

  /// The operators by type, one line each.
  static let all: [String: ONNXOperator] = [
    "Abs": unary("abs"),
    "Acos": unary("acos"),
    "Acosh": unary("acosh"),
    "Add": arithmetic("lamina.add"),
    "And": logical("and"),
    "Asin": unary("asin"),
    "Asinh": unary("asinh"),
    "Atan": unary("atan"),
    "Atanh": unary("atanh"),
    "AveragePool": .init(1...1, convertAveragePool),
    "BatchNormalization": .init(5...5, convertBatchNormalization),
    "BitwiseNot": unary("bitwise_not"),
    "Cast": .init(1...1, convertCast),
    "CastLike": .init(2...2, convertCastLike),
    "Ceil": unary("ceil"),
    "Celu": activation("lamina.celu", ["alpha": ("alpha", 1)]),
    "Clip": .init(1...3, convertClip),
    "Concat": .init(1...Int.max, convertConcat),
    "Constant": .init(0...0, convertConstant),
    "ConstantOfShape": .init(1...1, convertConstantOfShape),
    "Conv": .init(2...3, convertConv),
    "ConvTranspose": .init(2...3, convertConvTranspose),
    "Cos": unary("cos"),
    "Cosh": unary("cosh"),
    "DepthToSpace": .init(1...1, convertDepthToSpace),
    "Div": arithmetic("lamina.div"),
    "Dropout": .init(1...3, convertDropout),
    "Elu": activation("lamina.elu", ["alpha": ("alpha", 1)]),
    "Equal": comparison("equal"),
    "Erf": unary("erf"),
    "Exp": unary("exp"),
    "Expand": .init(2...2, convertExpand),
    "Flatten": .init(1...1, convertFlatten),
    "Floor": unary("floor"),
    "Gather": .init(2...2, convertGather),
    "Gelu": .init(1...1, convertGelu),
    "Gemm": .init(2...3, convertGemm),
    "GlobalAveragePool": global("lamina.global_average_pool"),
    "GlobalLpPool": .init(1...1, convertGlobalLpPool),
    "GlobalMaxPool": global("lamina.global_max_pool"),
    "Greater": comparison("greater"),
    "GreaterOrEqual": comparison("greater_or_equal"),
    "GroupNormalization": .init(3...3, convertGroupNormalization),
    "HardSigmoid": activation(
      "lamina.hard_sigmoid", ["alpha": ("alpha", 0.2), "beta": ("beta", 0.5)]),
    "HardSwish": activation("lamina.hard_swish", [:]),
    "Identity": .init(1...1, convertIdentity),
    "InstanceNormalization": .init(3...3, convertInstanceNormalization),
    "IsInf": .init(1...1, convertIsInf),
    "IsNaN": unary("is_nan"),
    "LRN": .init(1...1, convertLRN),
    "LayerNormalization": .init(2...3, convertLayerNormalization),
    "LeakyRelu": activation("lamina.leaky_relu", ["alpha": ("alpha", 0.01)]),
    "Less": comparison("less"),
    "LessOrEqual": comparison("less_or_equal"),
    "Log": unary("log"),
    "LogSoftmax": softmax("lamina.log_softmax"),
    "LpPool": .init(1...1, convertLpPool),
    "MatMul": .init(2...2, convertMatMul),
    "Max": variadic("lamina.max"),
    "MaxPool": .init(1...1, convertMaxPool),
    "Mean": variadic("lamina.mean"),
    "Min": variadic("lamina.min"),
    "Mish": activation("lamina.mish", [:]),
    "Mod": .init(2...2, convertMod),
    "Mul": arithmetic("lamina.mul"),
    "Neg": unary("neg"),
    "Not": unary("not"),
    "Or": logical("or"),
    "PRelu": .init(2...2, convertPRelu),
    "Pad": .init(1...4, convertPad),
    "Pow": .init(2...2, convertPow),
    "Range": .init(3...3, convertRange),
    "Reciprocal": unary("reciprocal"),
    "ReduceL1": reduction("l1"),
    "ReduceL2": reduction("l2"),
    "ReduceLogSum": reduction("log_sum"),
    "ReduceLogSumExp": reduction("log_sum_exp"),
    "ReduceMax": reduction("max"),
    "ReduceMean": reduction("mean"),
    "ReduceMin": reduction("min"),
    "ReduceProd": reduction("prod"),
    "ReduceSum": reduction("sum", axesInputSince: 13),
    "ReduceSumSquare": reduction("sum_square"),
    "Relu": activation("lamina.relu", [:]),
    "Reshape": .init(1...2, convertReshape),
    "Resize": .init(1...4, convertResize),
    "Round": unary("round"),
    "Selu": activation(
      "lamina.selu",
      [
        "alpha": ("alpha", 1.67326319217681884765625),
        "gamma": ("gamma", 1.05070102214813232421875),
      ]),
    "Shape": .init(1...1, convertShape),
    "Shrink": activation("lamina.shrink", ["bias": ("bias", 0), "lambd": ("lambd", 0.5)]),
    "Sigmoid": activation("lamina.sigmoid", [:]),
    "Sign": unary("sign"),
    "Sin": unary("sin"),
    "Sinh": unary("sinh"),
    "Size": .init(1...1, convertSize),
    "Slice": .init(1...5, convertSlice),
    "Softmax": softmax("lamina.softmax"),
    "Softplus": activation("lamina.softplus", [:]),
    "Softsign": activation("lamina.softsign", [:]),
    "SpaceToDepth": .init(1...1, convertSpaceToDepth),
    "Split": .init(1...2, convertSplit),
    "Sqrt": unary("sqrt"),
    "Squeeze": .init(1...2, convertSqueeze),
    "Sub": arithmetic("lamina.sub"),
    "Sum": variadic("lamina.add"),
    "Swish": activation("lamina.swish", ["alpha": ("alpha", 1)]),
    "Tan": unary("tan"),
    "Tanh": activation("lamina.tanh", [:]),
    "ThresholdedRelu": activation("lamina.thresholded_relu", ["alpha": ("alpha", 1)]),
    "Tile": .init(2...3, convertTile),
    "Transpose": .init(1...1, convertTranspose),
    "Unsqueeze": .init(1...2, convertUnsqueeze),
    "Upsample": .init(1...2, convertUpsample),
    "Where": .init(3...3, convertWhere),
    "Xor": logical("xor"),
  ]
}

/// A list of integers that is an attribute in some versions of an operator and an input in others.
enum ONNXList {
  case absent
  case known([Int])
  /// Computed at run time: the name of the value.
  case computed(String)
}

extension ONNXConverter {
  /// The list given by the attribute `name` before opset `since`, and by input `index` from then on.
  mutating func list(
    _ name: String, input index: Int, since: Int, of node: inout ONNXNodeReader
  ) throws -> ONNXList {
    guard node.opset >= since else {
      return try node.ints(name).map(ONNXList.known) ?? .absent
    }
    guard let input = node.optionalInput(index) else { return .absent }
    return try ints(input).map(ONNXList.known) ?? .computed(input)
  }
}
