import LaminaCore

/// A layer of a model's configuration.
struct KerasLayer {
  /// Where a call of the layer gets its inputs: layer, number of its call, output.
  struct Origin: Hashable {
    var layer: String
    var call: Int
    var output: Int
  }

  var className: String
  var name: String
  var config: JSON
  /// The origins of the inputs, one list for each call.
  var calls: [[Origin]]
  /// The layers of a model within the model.
  var model: KerasConfig?

  /// The class as in groups of a weight file: `SeparableConv2D` is `separable_conv2d`.
  var snakeName: String { kerasSnakeCase(className) }
}

/// `Conv2D` → `conv2d`, `PReLU` → `p_re_lu`: a break before a capital that small letters follow,
/// and before one that follows a small letter.
func kerasSnakeCase(_ name: String) -> String {
  let bytes = Array(name.utf8).filter {
    (65...90).contains($0) || (97...122).contains($0) || (48...57).contains($0) || $0 == 95
  }
  func isLower(_ index: Int) -> Bool { bytes.indices.contains(index) && bytes[index] >= 97 }
  func isUpper(_ index: Int) -> Bool {
    bytes.indices.contains(index) && (65...90).contains(bytes[index])
  }
  var result: [UInt8] = []
  for index in bytes.indices {
    if index > 0, isUpper(index), isLower(index + 1) || isLower(index - 1) { result.append(95) }
    result.append(isUpper(index) ? bytes[index] + 32 : bytes[index])
  }
  return String(decoding: result, as: UTF8.self)
}

/// The configuration of a Sequential or Functional model, as Keras 2 and 3 write it.
struct KerasConfig {
  var name: String
  var isSequential: Bool
  /// Whether Keras 3 wrote it, which names modules: of layers, in `.h5` files only of their types.
  var isKeras3: Bool
  var layers: [KerasLayer]
  var inputs: [KerasLayer.Origin] = []
  var outputs: [KerasLayer.Origin] = []

  /// Deepest nesting of models.
  private static let maximumDepth = 8

  /// Reads `{"class_name", "config"}`.
  ///
  /// - Throws: `unsupported` for models of other classes, `format`, `limit`.
  init(_ json: JSON, path: String, limits: Limits, depth: Int = 0) throws {
    guard depth < Self.maximumDepth else {
      throw LaminaError(
        .limit, "expected at most \(Self.maximumDepth) models within each other", path: path)
    }
    let object = try ObjectReader(json, path: path)
    let className = try object.string("class_name")
    guard ["Sequential", "Functional", "Model"].contains(className) else {
      throw LaminaError(
        .unsupported,
        "expected a Sequential or Functional model, found class '\(className.escapedForDisplay())'",
        path: path)
    }
    isSequential = className == "Sequential"
    guard let config = json["config"] else {
      throw LaminaError(.format, "expected a field 'config', found none", path: path)
    }
    // Until Keras 2.2.2 a Sequential model's configuration was the list of layers.
    name = config["name"]?.string ?? kerasSnakeCase(className)
    guard let list = config.array ?? config["layers"]?.array else {
      throw LaminaError(.format, "expected a list of layers, found none", path: path)
    }
    guard list.count <= limits.nodes else {
      throw LaminaError(
        .limit, "expected at most \(limits.nodes) layers, found \(list.count)", path: path)
    }
    layers = []
    isKeras3 = list.contains {
      $0["module"] != nil || $0["config"]?["dtype"]?["module"] != nil
    }
    for (index, layer) in list.enumerated() {
      layers.append(
        try KerasConfig.layer(layer, path: "\(path).layers[\(index)]", limits: limits, depth))
    }
    guard !isSequential else { return }
    inputs = try KerasConfig.origins(config["input_layers"], path: "\(path).input_layers")
    outputs = try KerasConfig.origins(config["output_layers"], path: "\(path).output_layers")
  }

  private static func layer(_ json: JSON, path: String, limits: Limits, _ depth: Int) throws
    -> KerasLayer
  {
    let object = try ObjectReader(json, path: path)
    let className = try object.string("class_name")
    guard let config = json["config"], config.members != nil || config.array != nil else {
      throw LaminaError(.format, "expected a field 'config', found none", path: path)
    }
    let name = json["name"]?.string ?? config["name"]?.string ?? ""
    var calls: [[KerasLayer.Origin]] = []
    if let nodes = json["inbound_nodes"]?.array {
      calls = try nodes.enumerated().map { index, node in
        try origins(node["args"] ?? node, path: "\(path).inbound_nodes[\(index)]")
      }
    }
    let isModel = ["Sequential", "Functional", "Model"].contains(className)
    return KerasLayer(
      className: className, name: name, config: config, calls: calls,
      model: isModel
        ? try KerasConfig(json, path: path, limits: limits, depth: depth + 1) : nil)
  }

  /// The tensors that a value names, in order: `["conv", 0, 0, {…}]`, Keras 3's objects with a
  /// `keras_history`, and lists and dictionaries of them.
  private static func origins(_ json: JSON?, path: String) throws -> [KerasLayer.Origin] {
    var result: [KerasLayer.Origin] = []
    var stack = json.map { [$0] } ?? []
    while let value = stack.popLast() {
      if let elements = value.array {
        if elements.count >= 3, let layer = elements[0].string {
          guard let call = elements[1].int, let output = elements[2].int, call >= 0, output >= 0
          else {
            throw LaminaError(
              .format, "expected a layer and two numbers from 0, found \(value.text())", path: path)
          }
          result.append(KerasLayer.Origin(layer: layer, call: call, output: output))
        } else {
          stack += elements.reversed()
        }
      } else if value["class_name"]?.string == "__keras_tensor__" {
        if let history = value["config"]?["keras_history"] { stack.append(history) }
      } else if let members = value.members {
        stack += members.map(\.value).reversed()
      }
    }
    return result
  }
}
