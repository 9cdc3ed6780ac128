import LaminaCore

/// What an ONNX file says of itself, and its graph.
struct ONNXModel {
  var irVersion: Int?
  var opsets: [(domain: String, version: Int)] = []
  var producerName = ""
  var producerVersion = ""
  var domain = ""
  var modelVersion = 0
  var metadata: [(key: String, value: String)] = []
  var graph: ONNXGraph?
  /// Domain and name of the functions the file brings along.
  var functions: [String] = []
  var hasTrainingInfo = false
}

/// The nodes and named values of a graph.
struct ONNXGraph {
  var name = ""
  var nodes: [ONNXNode] = []
  var initializers: [ONNXTensor] = []
  var sparseInitializerCount = 0
  var inputs: [ONNXValueInfo] = []
  var outputs: [ONNXValueInfo] = []
  var valueInfo: [ONNXValueInfo] = []
}

/// One operation.
struct ONNXNode {
  var name = ""
  var type = ""
  var domain = ""
  var inputs: [String] = []
  var outputs: [String] = []
  var attributes: [ONNXAttribute] = []

  /// Type with the domain in front, unless it is ONNX's own: `com.microsoft.FusedConv`.
  var qualifiedType: String {
    let type = type.escapedForDisplay()
    return domain.isEmpty || domain == "ai.onnx" ? type : "\(domain.escapedForDisplay()).\(type)"
  }

  /// The name, or the first output's where there is none.
  var label: String { (name.isEmpty ? outputs.first ?? "" : name).escapedForDisplay() }

  /// For messages: `node 'conv1' (Conv)`.
  var path: String { "node '\(label)' (\(qualifiedType))" }
}

/// A named constant of a node.
struct ONNXAttribute {
  var name = ""
  var value = Value.none

  enum Value {
    case none
    case float(Float)
    case int(Int)
    case string(String)
    case tensor(ONNXTensor)
    case floats([Float])
    case ints([Int])
    case strings([String])
    case graph
    /// Tensors, graphs, sparse tensors, types: the name of the kind.
    case other(String)

    var typeName: String {
      switch self {
      case .none: "nothing"
      case .float: "FLOAT"
      case .int: "INT"
      case .string: "STRING"
      case .tensor: "TENSOR"
      case .floats: "FLOATS"
      case .ints: "INTS"
      case .strings: "STRINGS"
      case .graph: "GRAPH"
      case .other(let name): name
      }
    }
  }
}

/// Name, element type and shape of a value.
struct ONNXValueInfo {
  enum Dimension {
    case fixed(Int)
    case symbol(String)
    case unknown
  }

  var name = ""
  /// `tensor`, or what it is instead: `sequence`, `map`, …; nil where no type is given.
  var kind: String?
  var elementType = 0
  /// nil: not even the rank is known.
  var dimensions: [Dimension]?
}

/// A constant tensor whose data stays in the file until it is asked for.
struct ONNXTensor {
  var name = ""
  var dimensions: [Int] = []
  var dataType = 0
  var raw: Range<Int>?
  /// Ranges of packed numbers by field: `float_data`, `int32_data`, …
  var typed: [(field: TypedField, range: Range<Int>)] = []
  var hasStrings = false
  var isSegmented = false
  var isExternal = false
  var external: [(key: String, value: String)] = []

  enum TypedField: String {
    case float = "float_data"
    case int32 = "int32_data"
    case int64 = "int64_data"
    case double = "double_data"
    case uint64 = "uint64_data"
  }
}

/// Decodes ONNX's protobuf messages. Subgraphs and types of types are noted, not followed, so that no input
/// can nest deeper than model → graph → node → attribute → tensor → entry.
struct ONNXDecoder {
  let limits: Limits

  /// Most numbers or texts in one attribute.
  static let attributeValueLimit = 1 << 20
  /// Most entries of a list that only describes: metadata, opsets, functions, values.
  static let entryLimit = 1 << 20

