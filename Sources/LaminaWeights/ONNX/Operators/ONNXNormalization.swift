import LaminaCore

private func bindScaleAndShift(
  _ converter: inout ONNXConverter, _ node: ONNXNodeReader, as shape: Shape? = nil
) throws -> [String: Graph.ParameterBinding?] {
  var bindings: [String: Graph.ParameterBinding?] = [
    "weight": try converter.bind("weight", of: node.name, to: node.input(1), as: shape)
  ]
  if let shift = node.optionalInput(2) {
    bindings["bias"] = try converter.bind("bias", of: node.name, to: shift, as: shape)
  }
  return bindings
}

/// y = (x − mean) / √(var + ε) · scale + shift. ONNX's momentum is the share of the old statistics, Lamina's
/// that of the new.
@Sendable
func convertBatchNormalization(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader)
  throws
{
  let epsilon = try node.float("epsilon", default: 1e-5)
  let momentum = try node.float("momentum", default: 0.9)
  if node.opset < 9, try node.int("spatial", default: 1) != 1 {
    throw LaminaError(.unsupported, "attribute spatial=0")
  }
  if node.opset < 7 {
    node.ignore("consumed_inputs")
    // Old exporters left it at 0 in models for inference; such nodes have one output.
    if try node.int("is_test", default: 0) == 0, node.optionalOutput(1) != nil {
      throw LaminaError(.unsupported, "attribute is_test=0: the training mode")
    }
  }
  if node.opset >= 14, try node.flag("training_mode") {
    throw LaminaError(.unsupported, "attribute training_mode=1: the training mode")
  }
  var bindings = try bindScaleAndShift(&converter, node)
  bindings["running_mean"] = try converter.bind("running_mean", of: node.name, to: node.input(3))
  bindings["running_var"] = try converter.bind("running_var", of: node.name, to: node.input(4))
  try converter.emit(
    "lamina.batch_norm", node, [node.input(0)],
    ["epsilon": .float(Double(epsilon)), "momentum": .float(Double(1 - momentum))],
    bindings: bindings)
}

@Sendable
func convertInstanceNormalization(
  _ converter: inout ONNXConverter, _ node: inout ONNXNodeReader
) throws {
  if node.opset < 6 { node.ignore("consumed_inputs") }
  try converter.emit(
    "lamina.instance_norm", node, [node.input(0)],
    ["epsilon": .float(Double(try node.float("epsilon", default: 1e-5)))],
    bindings: bindScaleAndShift(&converter, node))
}

@Sendable
func convertLayerNormalization(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader)
  throws
{
  node.ignore("stash_type")
  let axis = try node.int("axis", default: -1)
  let input = try converter.requireSpec(node.input(0)).shape
  let normalized = try Shape(Array(input.dimensions[input.axis(axis)...]))
  let hasStatistics = node.node.outputs.dropFirst().contains { !$0.isEmpty }
  try converter.emit(
    "lamina.layer_norm", node, [node.input(0)],
    [
      "axis": .int(axis), "epsilon": .float(Double(try node.float("epsilon", default: 1e-5))),
      "center": .bool(node.optionalInput(2) != nil), "statistics": .bool(hasStatistics),
    ],
    outputs: hasStatistics ? 3 : 1,
    bindings: bindScaleAndShift(&converter, node, as: normalized))
}

/// Opset 18 gives scale and shift per group, 21 per channel.
@Sendable
func convertGroupNormalization(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader)
  throws
{
  node.ignore("stash_type")
  let groups = try node.int("num_groups")
  let epsilon = try node.float("epsilon", default: 1e-5)
  let attributes: Attributes = ["groups": .int(groups), "epsilon": .float(Double(epsilon))]
  guard node.opset < 21 else {
    return try converter.emit(
      "lamina.group_norm", node, [node.input(0)], attributes,
      bindings: bindScaleAndShift(&converter, node))
  }
  let shape = try converter.requireSpec(node.input(0)).shape
  guard shape.rank >= 2, groups > 0, shape[1] % groups == 0 else {
    throw LaminaError(
      .graph, "expected num_groups to divide the channels of \(shape), found \(groups)")
  }
  var bindings: [String: Graph.ParameterBinding?] = [:]
  for (parameter, index) in [("weight", 1), ("bias", 2)] {
    let base = "\(node.name).\(parameter)"
    let column = try converter.emit(
      "lamina.reshape", node: base, [node.input(index)], ["shape": .ints([groups, 1])])
    let expanded = try converter.emit(
      "lamina.expand", node: base, [column], ["shape": .ints([groups, shape[1] / groups])])
    bindings[parameter] = try converter.bind(
      parameter, of: node.name, to: expanded, as: Shape([shape[1]]))
  }
  try converter.emit(
    "lamina.group_norm", node, [node.input(0)], attributes, bindings: bindings)
}

@Sendable
func convertLRN(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit(
    "lamina.lrn", node, [node.input(0)],
    [
      "size": .int(try node.int("size")),
      "alpha": .float(Double(try node.float("alpha", default: 1e-4))),
      "beta": .float(Double(try node.float("beta", default: 0.75))),
      "k": .float(Double(try node.float("bias", default: 1))),
      // Written by the importer where PyTorch's decomposition is recognised.
      "even_window": .string(try node.string("lamina.even_window", default: "onnx")),
    ])
}

func softmax(_ kind: LayerKind) -> ONNXOperator {
  ONNXOperator(1...1) { converter, node in
    let input = try node.input(0)
    guard node.opset < 13 else {
      return try converter.emit(
        kind, node, [input], ["axis": .int(try node.int("axis", default: -1))])
    }
    // Before opset 13 the tensor is flattened to two axes in front of `axis`.
    let axis = try node.int("axis", default: 1)
    if let rank = try converter.spec(input)?.shape.rank, axis == rank - 1 || axis == -1 {
      return try converter.emit(kind, node, [input], ["axis": .int(axis)])
    }
    try converter.emit(kind, node, [input], ["axis": .int(axis), "flatten": true])
  }
}
