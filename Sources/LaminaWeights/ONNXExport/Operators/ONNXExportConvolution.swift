import LaminaCore

extension ExportedNode {
  /// A list with one number for each axis of the window.
  func spatial(_ name: String, rank: Int) -> AttributeValue {
    .ints(ints(name) ?? [Int](repeating: 1, count: rank))
  }

  /// `pads`, where padding is given in numbers.
  func pads(rank: Int) -> AttributeValue? {
    if case .string? = value("padding") { return nil }
    return .ints(ints("padding") ?? [Int](repeating: 0, count: 2 * rank))
  }

  /// `auto_pad`, where padding is a rule.
  var automaticPadding: AttributeValue? {
    guard case .string(let rule)? = value("padding") else { return nil }
    return .string(rule.uppercased())
  }
}

extension ONNXExport {
  /// Adds the last node of a layer that may have an activation behind it.
  mutating func finish(
    _ node: ExportedNode, activated input: (inout ONNXExport, [String], String) throws -> Void
  ) throws {
    let kind = node.string("activation", "none")
    guard kind != "none" else { return try input(&self, node.outputs, node.name) }
    let linear = freshName("\(node.name).linear")
    try input(&self, [linear], linear)
    guard kind == "clip" else { return finish("Relu", [linear], of: node) }
    let bounds = [
      try constant("\(node.name).min", Float(node.float("activation_min", -.infinity))),
      try constant("\(node.name).max", Float(node.float("activation_max", .infinity))),
    ]
    finish("Clip", [linear] + bounds, of: node)
  }
}

@Sendable
func exportConvolution(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  guard let kernel = node.ints("kernel_size") else { return }
  var inputs = [node.inputs[0], try export.parameter("weight", of: node)]
  if node.bool("bias", true) { inputs.append(try export.parameter("bias", of: node)) }
  try export.finish(node) { export, outputs, name in
    var results = outputs
    if node.inputs.count == 2 { results = [export.freshName("\(node.name).sum")] }
    export.emit(
      "Conv", inputs, results, name: name,
      [
        "kernel_shape": .ints(kernel),
        "strides": node.spatial("strides", rank: kernel.count),
        "dilations": node.spatial("dilations", rank: kernel.count),
        "pads": node.pads(rank: kernel.count), "auto_pad": node.automaticPadding,
        "group": .int(node.int("groups", 1)),
      ])
    if node.inputs.count == 2 {
      export.emit("Add", [results[0], node.inputs[1]], outputs, name: "\(name).residual")
    }
  }
}

/// A matrix is multiplied by `Gemm`, more axes by `MatMul`.
@Sendable
func exportDense(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let hasBias = node.bool("bias", true)
  let weight = try export.parameter("weight", of: node)
  let bias = hasBias ? [try export.parameter("bias", of: node)] : []
  if node.specs[0].shape.rank == 2 {
    return export.finish("Gemm", [node.inputs[0], weight] + bias, of: node, ["transB": 1])
  }
  let columns = export.step("Transpose", [weight], of: node, "columns", ["perm": .ints([1, 0])])
  guard hasBias else { return export.finish("MatMul", [node.inputs[0], columns], of: node) }
  let product = export.step("MatMul", [node.inputs[0], columns], of: node, "product")
  export.finish("Add", [product] + bias, of: node)
}

@Sendable
func exportGemm(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(
    "Gemm", node.inputs, of: node,
    [
      "alpha": .float(node.float("alpha", 1)), "beta": .float(node.float("beta", 1)),
      "transA": .bool(node.bool("transpose_a", false)),
      "transB": .bool(node.bool("transpose_b", false)),
    ])
}
