import LaminaCore

func unary(_ function: String) -> ONNXOperator {
  ONNXOperator(1...1) { converter, node in
    if node.opset < 6 { node.ignore("consumed_inputs") }
    try converter.emit("lamina.unary", node, [node.input(0)], ["function": .string(function)])
  }
}

/// An activation with numbers as attributes: ONNX's name → Lamina's name and the default.
func activation(
  _ kind: LayerKind, _ parameters: KeyValuePairs<String, (name: String, default: Float)>
) -> ONNXOperator {
  let parameters = parameters.map { ($0.key, $0.value.name, $0.value.default) }
  return ONNXOperator(1...1) { converter, node in
    if node.opset < 6 { node.ignore("consumed_inputs") }
    var attributes = Attributes()
    for (theirs, ours, fallback) in parameters {
      attributes[ours] = .float(Double(try node.float(theirs, default: fallback)))
    }
    try converter.emit(kind, node, [node.input(0)], attributes)
  }
}

extension ONNXConverter {
  /// The two inputs of a binary operator. Before opset 7 `broadcast` and `axis` say where the second one's
  /// axes lie; it gets extents of 1 behind them.
  fileprivate mutating func binaryInputs(_ node: inout ONNXNodeReader) throws -> [String] {
    let (a, b) = (try node.input(0), try node.input(1))
    guard node.opset < 7 else { return [a, b] }
    node.ignore("consumed_inputs")
    let broadcasts = try node.flag("broadcast")
    guard let axis = node.has("axis") ? try node.int("axis") : nil, broadcasts else {
      return [a, b]
    }
    let (first, second) = (try requireSpec(a).shape, try requireSpec(b).shape)
    let start = try first.axis(axis)
    let missing = first.rank - start - second.rank
    guard missing >= 0 else {
      throw LaminaError(.shape, "expected \(second) to fit \(first) from axis \(start) on")
    }
    guard missing > 0 else { return [a, b] }
    let axes = Array(second.rank..<second.rank + missing)
    return [
      a, try emit("lamina.unsqueeze", node: "\(node.name).broadcast", [b], ["axes": .ints(axes)]),
    ]
  }
}

func arithmetic(_ kind: LayerKind) -> ONNXOperator {
  ONNXOperator(2...2) { converter, node in
    try converter.emit(kind, node, converter.binaryInputs(&node))
  }
}

func comparison(_ operation: String) -> ONNXOperator {
  ONNXOperator(2...2) { converter, node in
    try converter.emit(
      "lamina.compare", node, converter.binaryInputs(&node), ["operation": .string(operation)])
  }
}

func logical(_ operation: String) -> ONNXOperator {
  ONNXOperator(2...2) { converter, node in
    try converter.emit(
      "lamina.logical", node, converter.binaryInputs(&node), ["operation": .string(operation)])
  }
}

func variadic(_ kind: LayerKind) -> ONNXOperator {
  ONNXOperator(1...Int.max) { converter, node in
    if node.opset < 6 { node.ignore("consumed_inputs") }
    try converter.emit(kind, node, node.allInputs())
  }
}

@Sendable
func convertPow(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit("lamina.pow", node, converter.binaryInputs(&node))
}

/// Without `fmod` the remainder has the divisor's sign. Floats, allowed so since opset 28, have the remainder r of
/// `fmod`, and r + b where r is not 0 and its sign is not that of b.
@Sendable
func convertMod(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let isRemainder = try node.flag("fmod")
  let (a, b) = (try node.input(0), try node.input(1))
  if !isRemainder, try converter.spec(a)?.type == .float32 {
    let base = "\(node.name).remainder"
    func add(_ kind: LayerKind, _ inputs: [String], _ attributes: Attributes = [:]) throws -> String
    {
      try converter.emit(kind, node: base, inputs, attributes)
    }
    let zero = converter.literal(try Tensor(zeros: []), base)
    let remainder = try add("lamina.mod", [a, b], ["fmod": true])
    let signs = try [remainder, b].map {
      try add("lamina.compare", [$0, zero], ["operation": "less"])
    }
    let isOpposite = try add("lamina.logical", signs, ["operation": "xor"])
    let isZero = try add("lamina.compare", [remainder, zero], ["operation": "equal"])
    let isOther = try add("lamina.unary", [isZero], ["function": "not"])
    let isMoved = try add("lamina.logical", [isOpposite, isOther], ["operation": "and"])
    let moved = try add("lamina.add", [remainder, b])
    return try converter.emit("lamina.where", node, [isMoved, moved, remainder])
  }
  try converter.emit(
    "lamina.mod", node, [a, b], ["fmod": .bool(isRemainder)])
}

/// One sign of infinity alone is a comparison with it.
@Sendable
func convertIsInf(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let input = try node.input(0)
  let sees = (
    negative: try node.flag("detect_negative", default: true),
    positive: try node.flag("detect_positive", default: true)
  )
  switch sees {
  case (true, true): try converter.emit("lamina.unary", node, [input], ["function": "is_inf"])
  case (false, false): throw LaminaError(.unsupported, "detect_negative=0 with detect_positive=0")
  default:
    let infinity = try Tensor([], [sees.negative ? -Float.infinity : Float.infinity])
    let other = converter.literal(infinity, "\(node.name).infinity")
    try converter.emit("lamina.compare", node, [input, other], ["operation": "equal"])
  }
}