  func model(_ bytes: [UInt8], path: String) throws -> ONNXModel {
    guard !bytes.isEmpty else {
      throw LaminaError(.format, "expected a model, found 0 bytes", path: path)
    }
    var model = ONNXModel()
    var reader = try ProtobufReader(bytes, range: 0..<bytes.count, path: path)
    while let field = try reader.next() {
      switch field.number {
      case 1: model.irVersion = try reader.int(field, "ModelProto.ir_version")
      case 2: model.producerName = try reader.string(field, "ModelProto.producer_name")
      case 3: model.producerVersion = try reader.string(field, "ModelProto.producer_version")
      case 4: model.domain = try reader.string(field, "ModelProto.domain")
      case 5: model.modelVersion = try reader.int(field, "ModelProto.model_version")
      case 7:
        guard model.graph == nil else {
          throw reader.failure("expected one graph, found a second", at: field.offset)
        }
        model.graph = try graph(reader.message(field, "ModelProto.graph"))
      case 8:
        try reader.append(
          opset(reader.message(field, "ModelProto.opset_import")), to: &model.opsets,
          limit: Self.entryLimit, "ModelProto.opset_import", at: field.offset)
      case 14:
        try reader.append(
          entry(reader.message(field, "ModelProto.metadata_props")), to: &model.metadata,
          limit: Self.entryLimit, "ModelProto.metadata_props", at: field.offset)
      case 20: model.hasTrainingInfo = true
      case 25:
        try reader.append(
          functionName(reader.message(field, "ModelProto.functions")), to: &model.functions,
          limit: Self.entryLimit, "ModelProto.functions", at: field.offset)
      default: break
      }
    }
    return model
  }

  private func opset(_ reader: ProtobufReader) throws -> (domain: String, version: Int) {
    var reader = reader
    var result = (domain: "", version: 0)
    while let field = try reader.next() {
      switch field.number {
      case 1: result.domain = try reader.string(field, "OperatorSetIdProto.domain")
      case 2: result.version = try reader.int(field, "OperatorSetIdProto.version")
      default: break
      }
    }
    return result
  }

  private func entry(_ reader: ProtobufReader) throws -> (key: String, value: String) {
    var reader = reader
    var result = (key: "", value: "")
    while let field = try reader.next() {
      switch field.number {
      case 1: result.key = try reader.string(field, "StringStringEntryProto.key")
      case 2: result.value = try reader.string(field, "StringStringEntryProto.value")
      default: break
      }
    }
    return result
  }

  private func functionName(_ reader: ProtobufReader) throws -> String {
    var reader = reader
    var name = ""
    var domain = ""
    while let field = try reader.next() {
      switch field.number {
      case 1: name = try reader.string(field, "FunctionProto.name")
      case 10: domain = try reader.string(field, "FunctionProto.domain")
      default: break
      }
    }
    return "\(domain).\(name)"
  }

  private func graph(_ reader: ProtobufReader) throws -> ONNXGraph {
    var reader = reader
    var graph = ONNXGraph()
    while let field = try reader.next() {
      switch field.number {
      case 1:
        try reader.append(
          node(reader.message(field, "GraphProto.node")), to: &graph.nodes, limit: limits.nodes,
          "GraphProto.node", at: field.offset)
      case 2: graph.name = try reader.string(field, "GraphProto.name")
      case 5:
        try reader.append(
          tensor(reader.message(field, "GraphProto.initializer")), to: &graph.initializers,
          limit: limits.tensorsPerFile, "GraphProto.initializer", at: field.offset)
      case 11:
        try reader.append(
          valueInfo(reader.message(field, "GraphProto.input")), to: &graph.inputs,
          limit: limits.tensorsPerFile, "GraphProto.input", at: field.offset)
      case 12:
        try reader.append(
          valueInfo(reader.message(field, "GraphProto.output")), to: &graph.outputs,
          limit: limits.tensorsPerFile, "GraphProto.output", at: field.offset)
      case 13:
        try reader.append(
          valueInfo(reader.message(field, "GraphProto.value_info")), to: &graph.valueInfo,
          limit: Self.entryLimit, "GraphProto.value_info", at: field.offset)
      case 15: graph.sparseInitializerCount += 1
      default: break
      }
    }
    return graph
  }

