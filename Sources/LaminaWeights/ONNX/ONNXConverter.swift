import LaminaCore

/// Builds a graph from ONNX nodes. Values are known by their ONNX names; a name stands for a constant of the
/// file or for a value of the graph.
///
/// A constant becomes a parameter where a layer has one, an attribute where a layer takes one, and a
/// `lamina.constant` node elsewhere. A node all of whose inputs are constants is computed here.
struct ONNXConverter {
  /// A tensor that is known before anything runs.
  enum Constant {
    case file(ONNXTensor)
    case tensor(Tensor)
    /// `ConstantOfShape`: weights of test models, too large to store.
    case filled(Shape, value: Double, ElementType)
  }

  /// The shape of a value that an operator's meaning depends on is not known before the graph runs.
  struct UnknownShape: Error {
    var name: String
  }

  /// Most bytes of weights that a file may ask for without holding them.
  private static let filledByteLimit = 1 << 30

  let opset: Int
  let limits: Limits
  private let content: ONNXContent
  private let external: ONNXExternalData
  private(set) var builder: GraphBuilder
  private(set) var parameters: [String: Tensor] = [:]
  /// Whether shapes follow from values that are only known when the graph runs.
  private(set) var dependsOnInputValues = false
  /// Notes for the report.
  var warnings: [String] = []

  private var constants: [String: Constant] = [:]
  private var values: [String: ValueID] = [:]
  private var specs: [TensorSpec?] = []
  private var declaredSpecs: [String: TensorSpec] = [:]
  private var parameterKeys: [String: String] = [:]
  private var usedNames: Set<String>
  private var usedValueNames: Set<String>
  private var decodedByteCount = 0
  private var filledByteCount = 0
  private let pool = ThreadPool(threads: 1)

  init(
    name: String, registry: LayerRegistry, opset: Int, limits: Limits, _ content: ONNXContent,
    external: ONNXExternalData, nodeNames: Set<String>, valueNames: Set<String>
  ) {
    builder = GraphBuilder(name: name, registry: registry)
    self.opset = opset
    self.limits = limits
    self.content = content
    self.external = external
    usedNames = nodeNames
    usedValueNames = valueNames
  }

  // MARK: - Names

  private static func unique(_ base: String, _ used: inout Set<String>) -> String {
    var name = base
    var number = 1
    while !used.insert(name).inserted {
      number += 1
      name = "\(base)#\(number)"
    }
    return name
  }

  /// A node name that nothing else has.
  mutating func uniqueName(_ base: String) -> String { Self.unique(base, &usedNames) }

  private mutating func uniqueValueName(_ base: String) -> String {
    Self.unique(base, &usedValueNames)
  }

  // MARK: - Values

  /// Declares an input of the graph. One without elements is known before anything is fed.
  mutating func addInput(_ name: String, _ dimensions: [Dimension], _ type: ElementType) throws {
    let value = try builder.input(name, dimensions, type)
    let spec = try Graph.Input(name, dimensions, type).defaultSpec()
    define(name, as: value, spec)
    if dimensions.contains(.fixed(0)) {
      constants[name] = .tensor(try Tensor(zeros: spec.shape, type))
    }
  }

  /// Declares a constant.
  mutating func addConstant(_ name: String, _ constant: Constant) { constants[name] = constant }

  /// Notes the shape that the file gives for a value.
  mutating func declare(_ name: String, _ spec: TensorSpec) { declaredSpecs[name] = spec }

  /// Makes a value under a name of its own from a tensor.
  mutating func literal(_ tensor: Tensor, _ base: String) -> String {
    let name = uniqueValueName(base)
    constants[name] = .tensor(tensor)
    return name
  }

  private mutating func define(_ name: String, as value: ValueID, _ spec: TensorSpec?) {
    values[name] = value
    while specs.count <= value.index { specs.append(nil) }
    specs[value.index] = spec
  }

  /// Whether a name is known.
  func isDefined(_ name: String) -> Bool { values[name] != nil || constants[name] != nil }

  /// Puts something in place of an output whose node has a problem, so that what follows can be looked at.
  mutating func addPlaceholder(_ name: String) {
    guard !isDefined(name), let value = try? builder.input(name, []) else { return }
    define(name, as: value, nil)
  }

  /// Whether a name stands for a constant.
  func isConstant(_ name: String) -> Bool { constants[name] != nil }

