import LaminaCore

/// Pools of opset 17 have no dilations but in `MaxPool`.
private func exportPool(
  _ type: String, _ input: String, _ outputs: [String], _ export: inout ONNXExport,
  _ node: ExportedNode, includesPadding: Bool? = nil, storageOrder: Int? = nil
) throws {
  guard let kernel = node.ints("kernel_size") else { return }
  let dilations = node.ints("dilations")
  guard type == "MaxPool" || dilations?.contains(where: { $0 != 1 }) != true else {
    throw LaminaError(.unsupported, "ONNX opset \(ONNXExporter.opset) has no dilated \(type)")
  }
  export.emit(
    type, [input], outputs, name: node.name,
    [
      "kernel_shape": .ints(kernel),
      "strides": node.spatial("strides", rank: kernel.count),
      "dilations": type == "MaxPool" ? node.spatial("dilations", rank: kernel.count) : nil,
      "pads": node.pads(rank: kernel.count), "auto_pad": node.automaticPadding,
      "ceil_mode": .bool(node.bool("ceil_mode", false)),
      "count_include_pad": includesPadding.map { .bool($0) },
      "storage_order": storageOrder.map { .int($0) },
    ])
}

@Sendable
func exportMaxPool(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let order = node.outputs.count == 2 ? node.int("storage_order", 0) : nil
  try exportPool(
    "MaxPool", node.inputs[0], node.outputs, &export, node, storageOrder: order)
}

/// −max(−x).
@Sendable
func exportMinPool(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let negated = export.step("Neg", node.inputs, of: node, "negated")
  let result = export.freshName("\(node.name).max")
  try exportPool("MaxPool", negated, [result], &export, node)
  export.emit("Neg", [result], node.outputs, name: "\(node.name).neg")
}

@Sendable
func exportAveragePool(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  try exportPool(
    "AveragePool", node.inputs[0], node.outputs, &export, node,
    includesPadding: node.bool("count_include_pad", false))
}

/// One bin is a global pool. Bins of equal size are a pool of that size, others the product with a matrix of
/// their averages along each axis.
@Sendable
func exportAdaptiveAveragePool(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let sizes = Array(node.results[0].shape.dimensions[2...])
  let extents = Array(node.specs[0].shape.dimensions[2...])
  if sizes.allSatisfy({ $0 == 1 }) {
    return export.finish("GlobalAveragePool", node.inputs, of: node)
  }
  export.needsFixedExtents = true
  if extents == sizes { return export.finish("Identity", node.inputs, of: node) }
  if zip(extents, sizes).allSatisfy({ $0 % $1 == 0 }) {
    let kernel = AttributeValue.ints(zip(extents, sizes).map { $0 / $1 })
    return export.finish(
      "AveragePool", node.inputs, of: node, ["kernel_shape": kernel, "strides": kernel])
  }
  guard sizes.count == 2 else {
    throw LaminaError(.unsupported, "ONNX has no adaptive pool of \(extents) to \(sizes)")
  }
  let rows = try binAverages(extents[0], sizes[0], isTransposed: false)
  let columns = try binAverages(extents[1], sizes[1], isTransposed: true)
  let left = export.constant("\(node.name).rows", rows)
  let right = export.constant("\(node.name).columns", columns)
  let product = export.step("MatMul", [left, node.inputs[0]], of: node, "product")
  export.finish("MatMul", [product, right], of: node)
}

/// `[count, extent]`, or with `isTransposed` `[extent, count]`: row i averages bin i.
private func binAverages(_ extent: Int, _ count: Int, isTransposed: Bool) throws -> Tensor {
  var numbers = [Float](repeating: 0, count: extent * count)
  for bin in 0..<count {
    let start = bin * extent / count
    let end = ((bin + 1) * extent + count - 1) / count
    for position in start..<end {
      numbers[isTransposed ? position * count + bin : bin * extent + position] =
        1 / Float(end - start)
    }
  }
  return try Tensor(Shape(isTransposed ? [extent, count] : [count, extent]), numbers)
}

@Sendable
func exportAdaptiveMaxPool(_ export: inout ONNXExport, _ node: ExportedNode) throws {
  let sizes = Array(node.results[0].shape.dimensions[2...])
  let extents = Array(node.specs[0].shape.dimensions[2...])
  if sizes.allSatisfy({ $0 == 1 }) { return export.finish("GlobalMaxPool", node.inputs, of: node) }
  guard zip(extents, sizes).allSatisfy({ $0 % $1 == 0 }) else {
    throw LaminaError(.unsupported, "ONNX has no adaptive pool of \(extents) to \(sizes)")
  }
  export.needsFixedExtents = true
  let kernel = AttributeValue.ints(zip(extents, sizes).map { $0 / $1 })
  export.finish("MaxPool", node.inputs, of: node, ["kernel_shape": kernel, "strides": kernel])
}
