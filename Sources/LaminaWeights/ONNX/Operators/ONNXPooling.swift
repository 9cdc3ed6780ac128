import LaminaCore

/// The attributes that windows share.
private func readWindow(
  _ converter: ONNXConverter, _ node: inout ONNXNodeReader, ceilSince: Int, dilationsSince: Int
) throws -> Attributes {
  guard let kernel = try node.ints("kernel_shape") else {
    throw LaminaError(.graph, "expected attribute 'kernel_shape', found none")
  }
  if let shape = try converter.spec(node.input(0))?.shape, shape.rank != kernel.count + 2 {
    throw LaminaError(
      .shape,
      "expected an input of \(kernel.count + 2) axes for kernel_shape \(kernel), found \(shape)")
  }
  var attributes: Attributes = [
    "kernel_size": .ints(kernel),
    "strides": try readSpatial("strides", default: 1, &node, rank: kernel.count),
    "padding": try readPadding(&node, spatialRank: kernel.count),
  ]
  if node.opset >= ceilSince { attributes["ceil_mode"] = .bool(try node.flag("ceil_mode")) }
  if node.opset >= dilationsSince {
    attributes["dilations"] = try readSpatial("dilations", default: 1, &node, rank: kernel.count)
  }
  return attributes
}

/// Bytes are compared as the floats they are exactly.
@Sendable
func convertMaxPool(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var attributes = try readWindow(converter, &node, ceilSince: 10, dilationsSince: 10)
  let hasIndices = node.optionalOutput(1) != nil
  let order = node.opset >= 8 ? try node.int("storage_order", default: 0) : 0
  if hasIndices {
    attributes["return_indices"] = true
    attributes["storage_order"] = .int(order)
  }
  let input = try node.input(0)
  if let type = try converter.spec(input)?.type, type == .int8 || type == .uint8, !hasIndices {
    let floats = try converter.emit(
      "lamina.cast", node: "\(node.name).floats", [input], ["to": "float32"])
    let result = try converter.emit(
      "lamina.max_pool", node: "\(node.name).result", [floats], attributes)
    return try converter.emit("lamina.cast", node, [result], ["to": .string(type.rawValue)])
  }
  try converter.emit(
    "lamina.max_pool", node, [input], attributes, outputs: hasIndices ? 2 : 1)
}

@Sendable
func convertAveragePool(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var attributes = try readWindow(converter, &node, ceilSince: 10, dilationsSince: 19)
  if node.opset >= 7 {
    attributes["count_include_pad"] = .bool(try node.flag("count_include_pad"))
  }
  try converter.emit("lamina.average_pool", node, [node.input(0)], attributes)
}

@Sendable
func convertLpPool(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  var attributes = try readWindow(converter, &node, ceilSince: 18, dilationsSince: 18)
  attributes["p"] = try readNorm(&node)
  try converter.emit("lamina.lp_pool", node, [node.input(0)], attributes)
}

@Sendable
func convertGlobalLpPool(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  try converter.emit("lamina.global_lp_pool", node, [node.input(0)], ["p": try readNorm(&node)])
}

/// The exponent: a number in opset 1, an integer since.
private func readNorm(_ node: inout ONNXNodeReader) throws -> AttributeValue {
  guard node.opset < 2 else { return .int(try node.int("p", default: 2)) }
  let exponent = try node.float("p", default: 2)
  guard let whole = Int(exactly: exponent) else {
    throw LaminaError(.unsupported, "attribute p=\(exponent)")
  }
  return .int(whole)
}

func global(_ kind: LayerKind) -> ONNXOperator {
  ONNXOperator(1...1) { converter, node in try converter.emit(kind, node, [node.input(0)]) }
}