  /// The tensor of a constant; nil for a value that the graph computes.
  mutating func constant(_ name: String) throws -> Tensor? {
    switch constants[name] {
    case nil: return nil
    case .tensor(let tensor): return tensor
    case .file(let stored):
      try reserve(stored.byteCount(), name)
      let tensor = try stored.decode(content) { tensor, count in
        try external.read(tensor, byteCount: count)
      }
      constants[name] = .tensor(tensor)
      return tensor
    case .filled(let shape, let value, let type):
      let byteCount = shape.count * type.byteCount
      filledByteCount += byteCount
      guard filledByteCount <= Self.filledByteLimit else {
        throw LaminaError(
          .limit,
          "expected at most \(Self.filledByteLimit) bytes of ConstantOfShape, found \(filledByteCount)"
        )
      }
      try reserve(byteCount, name)
      let tensor = try Tensor(filled: shape, value, type)
      constants[name] = .tensor(tensor)
      return tensor
    }
  }

  private mutating func reserve(_ byteCount: Int, _ name: String) throws {
    try limits.checkMemory(
      decodedByteCount + byteCount, for: "tensor '\(name.escapedForDisplay())'")
    decodedByteCount += byteCount
  }

  /// The integers of a constant of rank 0 or 1, or of a value whose numbers follow from shapes; nil when they
  /// are computed at run time.
  mutating func ints(_ name: String) throws -> [Int]? {
    guard let tensor = try constant(name) else { return nil }
    guard tensor.shape.rank <= 1, let numbers = tensor.integers else {
      throw LaminaError(
        .graph,
        "expected '\(name.escapedForDisplay())' to be a list of integers, found \(tensor.spec)")
    }
    return numbers
  }

  /// The numbers of a constant; nil when they are computed at run time.
  mutating func floats(_ name: String) throws -> [Double]? {
    guard let tensor = try constant(name) else { return nil }
    return tensor.numbers
  }

  /// The one number of a constant; nil when it is computed at run time.
  mutating func scalar(_ name: String) throws -> Double? {
    guard let numbers = try floats(name) else { return nil }
    guard numbers.count == 1 else {
      throw LaminaError(
        .graph, "expected '\(name.escapedForDisplay())' to be one number, found \(numbers.count)")
    }
    return numbers[0]
  }

  /// Shape and type of a value, with the graph's inputs at their default extents; nil when unknown.
  func spec(_ name: String) throws -> TensorSpec? {
    switch constants[name] {
    case .tensor(let tensor): return TensorSpec(constant: tensor)
    case .filled(let shape, _, let type): return TensorSpec(shape, type)
    case .file(let stored):
      return TensorSpec(try stored.shape(), ONNXTensor.computeType(try stored.elementType()))
    case nil:
      guard let value = values[name] else { return nil }
      return specs[value.index] ?? declaredSpecs[name]
    }
  }

  /// Shape and type of a value that must be known.
  func requireSpec(_ name: String) throws -> TensorSpec {
    guard let spec = try spec(name) else { throw UnknownShape(name: name) }
    return spec
  }

  /// The value of a name; a constant becomes a node.
  mutating func value(_ name: String) throws -> ValueID {
    if let value = values[name] { return value }
    guard let constant = constants[name] else {
      throw LaminaError(.graph, "no value named '\(name.escapedForDisplay())'")
    }
    let node = uniqueName(name)
    if case .filled(let shape, let fill, let type) = constant {
      let value = try builder.addNode(
        "lamina.constant_of_shape", node, [],
        attributes: [
          "shape": .ints(shape.dimensions), "type": .string(type.rawValue), "value": .float(fill),
        ], outputNames: [name])[0]
      define(name, as: value, TensorSpec(shape, type))
      return value
    }
    let spec = try requireSpec(name)
    let binding = try bind("value", of: node, to: name)
    let value = try builder.addNode(
      "lamina.constant", node, [],
      attributes: ["shape": .ints(spec.shape.dimensions), "type": .string(spec.type.rawValue)],
      outputNames: [name], bindings: binding.map { ["value": $0] } ?? [:])[0]
    let tensor = try self.constant(name)
    define(name, as: value, TensorSpec(spec.shape, spec.type, value: tensor))
    return value
  }

  // MARK: - Parameters

