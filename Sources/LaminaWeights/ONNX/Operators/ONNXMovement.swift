import LaminaCore

@Sendable
func convertIdentity(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit("lamina.identity", node, [node.input(0)])
}

/// Dropout does nothing when it infers; its mask is then all true.
@Sendable
func convertDropout(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var rate: Float = 0.5
  if node.opset < 12 {
    rate = try node.float("ratio", default: 0.5)
    if node.opset < 7 { node.ignore("is_test", "consumed_inputs") }
  } else {
    node.ignore("seed")
    if let ratio = node.optionalInput(1), let number = try converter.scalar(ratio) {
      rate = Float(number)
    }
    if let mode = node.optionalInput(2) {
      guard let trains = try converter.scalar(mode) else {
        throw LaminaError(.unsupported, "a training mode computed at run time")
      }
      guard trains == 0 else {
        throw LaminaError(.unsupported, "training_mode=true: the training mode")
      }
    }
  }
  let hasMask = node.optionalOutput(1) != nil
  try converter.emit(
    "lamina.dropout", node, [node.input(0)],
    ["rate": .float(Double(rate)), "mask": .bool(hasMask)],
    outputs: hasMask ? 2 : 1)
}

@Sendable
func convertConstant(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  guard let output = node.optionalOutput(0) else { return }
  let kinds = [
    "value", "value_float", "value_floats", "value_int", "value_ints", "value_string",
    "value_strings",
    "sparse_value",
  ]
  let given = kinds.filter(node.has)
  guard given.count == 1 else {
    throw LaminaError(.graph, "expected one value, found \(given.count)")
  }
  switch node.attribute(given[0]) {
  case .tensor(let tensor):
    _ = try tensor.elementType()
    converter.addConstant(output, .file(tensor))
  case .float(let number): converter.addConstant(output, .tensor(try Tensor([], [number])))
  case .floats(let numbers):
    converter.addConstant(output, .tensor(try Tensor(Shape([numbers.count]), numbers)))
  case .int(let number): converter.addConstant(output, .tensor(try Tensor([], [Int64(number)])))
  case .ints(let numbers):
    converter.addConstant(
      output, .tensor(try Tensor(Shape([numbers.count]), numbers.map(Int64.init))))
  case let other:
    throw LaminaError(
      .unsupported, "attribute '\(given[0])' of type \(other?.typeName ?? "nothing")")
  }
}

@Sendable
func convertConstantOfShape(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var type = ElementType.float32
  var value = 0.0
  if case .tensor(let tensor)? = node.attribute("value") {
    let name = converter.literal(try Tensor(zeros: []), "\(node.name).value")
    converter.addConstant(name, .file(tensor))
    value = try converter.scalar(name) ?? 0
    type = try converter.requireSpec(name).type
  }
  if let shape = try converter.ints(node.input(0)), let output = node.optionalOutput(0) {
    return converter.addConstant(output, .filled(try Shape(shape), value: value, type))
  }
  try converter.emit(
    "lamina.constant_of_shape", node, [node.input(0)],
    ["type": .string(type.rawValue), "value": .float(value)])
}

/// A cast to one of the floating-point types becomes one to `float32`, in which the graph computes.
@Sendable
func convertCast(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  if node.opset >= 19 { node.ignore("saturate", "round_mode") }
  let number: Int
  if node.opset < 6 {
    let name = try node.string("to")
    guard let known = ONNXTensor.dataType(named: name) else {
      throw LaminaError(.unsupported, "attribute to='\(name.escapedForDisplay())'")
    }
    number = known
  } else {
    number = try node.int("to")
  }
  guard let type = ONNXTensor.elementType(of: number) else {
    throw LaminaError(.unsupported, "attribute to=\(ONNXTensor.typeName(number))")
  }
  try converter.emit(
    "lamina.cast", node, [node.input(0)],
    ["to": .string(ONNXTensor.computeType(type).rawValue)])
}

