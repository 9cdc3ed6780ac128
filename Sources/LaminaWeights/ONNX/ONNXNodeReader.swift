import LaminaCore

/// Hands an operator's conversion the node it converts and remembers which attributes were asked for: what
/// stays unread is an error.
struct ONNXNodeReader {
  /// The node.
  let node: ONNXNode
  /// Its name in the graph that is built.
  let name: String
  /// Version of the operator set its file follows.
  let opset: Int
  private let values: [String: ONNXAttribute.Value]
  private var read: Set<String> = []

  /// - Throws: `format` for an attribute given twice.
  init(_ node: ONNXNode, name: String, opset: Int) throws {
    self.node = node
    self.name = name
    self.opset = opset
    var values: [String: ONNXAttribute.Value] = [:]
    for attribute in node.attributes {
      guard values.updateValue(attribute.value, forKey: attribute.name) == nil else {
        throw LaminaError(
          .format, "attribute '\(attribute.name.escapedForDisplay())' is given twice")
      }
    }
    self.values = values
  }

  /// The name of an input's value; nil where it is left out.
  func optionalInput(_ index: Int) -> String? {
    guard node.inputs.indices.contains(index), !node.inputs[index].isEmpty else { return nil }
    return node.inputs[index]
  }

  /// The name of an input's value.
  func input(_ index: Int) throws -> String {
    guard let name = optionalInput(index) else {
      throw LaminaError(.graph, "expected input \(index), found none")
    }
    return name
  }

  /// Names of all inputs, none of which may be left out.
  func allInputs() throws -> [String] { try node.inputs.indices.map(input) }

  /// The name of an output's value; nil where it is left out.
  func optionalOutput(_ index: Int) -> String? {
    guard node.outputs.indices.contains(index), !node.outputs[index].isEmpty else { return nil }
    return node.outputs[index]
  }

  /// Whether an attribute is given; does not count as reading it.
  func has(_ name: String) -> Bool { values[name] != nil }

  /// The raw value of an attribute.
  mutating func attribute(_ name: String) -> ONNXAttribute.Value? {
    read.insert(name)
    return values[name]
  }

  /// Attributes that say nothing for inference.
  mutating func ignore(_ names: String...) { read.formUnion(names) }

  private func mismatch(_ name: String, _ expected: String, _ found: ONNXAttribute.Value?)
    -> LaminaError
  {
    guard let found else { return LaminaError(.graph, "expected attribute '\(name)', found none") }
    return LaminaError(
      .format, "expected attribute '\(name)' to be \(expected), found \(found.typeName)")
  }

  /// An integer, or `fallback` where it is absent.
  mutating func int(_ name: String, default fallback: Int? = nil) throws -> Int {
    let found = attribute(name)
    if found == nil, let fallback { return fallback }
    guard case .int(let value) = found else { throw mismatch(name, "INT", found) }
    return value
  }

  /// 0 or 1.
  mutating func flag(_ name: String, default fallback: Bool = false) throws -> Bool {
    let value = try int(name, default: fallback ? 1 : 0)
    guard value == 0 || value == 1 else {
      throw LaminaError(.format, "expected attribute '\(name)' to be 0 or 1, found \(value)")
    }
    return value == 1
  }

  /// A number, or `fallback` where it is absent.
  mutating func float(_ name: String, default fallback: Float? = nil) throws -> Float {
    let found = attribute(name)
    if found == nil, let fallback { return fallback }
    guard case .float(let value) = found else { throw mismatch(name, "FLOAT", found) }
    return value
  }

  /// A text, or `fallback` where it is absent.
  mutating func string(_ name: String, default fallback: String? = nil) throws -> String {
    let found = attribute(name)
    if found == nil, let fallback { return fallback }
    guard case .string(let value) = found else { throw mismatch(name, "STRING", found) }
    return value
  }

  /// Integers; nil where they are absent.
  mutating func ints(_ name: String) throws -> [Int]? {
    let found = attribute(name)
    guard found != nil else { return nil }
    guard case .ints(let value) = found else { throw mismatch(name, "INTS", found) }
    return value
  }

  /// Numbers; nil where they are absent.
  mutating func floats(_ name: String) throws -> [Float]? {
    let found = attribute(name)
    guard found != nil else { return nil }
    guard case .floats(let value) = found else { throw mismatch(name, "FLOATS", found) }
    return value
  }

  /// The entry of `choices` under a text, or under `fallback` where it is absent.
  ///
  /// - Throws: `unsupported` for a text that is not among them.
  mutating func choice(
    _ name: String, default fallback: String, _ choices: KeyValuePairs<String, String>
  ) throws -> String {
    let found = try string(name, default: fallback)
    guard let choice = choices.first(where: { $0.key == found }) else {
      throw LaminaError(.unsupported, "attribute \(name)='\(found.escapedForDisplay())'")
    }
    return choice.value
  }

  /// - Throws: `unsupported` naming every attribute that nobody asked for.
  func finish() throws {
    let unread = node.attributes.map(\.name).filter { !read.contains($0) }
    guard !unread.isEmpty else { return }
    let names = unread.map { "'\($0.escapedForDisplay())'" }.joined(separator: ", ")
    throw LaminaError(.unsupported, "unknown attribute \(names)")
  }
}
