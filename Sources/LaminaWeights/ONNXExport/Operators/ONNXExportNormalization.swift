import LaminaCore

extension ONNXExport {
  /// A parameter that a layer may lack, then a constant vector.
  fileprivate mutating func vector(
    _ name: String, isPresent: Bool, _ shape: Shape, filler: Float, of node: ExportedNode
  ) throws -> String {
    if isPresent { return try parameter(name, of: node) }
    let numbers = [Float](repeating: filler, count: shape.count)
    return constant("\(node.name).\(name)", try Tensor(shape, numbers))
  }
}

/// ONNX's momentum is the share of the old statistics.
@Sendable
func exportBatchNorm(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let channels = try Shape([node.specs[0].shape[1]])
  let inputs = [
    node.inputs[0],
    try export.vector(
      "weight", isPresent: node.bool("scale", true), channels, filler: 1, of: node),
    try export.vector("bias", isPresent: node.bool("center", true), channels, filler: 0, of: node),
    try export.parameter("running_mean", of: node), try export.parameter("running_var", of: node),
  ]
  export.finish(
    "BatchNormalization", inputs, of: node,
    [
      "epsilon": .float(node.float("epsilon", 1e-5)),
      "momentum": .float(1 - node.float("momentum", 0.1)),
    ])
}

@Sendable
func exportInstanceNorm(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let inputs = [
    node.inputs[0], try export.parameter("weight", of: node),
    try export.parameter("bias", of: node),
  ]
  export.finish(
    "InstanceNormalization", inputs, of: node, ["epsilon": .float(node.float("epsilon", 1e-5))])
}

@Sendable
func exportLayerNorm(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let shape = node.specs[0].shape
  let axis = try shape.axis(node.int("axis", -1))
  let normalized = try Shape(Array(shape.dimensions[axis...]))
  var inputs = [
    node.inputs[0],
    try export.vector(
      "weight", isPresent: node.bool("scale", true), normalized, filler: 1, of: node),
  ]
  if node.bool("center", true) { inputs.append(try export.parameter("bias", of: node)) }
  export.finish(
    "LayerNormalization", inputs, of: node,
    ["axis": .int(axis), "epsilon": .float(node.float("epsilon", 1e-5))])
}

/// Groups are the instances of an instance norm; the affine part follows.
@Sendable
func exportGroupNorm(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let groups = node.int("groups", 1)
  let shape = node.specs[0].shape
  let extents = try export.constant("\(node.name).groups", [0, groups, -1])
  let grouped = export.step("Reshape", [node.inputs[0], extents], of: node, "grouped")
  let ones = [Float](repeating: 1, count: groups)
  let unit = export.constant("\(node.name).unit", try Tensor(Shape([groups]), ones))
  let zeros = export.constant("\(node.name).zero", try Tensor(zeros: Shape([groups])))
  let normal = export.step(
    "InstanceNormalization", [grouped, unit, zeros], of: node, "normal",
    ["epsilon": .float(node.float("epsilon", 1e-5))])
  let original = export.step("Shape", [node.inputs[0]], of: node, "shape")
  var result = export.step("Reshape", [normal, original], of: node, "map")
  let vector = try export.constant(
    "\(node.name).vector", [-1] + [Int](repeating: 1, count: shape.rank - 2))
  let weight = export.step(
    "Reshape", [try export.parameter("weight", of: node), vector], of: node, "scales")
  let bias = export.step(
    "Reshape", [try export.parameter("bias", of: node), vector], of: node, "shifts")
  result = export.step("Mul", [result, weight], of: node, "scaled")
  export.finish("Add", [result, bias], of: node)
}

/// Across an odd number of channels it is ONNX's `LRN`, within a channel x / (k + a·Σx²)^beta written out.
@Sendable
func exportLocalResponseNorm(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let size = node.int("size", 1)
  let (alpha, beta, k) = (node.float("alpha", 1e-4), node.float("beta", 0.75), node.float("k", 1))
  let isDivided = node.bool("alpha_divided_by_size", true)
  guard node.string("region", "across_channels") == "within_channel" else {
    guard size % 2 == 1 else {
      throw LaminaError(
        .unsupported, "ONNX runtimes have no LRN over \(size) channels: an even number")
    }
    return export.finish(
      "LRN", node.inputs, of: node,
      [
        "size": .int(size), "alpha": .float(isDivided ? alpha : alpha * Double(size)),
        "beta": .float(beta), "bias": .float(k),
      ])
  }
  let x = node.inputs[0]
  let (shorter, longer) = ((size - 1) / 2, size / 2)
  let isONNX = node.string("even_window", "onnx") == "onnx"
  let (before, after) = isONNX ? (shorter, longer) : (longer, shorter)
  let square = export.step("Mul", [x, x], of: node, "square")
  let mean = export.step(
    "AveragePool", [square], of: node, "mean",
    [
      "kernel_shape": .ints([size, size]), "strides": .ints([1, 1]),
      "pads": .ints([before, before, after, after]), "count_include_pad": 1,
    ])
  let factor = try export.constant(
    "\(node.name).alpha", Float(isDivided ? alpha : alpha * Double(size) * Double(size)))
  let scaled = export.step("Mul", [mean, factor], of: node, "scaled")
  let shifted = export.step(
    "Add", [scaled, try export.constant("\(node.name).k", Float(k))], of: node, "shifted")
  let power = export.step(
    "Pow", [shifted, try export.constant("\(node.name).beta", Float(beta))], of: node, "power")
  export.finish("Div", [x, power], of: node)
}
