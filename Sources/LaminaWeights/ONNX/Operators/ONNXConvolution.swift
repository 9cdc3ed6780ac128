import LaminaCore

/// `auto_pad` and `pads` as Lamina's padding.
func readPadding(_ node: inout ONNXNodeReader, spatialRank: Int) throws -> AttributeValue {
  let mode = try node.choice(
    "auto_pad", default: "NOTSET",
    [
      "NOTSET": "", "": "", "VALID": "valid", "SAME_UPPER": "same_upper",
      "SAME_LOWER": "same_lower",
    ])
  let pads = try node.ints("pads")
  guard mode.isEmpty else { return .string(mode) }
  return .ints(pads ?? [Int](repeating: 0, count: 2 * spatialRank))
}

/// A list with one number for each spatial axis.
func readSpatial(
  _ name: String, default fallback: Int, _ node: inout ONNXNodeReader, rank: Int
) throws -> AttributeValue {
  guard let list = try node.ints(name) else {
    return .ints([Int](repeating: fallback, count: rank))
  }
  guard list.count == rank else {
    throw LaminaError(
      .graph, "expected \(rank) integers in attribute '\(name)', found \(list.count)")
  }
  return .ints(list)
}

/// The attributes that convolutions share, from the shape of the weights.
private func readConvolution(
  _ converter: ONNXConverter, _ node: inout ONNXNodeReader, _ weight: Shape
) throws -> Attributes {
  let spatialRank = weight.rank - 2
  guard (1...3).contains(spatialRank) else {
    throw LaminaError(.shape, "expected weights of 3 to 5 axes, found \(weight)")
  }
  if let input = try converter.spec(node.input(0)), input.shape.rank != weight.rank {
    throw LaminaError(
      .shape,
      "expected an input of \(weight.rank) axes as the weights \(weight) have, found \(input.shape)"
    )
  }
  let kernel = Array(weight.dimensions[2...])
  if let declared = try node.ints("kernel_shape"), declared != kernel {
    throw LaminaError(
      .graph, "expected kernel_shape \(kernel) as the weights have, found \(declared)")
  }
  return [
    "kernel_size": .ints(kernel),
    "strides": try readSpatial("strides", default: 1, &node, rank: spatialRank),
    "dilations": try readSpatial("dilations", default: 1, &node, rank: spatialRank),
    "padding": try readPadding(&node, spatialRank: spatialRank),
    "groups": .int(try node.int("group", default: 1)),
    "bias": .bool(node.optionalInput(2) != nil),
  ]
}

/// Weight and bias of a node as parameters.
private func bindWeights(_ converter: inout ONNXConverter, _ node: ONNXNodeReader) throws
  -> [String: Graph.ParameterBinding?]
{
  var bindings: [String: Graph.ParameterBinding?] = [
    "weight": try converter.bind("weight", of: node.name, to: node.input(1))
  ]
  if let bias = node.optionalInput(2) {
    bindings["bias"] = try converter.bind("bias", of: node.name, to: bias)
  }
  return bindings
}

@Sendable
func convertConv(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let weight = try converter.requireSpec(node.input(1)).shape
  var attributes = try readConvolution(converter, &node, weight)
  attributes["out_channels"] = .int(weight[0])
  try converter.emit(
    weight.rank == 4 ? "lamina.conv2d" : "lamina.conv", node, [node.input(0)], attributes,
    bindings: bindWeights(&converter, node))
}

@Sendable
func convertConvTranspose(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let weight = try converter.requireSpec(node.input(1)).shape
  var attributes = try readConvolution(converter, &node, weight)
  let groups = try node.int("group", default: 1)
  let (channels, overflow) = weight[1].multipliedReportingOverflow(by: groups)
  guard !overflow, groups > 0, channels <= Shape.maximumExtent else {
    throw LaminaError(
      .graph, "expected attribute 'group' in 1...\(Shape.maximumExtent), found \(groups)")
  }
  attributes["out_channels"] = .int(channels)
  if let padding = try node.ints("output_padding") { attributes["output_padding"] = .ints(padding) }
  if let shape = try node.ints("output_shape") {
    attributes["output_shape"] = .ints(shape.suffix(weight.rank - 2))
  }
  try converter.emit(
    "lamina.conv_transpose", node, [node.input(0)], attributes,
    bindings: bindWeights(&converter, node))
}

/// `Gemm` with constant weights is a dense layer; otherwise it stays a product of matrices.
@Sendable
func convertGemm(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let alpha = try node.float("alpha", default: 1)
  let beta = try node.float("beta", default: 1)
  let transposesA = try node.flag("transA")
  let transposesB = try node.flag("transB")
  if node.opset < 7 { node.ignore("broadcast") }
  var input = try node.input(0)
  if let spec = try converter.spec(input), spec.shape.rank != 2, !transposesA {
    converter.warnings.append(
      "\(node.node.path) multiplies a tensor of shape \(spec.shape): it is flattened to two axes")
    input = try converter.emit("lamina.flatten", node: "\(node.name).flatten", [input], ["axis": 1])
  }
  let weight = try node.input(1)
  let bias = node.optionalInput(2)
  if converter.isConstant(weight), alpha == 1, !transposesA, bias == nil || beta == 1 {
    let shape = try converter.requireSpec(weight).shape
    let features = shape.rank == 2 ? shape[transposesB ? 0 : 1] : 0
    let biasCount = try bias.map { try converter.requireSpec($0).shape.count } ?? features
    if shape.rank == 2, biasCount == features, bias.map(converter.isConstant) ?? true {
      var bindings: [String: Graph.ParameterBinding?] = [
        "weight": try converter.bind("weight", of: node.name, to: weight, transposed: !transposesB)
      ]
      if let bias {
        bindings["bias"] = try converter.bind(
          "bias", of: node.name, to: bias, as: Shape([features]))
      }
      return try converter.emit(
        "lamina.dense", node, [input],
        ["out_features": .int(features), "bias": .bool(bias != nil)], bindings: bindings)
    }
  }
  try converter.emit(
    "lamina.gemm", node, [input, weight] + (bias.map { [$0] } ?? []),
    [
      "alpha": .float(Double(alpha)), "beta": .float(Double(beta)),
      "transpose_a": .bool(transposesA),
      "transpose_b": .bool(transposesB),
    ])
}

/// A matrix times constant weights is a dense layer without bias.
@Sendable
func convertMatMul(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let (input, weight) = (try node.input(0), try node.input(1))
  if converter.isConstant(weight), let shape = try converter.spec(weight)?.shape, shape.rank == 2,
    let spec = try converter.spec(input), spec.shape.rank == 2, spec.type == .float32
  {
    return try converter.emit(
      "lamina.dense", node, [input], ["out_features": .int(shape[1]), "bias": false],
      bindings: [
        "weight": converter.bind("weight", of: node.name, to: weight, transposed: true)
      ])
  }
  try converter.emit("lamina.matmul", node, [input, weight])
}
