import Lamina

/// Writes protobuf messages, well-formed or not.
struct Proto {
  var bytes: [UInt8] = []

  static func varint(_ value: UInt64) -> [UInt8] {
    var value = value
    var result: [UInt8] = []
    while value >= 0x80 {
      result.append(UInt8(value & 0x7F) | 0x80)
      value >>= 7
    }
    return result + [UInt8(value)]
  }

  static func tag(_ field: Int, _ wire: Int) -> [UInt8] {
    varint(UInt64(field) << 3 | UInt64(wire))
  }

  mutating func int(_ field: Int, _ value: Int) {
    bytes += Proto.tag(field, 0) + Proto.varint(UInt64(bitPattern: Int64(value)))
  }
  mutating func float(_ field: Int, _ value: Float) {
    bytes += Proto.tag(field, 5) + value.bitPattern.littleEndianBytes
  }
  mutating func data(_ field: Int, _ data: [UInt8]) {
    bytes += Proto.tag(field, 2) + Proto.varint(UInt64(data.count)) + data
  }
  mutating func string(_ field: Int, _ text: String) { data(field, Array(text.utf8)) }
}

extension FixedWidthInteger {
  var littleEndianBytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}

/// Builds ONNX messages for tests.
enum ONNX {
  enum Value {
    case int(Int), float(Float), string(String), ints([Int]), floats([Float]), tensor([UInt8])
    case graph([UInt8])
  }

  static func attribute(_ name: String, _ value: Value, type: Int? = nil) -> [UInt8] {
    var proto = Proto()
    proto.string(1, name)
    let declared: Int
    switch value {
    case .float(let number):
      proto.float(2, number)
      declared = 1
    case .int(let number):
      proto.int(3, number)
      declared = 2
    case .string(let text):
      proto.string(4, text)
      declared = 3
    case .tensor(let tensor):
      proto.data(5, tensor)
      declared = 4
    case .graph(let graph):
      proto.data(6, graph)
      declared = 5
    case .floats(let numbers):
      for number in numbers { proto.float(7, number) }
      declared = 6
    case .ints(let numbers):
      proto.data(8, numbers.flatMap { Proto.varint(UInt64(bitPattern: Int64($0))) })
      declared = 7
    }
    proto.int(20, type ?? declared)
    return proto.bytes
  }

  static func node(
    _ type: String, _ inputs: [String], _ outputs: [String], name: String = "", domain: String = "",
    _ attributes: KeyValuePairs<String, Value> = [:], raw: [[UInt8]] = []
  ) -> [UInt8] {
    var proto = Proto()
    for input in inputs { proto.string(1, input) }
    for output in outputs { proto.string(2, output) }
    if !name.isEmpty { proto.string(3, name) }
    proto.string(4, type)
    for (name, value) in attributes { proto.data(5, attribute(name, value)) }
    for attribute in raw { proto.data(5, attribute) }
    if !domain.isEmpty { proto.string(7, domain) }
    return proto.bytes
  }

  static func tensor(
    _ name: String, _ dimensions: [Int], type: Int = 1, raw: [UInt8]? = nil,
    external: KeyValuePairs<String, String>? = nil, extra: (inout Proto) -> Void = { _ in }
  ) -> [UInt8] {
    var proto = Proto()
    for dimension in dimensions { proto.int(1, dimension) }
    proto.int(2, type)
    proto.string(8, name)
    if let raw { proto.data(9, raw) }
    if let external {
      for (key, value) in external {
        var entry = Proto()
        entry.string(1, key)
        entry.string(2, value)
        proto.data(13, entry.bytes)
      }
      proto.int(14, 1)
    }
    extra(&proto)
    return proto.bytes
  }

  static func floats(_ name: String, _ dimensions: [Int], _ values: [Float]) -> [UInt8] {
    tensor(name, dimensions, raw: values.flatMap { $0.bitPattern.littleEndianBytes })
  }

  static func ints(_ name: String, _ values: [Int]) -> [UInt8] {
    tensor(name, [values.count], type: 7, raw: values.flatMap { Int64($0).littleEndianBytes })
  }

  /// Extents are numbers, or names of symbols; an empty name is an unknown extent.
  static func value(_ name: String, _ dimensions: [Any], type: Int = 1) -> [UInt8] {
    var shape = Proto()
    for dimension in dimensions {
      var proto = Proto()
      if let extent = dimension as? Int { proto.int(1, extent) }
      if let symbol = dimension as? String, !symbol.isEmpty { proto.string(2, symbol) }
      shape.data(1, proto.bytes)
    }
    var tensor = Proto()
    tensor.int(1, type)
    tensor.data(2, shape.bytes)
    var typeProto = Proto()
    typeProto.data(1, tensor.bytes)
    var info = Proto()
    info.string(1, name)
    info.data(2, typeProto.bytes)
    return info.bytes
  }

  static func graph(
    _ nodes: [[UInt8]], inputs: [[UInt8]], outputs: [[UInt8]], initializers: [[UInt8]] = [],
    extra: (inout Proto) -> Void = { _ in }
  ) -> [UInt8] {
    var proto = Proto()
    for node in nodes { proto.data(1, node) }
    proto.string(2, "test")
    for tensor in initializers { proto.data(5, tensor) }
    for input in inputs { proto.data(11, input) }
    for output in outputs { proto.data(12, output) }
    extra(&proto)
    return proto.bytes
  }

  static func opset(_ version: Int, domain: String = "") -> [UInt8] {
    var proto = Proto()
    if !domain.isEmpty { proto.string(1, domain) }
    proto.int(2, version)
    return proto.bytes
  }

  static func model(
    _ graph: [UInt8]?, ir: Int? = 8, opset version: Int? = 17,
    extra: (inout Proto) -> Void = { _ in }
  ) -> [UInt8] {
    var proto = Proto()
    if let ir { proto.int(1, ir) }
    if let version { proto.data(8, opset(version)) }
    if let graph { proto.data(7, graph) }
    extra(&proto)
    return proto.bytes
  }

  /// A model with float input `x` and output `y`.
  static func model(
    _ nodes: [[UInt8]], input: [Any] = [1, 2], output: [Any] = [], initializers: [[UInt8]] = [],
    opset: Int = 17
  ) -> [UInt8] {
    model(
      graph(
        nodes, inputs: [value("x", input)], outputs: [value("y", output)],
        initializers: initializers),
      opset: opset)
  }

  static func load(_ bytes: [UInt8], folder: String? = nil, limits: Limits = Limits()) throws -> (
    model: Model, report: ImportReport
  ) {
    try ONNXImporter.load(bytes: bytes, folder: folder, registry: .standard, limits: limits)
  }
}