/// Bounds are attributes before opset 11, inputs since; a bound that is left out does not bind.
@Sendable
func convertClip(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let input = try node.input(0)
  var attributes = Attributes()
  guard node.opset >= 11 else {
    if node.opset < 6 { node.ignore("consumed_inputs") }
    for name in ["min", "max"] where node.has(name) {
      attributes[name] = .float(Double(try node.float(name)))
    }
    return try converter.emit("lamina.clip", node, [input], attributes)
  }
  // Attributes are floats: integers keep their bounds as inputs.
  var computed = try converter.spec(input)?.type != .float32
  for (index, name) in [(1, "min"), (2, "max")] {
    guard let bound = node.optionalInput(index) else { continue }
    if let number = try converter.scalar(bound), !computed {
      attributes[name] = number.isFinite ? .float(number) : .string("\(number)")
    } else {
      computed = true
    }
  }
  guard computed, node.node.inputs.count > 1 else {
    return try converter.emit("lamina.clip", node, [input], attributes)
  }
  var inputs = [input]
  if let low = node.optionalInput(1) {
    inputs.append(low)
  } else {
    let type = try converter.requireSpec(input).type
    let lowest = try Tensor(filled: [], type.lowestNumber, type)
    inputs.append(converter.literal(lowest, "\(node.name).min"))
  }
  if let high = node.optionalInput(2) { inputs.append(high) }
  try converter.emit("lamina.clip", node, inputs)
}

extension ElementType {
  /// The smallest number of the type.
  fileprivate var lowestNumber: Double {
    switch self {
    case .int8: -0x1p7
    case .int16: -0x1p15
    case .int32: -0x1p31
    case .int64: -0x1p63
    case .uint8, .uint16, .uint32, .uint64, .bool: 0
    case .float16, .bfloat16, .float32, .float64: -.infinity
    }
  }
}

@Sendable
func convertGelu(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let approximation = try node.choice(
    "approximate", default: "none", ["none": "none", "tanh": "tanh"])
  try converter.emit(
    "lamina.gelu", node, [node.input(0)], ["approximate": .string(approximation)])
}

/// A slope for each channel is a parameter; any other broadcast is a second input.
@Sendable
func convertPRelu(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let (input, slope) = (try node.input(0), try node.input(1))
  if node.opset < 6 { node.ignore("consumed_inputs") }
  let shape = try converter.requireSpec(slope).shape
  let rank = try converter.spec(input)?.shape.rank
  // Before opset 7 a vector holds one slope a channel; since then axes are aligned at the last.
  let channelAxis = node.opset < 7 && shape.rank == 1 ? 0 : shape.rank - (rank ?? 0) + 1
  let isPerChannel =
    shape.count == 1
    || (rank != nil
      && shape.dimensions.indices.allSatisfy { $0 == channelAxis || shape[$0] == 1 })
  if isPerChannel, converter.isConstant(slope) || shape.rank == 1 && (node.opset < 7 || rank == 2) {
    return try converter.emit(
      "lamina.prelu", node, [input], ["shared": .bool(shape.count == 1)],
      bindings: [
        "weight": converter.bind("weight", of: node.name, to: slope, as: Shape([shape.count]))
      ])
  }
  try converter.emit("lamina.prelu", node, [input, slope])
}

/// A mean over height and width that keeps its axes is the global average pool.
func reduction(_ operation: String, axesInputSince: Int = 18) -> ONNXOperator {
  ONNXOperator(1...2) { converter, node in
    var input = try node.input(0)
    let isBool = try converter.spec(input)?.type == .bool
    if isBool {
      input = try converter.emit(
        "lamina.cast", node: "\(node.name).numbers", [input], ["to": "uint8"])
    }
    let keepsAxes = try node.flag("keepdims", default: true)
    let axes = try converter.list("axes", input: 1, since: axesInputSince, of: &node)
    var attributes: Attributes = ["operation": .string(operation), "keep_dims": .bool(keepsAxes)]
    if node.opset >= axesInputSince, try node.flag("noop_with_empty_axes") {
      attributes["noop_with_empty_axes"] = true
    }
    var inputs = [input]
    switch axes {
    case .computed(let name): inputs.append(name)
    case .known(let list) where !list.isEmpty:
      if operation == "mean", keepsAxes, let spec = try converter.spec(input), spec.shape.rank == 4,
        spec.type == .float32, Set(list.map { $0 < 0 ? $0 &+ 4 : $0 }) == [2, 3]
      {
        return try converter.emit("lamina.global_average_pool", node, [input])
      }
      attributes["axes"] = .ints(list)
    default: break
    }
    if isBool {
      let result = try converter.emit(
        "lamina.reduce", node: "\(node.name).result", inputs, attributes)
      return try converter.emit("lamina.cast", node, [result], ["to": "bool"])
    }
    try converter.emit("lamina.reduce", node, inputs, attributes)
  }
}
