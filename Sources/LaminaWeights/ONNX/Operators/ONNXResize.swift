import LaminaCore

/// Resize since opset 11 states how coordinates map; opset 10 and Upsample keep the origin (asymmetric) and
/// round down.
@Sendable
func convertResize(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let mode = try node.choice(
    "mode", default: "nearest", ["nearest": "nearest", "linear": "linear", "cubic": "cubic"])
  guard node.opset >= 11 else {
    return try emitUpsample(&converter, node, mode: mode, scales: node.input(1))
  }
  let coordinates = try node.choice(
    "coordinate_transformation_mode", default: "half_pixel",
    [
      "half_pixel": "half_pixel", "half_pixel_symmetric": "half_pixel_symmetric",
      "pytorch_half_pixel": "pytorch_half_pixel", "align_corners": "align_corners",
      "asymmetric": "asymmetric", "tf_crop_and_resize": "tf_crop_and_resize",
    ])
  let nearest = try node.choice(
    "nearest_mode", default: "round_prefer_floor",
    [
      "round_prefer_floor": "round_prefer_floor", "round_prefer_ceil": "round_prefer_ceil",
      "floor": "floor", "ceil": "ceil",
    ])
  var attributes: Attributes = [
    "mode": .string(mode), "coordinates": .string(coordinates), "nearest_mode": .string(nearest),
    "cubic_coefficient": .float(Double(try node.float("cubic_coeff_a", default: -0.75))),
    "exclude_outside": .bool(try node.flag("exclude_outside")),
    "extrapolation_value": .float(Double(try node.float("extrapolation_value", default: 0))),
  ]
  if node.opset >= 18 {
    attributes["antialias"] = .bool(try node.flag("antialias"))
    attributes["aspect"] = .string(
      try node.choice(
        "keep_aspect_ratio_policy", default: "stretch",
        ["stretch": "stretch", "not_larger": "not_larger", "not_smaller": "not_smaller"]))
    if let axes = try node.ints("axes") { attributes["axes"] = .ints(axes) }
  }
  let roi = coordinates == "tf_crop_and_resize" ? try node.input(1) : nil
  try emitResize(
    &converter, node, attributes, roi: roi, node.optionalInput(2), node.optionalInput(3))
}

@Sendable
func convertUpsample(_ converter: inout ONNXConverter, _ node: inout ONNXNodeReader) throws {
  let mode = try node.choice(
    "mode", default: "nearest", ["nearest": "nearest", "linear": "linear", "bilinear": "linear"])
  guard node.opset < 9 else {
    return try emitUpsample(&converter, node, mode: mode, scales: node.input(1))
  }
  let scales: [Float]
  if node.opset < 7 {
    scales = [1, 1, try node.float("height_scale"), try node.float("width_scale")]
  } else {
    guard let given = try node.floats("scales") else {
      throw LaminaError(.graph, "expected attribute 'scales', found none")
    }
    scales = given
  }
  let tensor = try Tensor(Shape([scales.count]), scales)
  let name = converter.literal(tensor, "\(node.name).scales")
  try emitUpsample(&converter, node, mode: mode, scales: name)
}

private func emitUpsample(
  _ converter: inout ONNXConverter, _ node: ONNXNodeReader, mode: String, scales: String
) throws {
  try emitResize(
    &converter, node,
    ["mode": .string(mode), "coordinates": "asymmetric", "nearest_mode": "floor"], roi: nil, scales,
    nil)
}

/// Region, scales and sizes as attributes where all are known. An empty tensor counts as left out.
private func emitResize(
  _ converter: inout ONNXConverter, _ node: ONNXNodeReader, _ attributes: Attributes, roi: String?,
  _ scales: String?, _ sizes: String?
) throws {
  let given = try [roi, scales, sizes].map { name in
    try name.flatMap { try converter.spec($0)?.shape.count == 0 ? nil : $0 }
  }
  if given.allSatisfy({ $0.map(converter.isConstant) ?? true }) {
    var attributes = attributes
    if let roi = given[0] {
      attributes["roi"] = try converter.floats(roi).map(AttributeValue.floats)
    }
    if let scales = given[1] {
      attributes["scales"] = try converter.floats(scales).map(AttributeValue.floats)
    }
    if let sizes = given[2] {
      attributes["sizes"] = try converter.ints(sizes).map(AttributeValue.ints)
    }
    return try converter.emit("lamina.resize", node, [node.input(0)], attributes)
  }
  let nothing = converter.literal(try Tensor([0], [Float]()), "\(node.name).none")
  try converter.emit(
    "lamina.resize", node, [node.input(0)] + given.map { $0 ?? nothing }, attributes)
}
