import LaminaCore

private let unaryTypes = [
  "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal", "abs": "Abs",
  "neg": "Neg", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sign": "Sign", "erf": "Erf",
  "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan",
  "sinh": "Sinh", "cosh": "Cosh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh",
  "not": "Not", "is_nan": "IsNaN", "is_inf": "IsInf",
]

private let comparisonTypes = [
  "equal": "Equal", "less": "Less", "greater": "Greater", "less_or_equal": "LessOrEqual",
  "greater_or_equal": "GreaterOrEqual",
]

private let reductionTypes = [
  "mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin",
  "prod": "ReduceProd", "l1": "ReduceL1", "l2": "ReduceL2", "log_sum": "ReduceLogSum",
  "log_sum_exp": "ReduceLogSumExp", "sum_square": "ReduceSumSquare",
]

private func type(_ names: [String: String], _ name: String) throws -> String {
  guard let type = names[name] else {
    throw LaminaError(.unsupported, "ONNX opset \(ONNXExporter.opset) has no '\(name)'")
  }
  return type
}

@Sendable
func exportUnary(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(try type(unaryTypes, node.string("function", "")), node.inputs, of: node)
}

@Sendable
func exportCompare(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(try type(comparisonTypes, node.string("operation", "")), node.inputs, of: node)
}

@Sendable
func exportLogical(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let types = ["and": "And", "or": "Or", "xor": "Xor"]
  export.finish(try type(types, node.string("operation", "")), node.inputs, of: node)
}

@Sendable
func exportModulo(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Mod", node.inputs, of: node, ["fmod": .bool(node.bool("fmod", false))])
}

/// Axes are an attribute in opset 17, but an input of `ReduceSum`.
@Sendable
func exportReduce(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let operation = node.string("operation", "mean")
  let axes =
    node.inputs.count > 1
    ? node.specs[1].value.map { $0.elements(as: Int64.self).map(Int.init) }
    : node.ints("axes") ?? []
  guard let axes else {
    throw LaminaError(.unsupported, "axes computed at run time")
  }
  if axes.isEmpty, node.bool("noop_with_empty_axes", false) {
    return export.finish("Identity", [node.inputs[0]], of: node)
  }
  let keepsAxes = AttributeValue.bool(node.bool("keep_dims", true))
  var inputs = [node.inputs[0]]
  if operation == "sum" {
    if !axes.isEmpty { inputs.append(try export.constant("\(node.name).axes", axes)) }
    return export.finish("ReduceSum", inputs, of: node, ["keepdims": keepsAxes])
  }
  export.finish(
    try type(reductionTypes, operation), inputs, of: node,
    ["axes": axes.isEmpty ? nil : .ints(axes), "keepdims": keepsAxes])
}

/// factor · x.
@Sendable
func exportScale(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let factor = try export.constant("\(node.name).factor", Float(node.float("factor", 1)))
  export.finish("Mul", [node.inputs[0], factor], of: node)
}

/// activation(s·x + r).
@Sendable
func exportScaleAdd(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let scaled = export.step("Mul", [node.inputs[0], node.inputs[1]], of: node, "scaled")
  try export.finish(node) { export, outputs, name in
    export.emit("Add", [scaled, node.inputs[2]], outputs, name: name)
  }
}