@Sendable
func convertCastLike(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  node.ignore("saturate", "round_mode")
  let type = try converter.requireSpec(node.input(1)).type
  try converter.emit("lamina.cast", node, [node.input(0)], ["to": .string(type.rawValue)])
}

@Sendable
func convertReshape(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let input = try node.input(0)
  var attributes = Attributes()
  if node.opset >= 14, try node.flag("allowzero") { attributes["allow_zero"] = true }
  if node.opset < 5 { node.ignore("consumed_inputs") }
  switch try converter.list("shape", input: 1, since: 5, of: &node) {
  case .absent: throw LaminaError(.graph, "expected a shape, found none")
  case .known(let shape):
    attributes["shape"] = .ints(shape)
    try converter.emit("lamina.reshape", node, [input], attributes)
  case .computed(let shape): try converter.emit("lamina.reshape", node, [input, shape], attributes)
  }
}

@Sendable
func convertFlatten(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit(
    "lamina.flatten", node, [node.input(0)], ["axis": .int(try node.int("axis", default: 1))])
}

@Sendable
func convertSqueeze(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let axes = try converter.list("axes", input: 1, since: 13, of: &node)
  try emitAxes("lamina.squeeze", axes, &converter, node)
}

@Sendable
func convertUnsqueeze(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let axes = try converter.list("axes", input: 1, since: 13, of: &node)
  if case .absent = axes { throw LaminaError(.graph, "expected axes, found none") }
  try emitAxes("lamina.unsqueeze", axes, &converter, node)
}

private func emitAxes(
  _ kind: LayerKind, _ axes: ONNXList, _ converter: inout ONNXConverter, _ node: ONNXNodeReader
) throws {
  switch axes {
  case .absent: try converter.emit(kind, node, [node.input(0)])
  case .known(let list): try converter.emit(kind, node, [node.input(0)], ["axes": .ints(list)])
  case .computed(let name): try converter.emit(kind, node, [node.input(0), name])
  }
}

@Sendable
func convertConcat(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let axis = try node.opset < 4 ? node.int("axis", default: 1) : node.int("axis")
  try converter.emit("lamina.concat", node, node.allInputs(), ["axis": .int(axis)])
}

@Sendable
func convertSplit(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let count = node.node.outputs.count
  var attributes: Attributes = [
    "axis": .int(try node.int("axis", default: 0)), "outputs": .int(count),
  ]
  var inputs = [try node.input(0)]
  switch try converter.list("split", input: 1, since: 13, of: &node) {
  case .known(let sizes): attributes["sizes"] = .ints(sizes)
  case .computed(let name): inputs.append(name)
  case .absent:
    let declared = node.opset >= 18 ? try node.int("num_outputs", default: count) : count
    guard declared == count else {
      throw LaminaError(
        .graph, "expected num_outputs \(count) as there are outputs, found \(declared)")
    }
    attributes["num_outputs"] = .int(count)
  }
  try converter.emit("lamina.split", node, inputs, attributes, outputs: count)
}

@Sendable
func convertSlice(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let input = try node.input(0)
  let names = ["starts", "ends", "axes", "steps"].prefix(node.opset < 10 ? 3 : 4)
  var attributes = Attributes()
  var isKnown = true
  for (index, name) in names.enumerated() {
    switch try converter.list(name, input: index + 1, since: 10, of: &node) {
    case .absent:
      if index < 2 { throw LaminaError(.graph, "expected \(name), found none") }
    case .known(let numbers): attributes[name] = .ints(numbers)
    case .computed: isKnown = false
    }
  }
  guard !isKnown else { return try converter.emit("lamina.slice", node, [input], attributes) }
  var inputs = [input, try node.input(1), try node.input(2)]
  if node.optionalInput(3) != nil || node.optionalInput(4) != nil {
    // An empty list counts as left out.
    inputs.append(
      try node.optionalInput(3)
        ?? converter.literal(Tensor([0], [Int64]()), "\(node.name).axes"))
  }
  if let steps = node.optionalInput(4) { inputs.append(steps) }
  try converter.emit("lamina.slice", node, inputs)
}

