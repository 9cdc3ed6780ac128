import LaminaCore

extension ONNXExport {
  /// The inputs behind the first: those of the layer, or its lists of integers as constants.
  fileprivate mutating func lists(_ names: [String], of node: ExportedNode) throws -> [String] {
    if node.inputs.count > 1 { return node.inputs }
    var inputs = [node.inputs[0]]
    for name in names {
      inputs.append(try node.ints(name).map { try constant("\(node.name).\(name)", $0) } ?? "")
    }
    return inputs
  }
}

@Sendable
func exportCast(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(
    "Cast", node.inputs, of: node, ["to": .int(ONNXTensor.number(of: node.results[0].type))])
}

/// Channels c = g·n + i go to i·G + g.
@Sendable
func exportChannelShuffle(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let groups = node.int("groups", 1)
  let extents = try export.constant(
    "\(node.name).extents", [0, groups, node.specs[0].shape[1] / max(groups, 1), -1])
  let grouped = export.step("Reshape", [node.inputs[0], extents], of: node, "grouped")
  let mixed = export.step(
    "Transpose", [grouped], of: node, "mixed", ["perm": .ints([0, 2, 1, 3])])
  let shape = export.step("Shape", [node.inputs[0]], of: node, "shape")
  export.finish("Reshape", [mixed, shape], of: node)
}

@Sendable
func exportConcat(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Concat", node.inputs, of: node, ["axis": .int(node.int("axis", 1))])
}

@Sendable
func exportConstant(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Identity", [try export.parameter("value", of: node)], of: node)
}

@Sendable
func exportDepthToSpace(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(
    "DepthToSpace", node.inputs, of: node,
    [
      "blocksize": .int(node.int("block_size", 1)),
      "mode": .string(node.string("mode", "dcr").uppercased()),
    ])
}

@Sendable
func exportSpaceToDepth(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  guard node.string("mode", "dcr") == "dcr" else {
    throw LaminaError(.unsupported, "ONNX has no SpaceToDepth of mode crd")
  }
  export.finish(
    "SpaceToDepth", node.inputs, of: node, ["blocksize": .int(node.int("block_size", 1))])
}

@Sendable
func exportDropout(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let rate = try export.constant("\(node.name).rate", Float(node.float("rate", 0.5)))
  export.finish("Dropout", [node.inputs[0], rate], of: node)
}

@Sendable
func exportExpand(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Expand", try export.lists(["shape"], of: node), of: node)
}

@Sendable
func exportFlatten(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Flatten", node.inputs, of: node, ["axis": .int(node.int("axis", 1))])
}

@Sendable
func exportGather(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Gather", node.inputs, of: node, ["axis": .int(node.int("axis", 0))])
}

/// Axes are an input of `Pad` from opset 18 on: the amounts are given for all.
@Sendable
func exportPad(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let mode = node.string("mode", "constant")
  guard node.inputs.count <= 3, mode != "wrap" else {
    throw LaminaError(
      .unsupported,
      mode == "wrap"
        ? "ONNX opset \(ONNXExporter.opset) has no padding by repetition"
        : "ONNX opset \(ONNXExporter.opset) has no padding of some axes")
  }
  var inputs = node.inputs
  if inputs.count == 1 {
    let rank = node.specs[0].shape.rank
    let pads = node.ints("pads") ?? []
    let axes = try node.ints("axes")?.map { try node.specs[0].shape.axis($0) } ?? Array(0..<rank)
    var all = [Int](repeating: 0, count: 2 * rank)
    for (index, axis) in axes.enumerated() where pads.count == 2 * axes.count {
      all[axis] = pads[index]
      all[rank + axis] = pads[index + axes.count]
    }
    inputs.append(try export.constant("\(node.name).pads", all))
    let value = node.float("value", 0)
    if value != 0 {
      guard node.specs[0].type == .float32 else {
        throw LaminaError(.unsupported, "ONNX export pads float32 only with other numbers than 0")
      }
      inputs.append(try export.constant("\(node.name).value", Float(value)))
    }
  }
  export.finish("Pad", inputs, of: node, ["mode": .string(mode)])
}

@Sendable
func exportReshape(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(
    "Reshape", try export.lists(["shape"], of: node), of: node,
    ["allowzero": .bool(node.bool("allow_zero", false))])
}

@Sendable
func exportShape(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(
    "Shape", node.inputs, of: node,
    ["start": .int(node.int("start", 0)), "end": node.ints("end")?.first.map { .int($0) }])
}

@Sendable
func exportSlice(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish(
    "Slice", try export.lists(["starts", "ends", "axes", "steps"], of: node), of: node)
}

/// Sizes are those of the default input where the layer shares the extent among its outputs.
@Sendable
func exportSplit(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let axis = try node.specs[0].shape.axis(node.int("axis", 0))
  var inputs = node.inputs
  if inputs.count == 1 {
    let sizes = node.results.map { $0.shape[axis] }
    if axis != 1, node.ints("sizes") == nil { export.needsFixedExtents = true }
    inputs.append(try export.constant("\(node.name).sizes", sizes))
  }
  export.finish("Split", inputs, of: node, ["axis": .int(axis)])
}

/// An operator whose axes are a list.
func exportAxes(_ type: String) -> ONNXLayer.Conversion {
  { export, node in export.finish(type, try export.lists(["axes"], of: node), of: node) }
}

@Sendable
func exportTile(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  export.finish("Tile", try export.lists(["repeats"], of: node), of: node)
}

@Sendable
func exportTranspose(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let permutation = node.ints("permutation")
  export.finish("Transpose", node.inputs, of: node, ["perm": permutation.map { .ints($0) }])
}