  private func node(_ reader: ProtobufReader) throws -> ONNXNode {
    var reader = reader
    var node = ONNXNode()
    while let field = try reader.next() {
      switch field.number {
      case 1:
        try reader.append(
          reader.string(field, "NodeProto.input"), to: &node.inputs, limit: limits.nodes,
          "NodeProto.input", at: field.offset)
      case 2:
        try reader.append(
          reader.string(field, "NodeProto.output"), to: &node.outputs, limit: limits.nodes,
          "NodeProto.output", at: field.offset)
      case 3: node.name = try reader.string(field, "NodeProto.name")
      case 4: node.type = try reader.string(field, "NodeProto.op_type")
      case 5:
        try reader.append(
          attribute(reader.message(field, "NodeProto.attribute")), to: &node.attributes,
          limit: 1024, "NodeProto.attribute", at: field.offset)
      case 7: node.domain = try reader.string(field, "NodeProto.domain")
      default: break
      }
    }
    return node
  }

  private static let attributeTypes = [
    "UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS",
    "TENSORS",
    "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS",
  ]

  private func attribute(_ reader: ProtobufReader) throws -> ONNXAttribute {
    var reader = reader
    var name = ""
    var type = 0
    var offset = 0
    var reference = ""
    var float: Float?
    var int: Int?
    var string: Range<Int>?
    var tensor: ONNXTensor?
    var floats: [Float] = []
    var ints: [Int] = []
    var strings: [Range<Int>] = []
    var others: Set<String> = []
    let limit = Self.attributeValueLimit
    while let field = try reader.next() {
      offset = field.offset
      switch field.number {
      case 1: name = try reader.string(field, "AttributeProto.name")
      case 2: float = try reader.float(field, "AttributeProto.f")
      case 3: int = try reader.int(field, "AttributeProto.i")
      case 4: string = try reader.range(field, "AttributeProto.s")
      case 5: tensor = try self.tensor(reader.message(field, "AttributeProto.t"))
      case 6: others.insert("GRAPH")
      case 7: try reader.appendFloats(field, "AttributeProto.floats", to: &floats, limit: limit)
      case 8: try reader.appendInts(field, "AttributeProto.ints", to: &ints, limit: limit)
      case 9:
        try reader.append(
          reader.range(field, "AttributeProto.strings"), to: &strings, limit: limit,
          "AttributeProto.strings", at: field.offset)
      case 10: others.insert("TENSORS")
      case 11: others.insert("GRAPHS")
      case 14: others.insert("TYPE_PROTO")
      case 15: others.insert("TYPE_PROTOS")
      case 20: type = try reader.int(field, "AttributeProto.type")
      case 21: reference = try reader.string(field, "AttributeProto.ref_attr_name")
      case 22: others.insert("SPARSE_TENSOR")
      case 23: others.insert("SPARSE_TENSORS")
      default: break
      }
    }
    let path = "attribute '\(name.escapedForDisplay())'"
    guard reference.isEmpty else {
      throw reader.failure(
        "\(path) refers to a function's attribute outside a function", at: offset)
    }
    guard type >= 1, type < Self.attributeTypes.count else {
      throw reader.failure("expected \(path) to have a type in 1...14, found \(type)", at: offset)
    }
    var held = others
    if float != nil { held.insert("FLOAT") }
    if int != nil { held.insert("INT") }
    if string != nil { held.insert("STRING") }
    if tensor != nil { held.insert("TENSOR") }
    if !floats.isEmpty { held.insert("FLOATS") }
    if !ints.isEmpty { held.insert("INTS") }
    if !strings.isEmpty { held.insert("STRINGS") }
    let declared = Self.attributeTypes[type]
    if let wrong = held.subtracting([declared]).sorted().first {
      throw reader.failure("expected \(path) to hold \(declared), found \(wrong)", at: offset)
    }
    func text(_ range: Range<Int>) throws -> String {
      guard let text = String(validating: reader.bytes[range], as: UTF8.self) else {
        throw reader.failure("\(path) is not UTF-8", at: offset)
      }
      return text
    }
    // A field that is not written is 0 or empty: writers leave out what equals the default.
    let value: ONNXAttribute.Value =
      switch declared {
      case "FLOAT": .float(float ?? 0)
      case "INT": .int(int ?? 0)
      case "STRING": .string(try string.map(text) ?? "")
      case "TENSOR": .tensor(tensor ?? ONNXTensor())
      case "FLOATS": .floats(floats)
      case "INTS": .ints(ints)
      case "STRINGS": .strings(try strings.map(text))
      case "GRAPH": .graph
      default: .other(declared)
      }
    return ONNXAttribute(name: name, value: value)
  }