@Sendable
func convertGather(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit(
    "lamina.gather", node, node.allInputs(), ["axis": .int(try node.int("axis", default: 0))])
}

@Sendable
func convertTranspose(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var attributes = Attributes()
  if let permutation = try node.ints("perm") { attributes["permutation"] = .ints(permutation) }
  try converter.emit("lamina.transpose", node, [node.input(0)], attributes)
}

@Sendable
func convertPad(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let input = try node.input(0)
  let mode = try node.choice(
    "mode", default: "constant",
    ["constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"])
  var attributes: Attributes = ["mode": .string(mode)]
  guard node.opset >= 11 else {
    guard let pads = try node.ints(node.opset < 2 ? "paddings" : "pads") else {
      throw LaminaError(.graph, "expected pads, found none")
    }
    attributes["pads"] = .ints(pads)
    attributes["value"] = .float(Double(try node.float("value", default: 0)))
    return try converter.emit("lamina.pad", node, [input], attributes)
  }
  let value = node.optionalInput(2)
  let axes = node.optionalInput(3)
  let knownPads = try converter.ints(node.input(1))
  let knownValue = try value.flatMap { try converter.scalar($0) }
  let knownAxes = try axes.flatMap { try converter.ints($0) }
  if let knownPads, value == nil || knownValue != nil, axes == nil || knownAxes != nil {
    attributes["pads"] = .ints(knownPads)
    if let knownValue {
      attributes["value"] = knownValue.isFinite ? .float(knownValue) : .string("\(knownValue)")
    }
    if let knownAxes { attributes["axes"] = .ints(knownAxes) }
    return try converter.emit("lamina.pad", node, [input], attributes)
  }
  var inputs = [input, try node.input(1)]
  if let value {
    inputs.append(value)
  } else if axes != nil {
    let zero = try Tensor(zeros: [], try converter.requireSpec(input).type)
    inputs.append(converter.literal(zero, "\(node.name).value"))
  }
  if let axes { inputs.append(axes) }
  try converter.emit("lamina.pad", node, inputs, attributes)
}

@Sendable
func convertExpand(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let (input, shape) = (try node.input(0), try node.input(1))
  if let known = try converter.ints(shape) {
    return try converter.emit("lamina.expand", node, [input], ["shape": .ints(known)])
  }
  try converter.emit("lamina.expand", node, [input, shape])
}

@Sendable
func convertTile(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  guard node.opset >= 6 else { throw LaminaError(.unsupported, "Tile before opset 6") }
  let (input, repeats) = (try node.input(0), try node.input(1))
  if let known = try converter.ints(repeats) {
    return try converter.emit("lamina.tile", node, [input], ["repeats": .ints(known)])
  }
  try converter.emit("lamina.tile", node, [input, repeats])
}

@Sendable
func convertWhere(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit("lamina.where", node, node.allInputs())
}

@Sendable
func convertRange(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  node.ignore("stash_type")
  try converter.emit("lamina.range", node, node.allInputs())
}

@Sendable
func convertShape(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var attributes = Attributes()
  if node.opset >= 15 {
    attributes["start"] = .int(try node.int("start", default: 0))
    if node.has("end") { attributes["end"] = .int(try node.int("end")) }
  }
  try converter.emit("lamina.shape", node, [node.input(0)], attributes)
}

@Sendable
func convertSize(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit("lamina.size", node, [node.input(0)])
}

@Sendable
func convertDepthToSpace(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let mode = try node.choice("mode", default: "DCR", ["DCR": "dcr", "CRD": "crd"])
  try converter.emit(
    "lamina.depth_to_space", node, [node.input(0)],
    ["block_size": .int(try node.int("blocksize")), "mode": .string(mode)])
}

@Sendable
func convertSpaceToDepth(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let mode = try node.choice("mode", default: "DCR", ["DCR": "dcr", "CRD": "crd"])
  try converter.emit(
    "lamina.space_to_depth", node, [node.input(0)],
    ["block_size": .int(try node.int("blocksize")), "mode": .string(mode)])
}