  /// Makes a value a parameter of a node. The first node to use a constant owns it, under `node.parameter`;
  /// others are bound to the owner's key.
  ///
  /// - Parameters:
  ///   - shape: the shape the layer wants, by default the constant's own.
  ///   - transposed: exchanges the two axes of a constant matrix.
  /// - Returns: a binding, or nil when the parameter is found under its usual key.
  mutating func bind(
    _ parameter: String, of node: String, to name: String, as shape: Shape? = nil,
    transposed: Bool = false
  ) throws -> Graph.ParameterBinding? {
    guard isConstant(name) else {
      var source = name
      if let shape, try requireSpec(name).shape != shape {
        source = try emit(
          "lamina.reshape", node: "\(node).\(parameter)", [name],
          ["shape": .ints(shape.dimensions)])
      }
      return .value(try value(source))
    }
    let stored = try requireSpec(name).shape
    let tag = "\(shape ?? stored)\(transposed ? "T" : "") \(name)"
    if let key = parameterKeys[tag] { return .tensor(key) }
    guard var tensor = try constant(name) else { return nil }
    if transposed { tensor = try tensor.transposedMatrix() }
    if let shape { tensor = try tensor.reshaped(shape) }
    let key = "\(node).\(parameter)"
    parameterKeys[tag] = key
    parameters[key] = tensor
    return nil
  }

  // MARK: - Nodes

  /// Adds a helper node with one output and returns the output's name.
  mutating func emit(
    _ kind: LayerKind, node base: String, _ inputs: [String], _ attributes: Attributes = [:]
  ) throws -> String {
    let output = uniqueValueName(base)
    try emit(kind, name: uniqueName(base), inputs, attributes, outputs: [output])
    return output
  }

  /// Adds the node that an ONNX node becomes, or the last of several; it carries the ONNX node's name and the
  /// names of its outputs.
  mutating func emit(
    _ kind: LayerKind, _ reader: ONNXNodeReader, _ inputs: [String], _ attributes: Attributes = [:],
    outputs count: Int = 1, bindings: [String: Graph.ParameterBinding?] = [:]
  ) throws {
    guard reader.node.outputs.dropFirst(count).allSatisfy(\.isEmpty) else {
      throw LaminaError(
        .unsupported, "output \(count) '\(reader.node.outputs[count].escapedForDisplay())'")
    }
    let outputs = (0..<count).map { index in
      reader.optionalOutput(index) ?? uniqueValueName("\(reader.name):\(index)")
    }
    try emit(
      kind, name: reader.name, inputs, attributes, outputs: outputs,
      bindings: bindings.compactMapValues { $0 })
  }

  private mutating func emit(
    _ kind: LayerKind, name: String, _ inputs: [String], _ attributes: Attributes,
    outputs: [String], bindings: [String: Graph.ParameterBinding] = [:]
  ) throws {
    if bindings.isEmpty, !inputs.isEmpty, inputs.allSatisfy(isConstant),
      let tensors = try fold(kind, inputs, attributes), tensors.count == outputs.count
    {
      for (output, tensor) in zip(outputs, tensors) { constants[output] = .tensor(tensor) }
      return
    }
    let ids = try inputs.map { try value($0) }
    let results = try builder.addNode(
      kind, name, ids, attributes: attributes, outputNames: outputs, bindings: bindings)
    for (output, value) in zip(outputs, results) { define(output, as: value, nil) }
    try inferLast()
  }

  /// Computes a node of constants; nil when it has parameters or its results are larger than what it reads.
  private mutating func fold(_ kind: LayerKind, _ inputs: [String], _ attributes: Attributes) throws
    -> [Tensor]?
  {
    let (layer, definition) = try builder.registry.makeLayer(kind, attributes)
    guard definition.arity.contains(inputs.count) else { return nil }
    let tensors = try inputs.compactMap { try constant($0) }
    let specs = tensors.map { TensorSpec(constant: $0) }
    guard try layer.parameters(for: specs).isEmpty else { return nil }
    let results = try layer.outputs(for: specs)
    let known = results.compactMap(\.value)
    if known.count == results.count { return known }
    let limit = max(Graph.defaultFoldingLimit, tensors.reduce(0) { $0 + $1.shape.count })
    guard results.allSatisfy({ $0.shape.count <= limit }) else { return nil }
    try reserve(results.reduce(0) { $0 + $1.byteCount }, "")
    if definition.outputMemory == .aliasesInput, results.count == 1 {
      return [try tensors[0].reshaped(results[0].shape)]
    }
    return try evaluate(layer, inputs: tensors, parameters: [], outputs: results, pool: pool)
  }