  private func valueInfo(_ reader: ProtobufReader) throws -> ONNXValueInfo {
    var reader = reader
    var info = ONNXValueInfo()
    while let field = try reader.next() {
      switch field.number {
      case 1: info.name = try reader.string(field, "ValueInfoProto.name")
      case 2: try readType(reader.message(field, "ValueInfoProto.type"), into: &info)
      default: break
      }
    }
    return info
  }

  private func readType(_ reader: ProtobufReader, into info: inout ONNXValueInfo) throws {
    var reader = reader
    while let field = try reader.next() {
      switch field.number {
      case 1:
        info.kind = "tensor"
        var tensor = try reader.message(field, "TypeProto.tensor_type")
        while let field = try tensor.next() {
          switch field.number {
          case 1: info.elementType = try tensor.int(field, "TypeProto.Tensor.elem_type")
          case 2: info.dimensions = try shape(tensor.message(field, "TypeProto.Tensor.shape"))
          default: break
          }
        }
      case 4: info.kind = "sequence"
      case 5: info.kind = "map"
      case 7: info.kind = "opaque"
      case 8: info.kind = "sparse tensor"
      case 9: info.kind = "optional"
      default: break
      }
    }
  }

  private func shape(_ reader: ProtobufReader) throws -> [ONNXValueInfo.Dimension] {
    var reader = reader
    var result: [ONNXValueInfo.Dimension] = []
    while let field = try reader.next() {
      guard field.number == 1 else { continue }
      var message = try reader.message(field, "TensorShapeProto.dim")
      var dimension = ONNXValueInfo.Dimension.unknown
      while let field = try message.next() {
        switch field.number {
        case 1: dimension = .fixed(try message.int(field, "TensorShapeProto.Dimension.dim_value"))
        case 2:
          let name = try message.string(field, "TensorShapeProto.Dimension.dim_param")
          dimension = name.isEmpty ? .unknown : .symbol(name)
        default: break
        }
      }
      try reader.append(
        dimension, to: &result, limit: ONNXTensor.maximumRank, "TensorShapeProto.dim",
        at: field.offset)
    }
    return result
  }

  private func tensor(_ reader: ProtobufReader) throws -> ONNXTensor {
    var reader = reader
    var tensor = ONNXTensor()
    while let field = try reader.next() {
      func packed(_ name: String, varints: Bool) throws -> Range<Int> {
        try reader.packedRange(field, "TensorProto.\(name)", varints: varints)
      }
      switch field.number {
      case 1:
        try reader.appendInts(
          field, "TensorProto.dims", to: &tensor.dimensions, limit: ONNXTensor.maximumRank)
      case 2: tensor.dataType = try reader.int(field, "TensorProto.data_type")
      case 3: tensor.isSegmented = true
      case 4: tensor.typed.append((.float, try packed("float_data", varints: false)))
      case 5: tensor.typed.append((.int32, try packed("int32_data", varints: true)))
      case 6: tensor.hasStrings = true
      case 7: tensor.typed.append((.int64, try packed("int64_data", varints: true)))
      case 8: tensor.name = try reader.string(field, "TensorProto.name")
      case 9: tensor.raw = try reader.range(field, "TensorProto.raw_data")
      case 10: tensor.typed.append((.double, try packed("double_data", varints: false)))
      case 11: tensor.typed.append((.uint64, try packed("uint64_data", varints: true)))
      case 13:
        try reader.append(
          entry(reader.message(field, "TensorProto.external_data")), to: &tensor.external,
          limit: 64, "TensorProto.external_data", at: field.offset)
      case 14:
        let location = try reader.int(field, "TensorProto.data_location")
        guard location == 0 || location == 1 else {
          throw reader.failure(
            "expected a data location of 0 or 1, found \(location)", at: field.offset)
        }
        tensor.isExternal = location == 1
      default: break
      }
    }
    return tensor
  }
}
