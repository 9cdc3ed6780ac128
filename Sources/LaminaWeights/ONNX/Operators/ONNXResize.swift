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
  var inputs = [try node.input(0)]
  if coordinates == "tf_crop_and_resize" {
    guard let roi = try converter.floats(node.input(1)) else {
      throw LaminaError(.unsupported, "a region of interest computed at run time")
    }
    attributes["roi"] = .floats(roi)
  }
  try resizeTarget(&converter, node, scales: 2, sizes: 3, &inputs, &attributes)
  try converter.emit("lamina.resize", node, inputs, attributes)
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
  var attributes: Attributes = [
    "mode": .string(mode), "coordinates": "asymmetric", "nearest_mode": "floor",
  ]
  var inputs = [try node.input(0)]
  if let known = try converter.floats(scales) {
    attributes["scales"] = .floats(known)
  } else {
    inputs.append(scales)
  }
  try converter.emit("lamina.resize", node, inputs, attributes)
}

/// Scales or sizes, as an attribute where they are known. An empty tensor counts as left out.
private func resizeTarget(
  _ converter: inout ONNXConverter, _ node: ONNXNodeReader, scales: Int, sizes: Int,
  _ inputs: inout [String], _ attributes: inout Attributes
) throws {
  if let name = node.optionalInput(sizes), try converter.spec(name)?.shape.count != 0 {
    if let known = try converter.ints(name) {
      attributes["sizes"] = .ints(known)
    } else {
      inputs.append(name)
    }
    return
  }
  let name = try node.input(scales)
  if let known = try converter.floats(name) {
    attributes["scales"] = .floats(known)
  } else {
    inputs.append(name)
  }
}