  /// Infers the specs of the node added last, and compares its parameters with what it is given.
  private mutating func inferLast() throws {
    guard let node = builder.graph.nodes.last else { return }
    while specs.count < builder.graph.valueCount { specs.append(nil) }
    let read =
      node.inputs
      + node.bindings.values.compactMap {
        if case .value(let value) = $0 { value } else { nil }
      }
    guard read.allSatisfy({ specs[$0.index] != nil }) else {
      dependsOnInputValues = true
      return
    }
    do {
      let inferred = try builder.graph.infer(
        node, values: specs, parameters: parameters, pool: pool)
      for parameter in inferred.parameters {
        guard case .tensor(let key) = node.binding(of: parameter.name) else { continue }
        let found = parameters[key]?.spec
        guard found == parameter.spec else {
          throw LaminaError(
            .weights,
            "expected \(parameter.name) to be \(parameter.spec), found \(found?.description ?? "none")"
          )
        }
      }
      for (value, spec) in zip(node.outputs, inferred.outputs) { specs[value.index] = spec }
    } catch let error as LaminaError where error.message.contains("known when planning") {
      dependsOnInputValues = true
    }
  }

  // MARK: - The end

  /// Names a value as an output of the graph.
  mutating func addOutput(_ name: String) throws {
    let value = try value(name)
    try builder.output(value, name: name)
  }
}

extension Tensor {
  /// A tensor all of whose elements are `value`.
  init(filled shape: Shape, _ value: Double, _ type: ElementType) throws {
    try self.init(zeros: shape, type)
    guard value != 0 else { return }
    func fill<T: TensorElement>(_ element: T?) {
      guard let element else { return }
      withMutableElements(of: T.self) { $0.update(repeating: element) }
    }
    switch type {
    case .float32: fill(Float(value))
    case .int8: fill(Int8(exactly: value))
    case .int16: fill(Int16(exactly: value))
    case .int32: fill(Int32(exactly: value))
    case .int64: fill(Int64(exactly: value))
    case .uint8: fill(UInt8(exactly: value))
    case .uint16: fill(UInt16(exactly: value))
    case .uint32: fill(UInt32(exactly: value))
    case .uint64: fill(UInt64(exactly: value))
    case .bool: fill(true)
    case .float64: fill(value)
    case .float16, .bfloat16: break
    }
  }

  /// The elements, of an `int32` or `int64` tensor.
  var integers: [Int]? {
    switch type {
    case .int64: elements(as: Int64.self).map { Int($0) }
    case .int32: elements(as: Int32.self).map { Int($0) }
    default: nil
    }
  }

  /// The elements as numbers.
  var numbers: [Double] {
    switch type {
    case .float32: elements(as: Float.self).map(Double.init)
    case .float64: elements(as: Double.self)
    case .int8: elements(as: Int8.self).map(Double.init)
    case .int16: elements(as: Int16.self).map(Double.init)
    case .int32: elements(as: Int32.self).map(Double.init)
    case .int64: elements(as: Int64.self).map(Double.init)
    case .uint8: elements(as: UInt8.self).map(Double.init)
    case .uint16: elements(as: UInt16.self).map(Double.init)
    case .uint32: elements(as: UInt32.self).map(Double.init)
    case .uint64: elements(as: UInt64.self).map(Double.init)
    case .bool: elements(as: Bool.self).map { $0 ? 1 : 0 }
    case .float16, .bfloat16: []
    }
  }

  /// A matrix with its axes exchanged.
  func transposedMatrix() throws -> Tensor {
    let (rows, columns) = (shape[0], shape[1])
    let result = try Tensor(uninitialized: try Shape([columns, rows]), type)
    let size = type.byteCount
    withBytes { source in
      result.withMutableBytes { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        for row in 0..<rows {
          for column in 0..<columns {
            (to + (column * rows + row) * size).copyMemory(
              from: from + (row * columns + column) * size, byteCount: size)
          }
        }
      }
    }
    return result
  }
}
