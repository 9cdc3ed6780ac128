import LaminaCore

/// The nodes and constants of an ONNX graph while it is made.
struct ONNXExport {
  let model: Model
  /// Shapes and types for inputs of default extents.
  let specs: Graph.Inference
  /// Messages of type `NodeProto`.
  private(set) var nodes: [[UInt8]] = []
  /// Constants, in the order of their first use.
  private(set) var initializers: [(name: String, tensor: Tensor)] = []
  /// Whether a layer was written for the default extents only.
  var needsFixedExtents = false
  private var names: Set<String>
  private var initializerNames: Set<String> = []

  init(_ model: Model) throws {
    self.model = model
    let inputs = try model.graph.inputs.map { try $0.defaultSpec() }
    specs = try model.graph.inferSpecs(inputs: inputs, parameters: model.parameters)
    names = Set(model.graph.allValueNames)
  }

  /// Writes every node.
  ///
  /// - Throws: `unsupported` listing every layer that ONNX cannot express.
  mutating func run() throws {
    let graph = model.graph
    var problems: [LaminaError] = []
    for (index, node) in graph.nodes.enumerated() {
      do {
        let kind = node.definition.kind
        guard let convert = ONNXLayer.all[kind] else {
          throw LaminaError(.unsupported, "ONNX has no such layer")
        }
        var exported = ExportedNode(
          node, inputs: node.inputs.map(graph.name(of:)),
          outputs: node.outputs.map(graph.name(of:)),
          specs: node.inputs.map { specs[$0] }, results: node.outputs.map { specs[$0] })
        for spec in specs.parameters[index] {
          switch node.binding(of: spec.name) {
          case .tensor(let key):
            guard let tensor = model.parameters[key] else {
              throw LaminaError(.weights, "tensor '\(key.escapedForDisplay())' is missing")
            }
            exported.parameters[spec.name] = (key, tensor)
          case .value(let value): exported.parameters[spec.name] = (graph.name(of: value), nil)
          }
        }
        try convert(&self, exported)
      } catch let error as LaminaError {
        problems.append(error.at(node.path))
      }
    }
    for (name, value) in graph.outputs where graph.name(of: value) != name {
      guard names.insert(name).inserted else {
        problems.append(
          LaminaError(
            .unsupported,
            "output '\(name.escapedForDisplay())' has the name of another value, which ONNX does not allow"
          ))
        continue
      }
      emit("Identity", [graph.name(of: value)], [name], name: name)
    }
    if let error = LaminaError.combining(problems) { throw error }
  }

  /// A name that no value has yet.
  mutating func freshName(_ base: String) -> String {
    var name = base
    var number = 1
    while !names.insert(name).inserted || initializerNames.contains(name) {
      name = "\(base).\(number)"
      number += 1
    }
    return name
  }

  /// A constant of the graph.
  mutating func constant(_ base: String, _ tensor: Tensor) -> String {
    let name = freshName(base)
    initializerNames.insert(name)
    initializers.append((name, tensor))
    return name
  }

  /// A list of integers as a constant.
  mutating func constant(_ base: String, _ numbers: [Int]) throws -> String {
    constant(base, try Tensor(Shape([numbers.count]), numbers.map { Int64($0) }))
  }

  /// A number as a constant without axes.
  mutating func constant(_ base: String, _ number: Float) throws -> String {
    constant(base, try Tensor(.scalar, [number]))
  }

  /// The value that holds a parameter; tensors of the model keep their keys.
  mutating func parameter(_ name: String, of node: ExportedNode) throws -> String {
    guard let (key, tensor) = node.parameters[name] else {
      throw LaminaError(.internal, "no parameter is named '\(name)'")
    }
    guard let tensor, !initializerNames.contains(key) else { return key }
    guard names.insert(key).inserted else {
      return constant("\(key).tensor", tensor)
    }
    initializerNames.insert(key)
    initializers.append((key, tensor))
    return key
  }

  /// Adds a node.
  mutating func emit(
    _ type: String, _ inputs: [String], _ outputs: [String], name: String,
    _ attributes: KeyValuePairs<String, AttributeValue?> = [:]
  ) {
    var message = ProtobufWriter()
    var inputs = inputs
    while inputs.last == "" { inputs.removeLast() }
    for input in inputs { message.string(1, input) }
    for output in outputs { message.string(2, output) }
    message.string(3, name)
    message.string(4, type)
    for case (let name, let value?) in attributes {
      message.message(5) { attribute in
        attribute.string(1, name)
        switch value {
        case .int(let number):
          attribute.int(3, number)
          attribute.int(20, 2)
        case .bool(let flag):
          attribute.int(3, flag ? 1 : 0)
          attribute.int(20, 2)
        case .float(let number):
          attribute.float(2, Float(number))
          attribute.int(20, 1)
        case .string(let text):
          attribute.string(4, text)
          attribute.int(20, 3)
        case .ints(let numbers):
          for number in numbers { attribute.int(8, number) }
          attribute.int(20, 7)
        case .floats(let numbers):
          for number in numbers { attribute.float(7, Float(number)) }
          attribute.int(20, 6)
        }
      }
    }
    nodes.append(message.bytes)
  }

  /// Adds a node on the way to another one and returns its output.
  mutating func step(
    _ type: String, _ inputs: [String], of node: ExportedNode, _ part: String,
    _ attributes: KeyValuePairs<String, AttributeValue?> = [:]
  ) -> String {
    let name = freshName("\(node.name).\(part)")
    emit(type, inputs, [name], name: name, attributes)
    return name
  }

  /// Adds the node that gives the layer's outputs.
  mutating func finish(
    _ type: String, _ inputs: [String], of node: ExportedNode,
    _ attributes: KeyValuePairs<String, AttributeValue?> = [:]
  ) {
    emit(type, inputs, node.outputs, name: node.name, attributes)
  }
}

/// A layer with the names that its inputs, outputs and parameters have in the file.
struct ExportedNode {
  let name: String
  let inputs: [String]
  let outputs: [String]
  let specs: [TensorSpec]
  let results: [TensorSpec]
  var parameters: [String: (key: String, tensor: Tensor?)] = [:]
  private let attributes: Attributes

  init(
    _ node: Graph.Node, inputs: [String], outputs: [String], specs: [TensorSpec],
    results: [TensorSpec]
  ) {
    name = node.name
    (self.inputs, self.outputs, self.specs, self.results) = (inputs, outputs, specs, results)
    attributes = node.attributes
  }

  func value(_ name: String) -> AttributeValue? { attributes[name] }

  func int(_ name: String, _ fallback: Int) -> Int {
    if case .int(let number)? = attributes[name] { number } else { fallback }
  }

  func bool(_ name: String, _ fallback: Bool) -> Bool {
    if case .bool(let flag)? = attributes[name] { flag } else { fallback }
  }

  func string(_ name: String, _ fallback: String) -> String {
    if case .string(let text)? = attributes[name] { text } else { fallback }
  }

  func ints(_ name: String) -> [Int]? {
    switch attributes[name] {
    case .ints(let numbers): numbers
    case .int(let number): [number]
    default: nil
    }
  }

  /// A number; infinities may be texts.
  func float(_ name: String, _ fallback: Double) -> Double {
    switch attributes[name] {
    case .float(let number): number
    case .int(let number): Double(number)
    case .string(let text): Double(text) ?? fallback
    default: fallback
    }
  }
}
