import LaminaCore

/// An activation with numbers of the same names as attributes, and their defaults.
func activation(_ type: String, _ numbers: KeyValuePairs<String, Double>) -> ONNXLayer.Conversion {
  let numbers = numbers.map { ($0.key, $0.value) }
  return { export, node in
    let first = numbers.first.map { ($0.0, node.float($0.0, $0.1)) } ?? ("", 0)
    let second = numbers.dropFirst().first.map { ($0.0, node.float($0.0, $0.1)) }
    if let second {
      export.finish(
        type, node.inputs, of: node, [first.0: .float(first.1), second.0: .float(second.1)])
    } else {
      export.finish(type, node.inputs, of: node, [first.0: .float(first.1)])
    }
  }
}

@Sendable
func exportClip(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  guard node.inputs.count == 1 else { return export.finish("Clip", node.inputs, of: node) }
  let bounds = [("min", -Double.infinity), ("max", .infinity)]
  var inputs = node.inputs
  for (name, fallback) in bounds {
    let bound = node.float(name, fallback)
    inputs.append(
      bound.isFinite ? try export.constant("\(node.name).\(name)", Float(bound)) : "")
  }
  export.finish("Clip", inputs, of: node)
}

/// x · ½(1 + erf(x/√2)), or with `tanh` x · ½(1 + tanh(√(2/π)·(x + 0.044715·x³))).
@Sendable
func exportGELU(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let x = node.inputs[0]
  func number(_ name: String, _ value: Float) throws -> String {
    try export.constant("\(node.name).\(name)", value)
  }
  var inner: String
  if node.string("approximate", "none") == "tanh" {
    inner = export.step("Pow", [x, try number("three", 3)], of: node, "cube")
    inner = export.step("Mul", [inner, try number("coefficient", 0.044715)], of: node, "part")
    inner = export.step("Add", [x, inner], of: node, "sum")
    inner = export.step("Mul", [inner, try number("scale", 0.7978845608)], of: node, "scaled")
    inner = export.step("Tanh", [inner], of: node, "tanh")
  } else {
    inner = export.step("Mul", [x, try number("scale", 0.70710678)], of: node, "scaled")
    inner = export.step("Erf", [inner], of: node, "erf")
  }
  inner = export.step("Add", [inner, try number("one", 1)], of: node, "shifted")
  inner = export.step("Mul", [inner, try number("half", 0.5)], of: node, "probability")
  export.finish("Mul", [x, inner], of: node)
}

/// x · tanh(ln(1 + eˣ)).
@Sendable
func exportMish(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let softplus = export.step("Softplus", node.inputs, of: node, "softplus")
  let gate = export.step("Tanh", [softplus], of: node, "gate")
  export.finish("Mul", [node.inputs[0], gate], of: node)
}

/// x · σ(alpha·x).
@Sendable
func exportSwish(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  var inner = node.inputs[0]
  let alpha = node.float("alpha", 1)
  if alpha != 1 {
    let factor = try export.constant("\(node.name).alpha", Float(alpha))
    inner = export.step("Mul", [inner, factor], of: node, "scaled")
  }
  let gate = export.step("Sigmoid", [inner], of: node, "gate")
  export.finish("Mul", [node.inputs[0], gate], of: node)
}

/// amplitude · tanh(slope·x).
@Sendable
func exportScaledTanh(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let slope = try export.constant("\(node.name).slope", Float(node.float("slope", 2.0 / 3)))
  let inner = export.step("Mul", [node.inputs[0], slope], of: node, "scaled")
  let tanh = export.step("Tanh", [inner], of: node, "tanh")
  let amplitude = try export.constant(
    "\(node.name).amplitude", Float(node.float("amplitude", 1.7159)))
  export.finish("Mul", [tanh, amplitude], of: node)
}

/// A slope for each channel gets axes of extent 1 behind it.
@Sendable
func exportPReLU(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  if node.inputs.count == 2 { return export.finish("PRelu", node.inputs, of: node) }
  var slope = try export.parameter("weight", of: node)
  let rank = node.specs[0].shape.rank
  if rank > 2, !node.bool("shared", false) {
    let axes = try export.constant("\(node.name).axes", Array(1..<rank - 1))
    slope = export.step("Unsqueeze", [slope, axes], of: node, "slope")
  }
  export.finish("PRelu", [node.inputs[0], slope], of: node)
}

func softmax(_ type: String) -> ONNXLayer.Conversion {
  { export, node in
    let shape = node.specs[0].shape
    let axis = try shape.axis(node.int("axis", -1), inclusive: true)
    guard !node.bool("flatten", false) || axis == shape.rank - 1 else {
      throw LaminaError(
        .unsupported, "ONNX opset \(ONNXExporter.opset) has no \(type) over several axes")
    }
    export.finish(type, node.inputs, of: node, ["axis": .int(axis)])
  }
}
