import LaminaCore

/// Writes models as ONNX: opset 17, IR version 8, weights within the file.
///
/// Values and parameters keep their names; symbolic extents stay so, unless a layer needs numbers: adaptive
/// pools do, and then height and width are those of the default input. Labels, preprocessing, the kind of
/// the output and provenance stand in `metadata_props` under the names that `ModelFile` gives them.
public enum ONNXExporter {
  /// Version of the default operator set.
  public static let opset = 17
  /// Version of the format.
  public static let irVersion = 8
  /// A protobuf message has fewer bytes.
  static let maximumBytes = Int(Int32.max)

  /// Writes the model to a file, which appears whole or not at all.
  ///
  /// - Throws: `unsupported` listing every layer that ONNX cannot express; `limit` for 2 GiB or more; `io`,
  ///   `notFound`.
  public static func write(_ model: Model, to path: String) throws {
    let pieces = try pieces(of: model)
    let writer = try AtomicFileWriter(path: path)
    for piece in pieces {
      switch piece {
      case .bytes(let bytes): try writer.write(bytes)
      case .elements(let tensor): try tensor.withBytes { try writer.write($0) }
      }
    }
    try writer.commit()
  }

  /// The bytes of the file that `write` makes. Equal models give equal bytes.
  public static func bytes(of model: Model) throws -> [UInt8] {
    var result: [UInt8] = []
    for piece in try pieces(of: model) {
      switch piece {
      case .bytes(let bytes): result += bytes
      case .elements(let tensor): tensor.withBytes { result.append(contentsOf: $0) }
      }
    }
    return result
  }

  /// Part of a file: large tensors are written from where they are.
  private enum Piece {
    case bytes([UInt8])
    case elements(Tensor)

    var count: Int {
      switch self {
      case .bytes(let bytes): bytes.count
      case .elements(let tensor): tensor.byteCount
      }
    }
  }

  private static func pieces(of model: Model) throws -> [Piece] {
    var export = try ONNXExport(model)
    try export.run()
    var graph: [Piece] = []
    var nodes = ProtobufWriter()
    for node in export.nodes { nodes.bytes(1, node) }
    nodes.string(2, model.graph.name.isEmpty ? "model" : model.graph.name)
    graph.append(.bytes(nodes.bytes))
    for (name, tensor) in export.initializers {
      var message = ProtobufWriter()
      for extent in tensor.shape.dimensions { message.int(1, extent) }
      message.int(2, ONNXTensor.number(of: tensor.type))
      message.string(8, name)
      let data = ProtobufWriter.start(9, count: tensor.byteCount)
      let count = message.bytes.count + data.count + tensor.byteCount
      graph.append(.bytes(ProtobufWriter.start(5, count: count) + message.bytes + data))
      graph.append(.elements(tensor))
    }
    var interface = ProtobufWriter()
    let inputs = model.graph.inputs.map { input in
      var input = input
      for (axis, dimension) in input.dimensions.enumerated().dropFirst()
      where export.needsFixedExtents {
        input.dimensions[axis] = .fixed(dimension.defaultExtent)
      }
      return input
    }
    for input in inputs {
      interface.message(11) { valueInfo(&$0, input.name, input.type, input.dimensions) }
    }
    for (output, dimensions) in zip(model.graph.outputs, outputDimensions(export, inputs)) {
      let type = export.specs[output.value].type
      interface.message(12) { valueInfo(&$0, output.name, type, dimensions) }
    }
    graph.append(.bytes(interface.bytes))

    let graphCount = graph.reduce(0) { $0 + $1.count }
    var start = ProtobufWriter()
    start.int(1, irVersion)
    start.string(2, "lamina")
    start.string(3, laminaVersion)
    var end = ProtobufWriter()
    end.message(8) {
      $0.string(1, "")
      $0.int(2, opset)
    }
    for (key, value) in ModelFile.description(of: model.metadata) {
      end.message(14) {
        $0.string(1, key)
        $0.string(2, value)
      }
    }
    let file =
      [.bytes(start.bytes + ProtobufWriter.start(7, count: graphCount))] + graph
      + [.bytes(end.bytes)]
    let byteCount = file.reduce(0) { $0 + $1.count }
    guard byteCount < maximumBytes else {
      throw LaminaError(
        .limit,
        "expected less than 2 GiB, which is what an ONNX file can hold, found \(byteCount) bytes: save the model as .safetensors"
      )
    }
    return file
  }

  /// The outputs' extents: those that change with an input's symbol are symbols too, its own where they follow
  /// it.
  private static func outputDimensions(_ export: ONNXExport, _ inputs: [Graph.Input])
    -> [[Dimension]]
  {
    let graph = export.model.graph
    var result = graph.outputs.map { output in
      export.specs[output.value].shape.dimensions.map { Dimension.fixed($0) }
    }
    var symbols: [String: Int] = [:]
    for case .symbol(let name, let extent) in inputs.flatMap(\.dimensions) {
      symbols[name] = extent
    }
    for (symbol, extent) in symbols.sorted(by: { $0.key < $1.key }) {
      let specs = try? inputs.map { input in
        TensorSpec(
          try Shape(
            input.dimensions.map {
              if case .symbol(symbol, _) = $0 { 2 * extent } else { $0.defaultExtent }
            }), input.type)
      }
      let changed = specs.flatMap {
        try? graph.inferSpecs(inputs: $0, parameters: export.model.parameters)
      }
      for (index, output) in graph.outputs.enumerated() {
        for (axis, before) in export.specs[output.value].shape.dimensions.enumerated() {
          let after = changed.map { $0[output.value].shape[axis] }
          guard after != before else { continue }
          let follows = before == extent && after == 2 * extent
          result[index][axis] = .symbol(
            follows ? symbol : "\(output.name)_\(axis)", default: before)
        }
      }
    }
    return result
  }

  private static func valueInfo(
    _ message: inout ProtobufWriter, _ name: String, _ type: ElementType,
    _ dimensions: [Dimension]
  ) {
    message.string(1, name)
    message.message(2) { typeProto in
      typeProto.message(1) { tensorType in
        tensorType.int(1, ONNXTensor.number(of: type))
        tensorType.message(2) { shape in
          for dimension in dimensions {
            shape.message(1) {
              switch dimension {
              case .fixed(let extent): $0.int(1, extent)
              case .symbol(let name, _): $0.string(2, name)
              }
            }
          }
        }
      }
    }
  }
}

extension ONNXTensor {
  /// ONNX's number of an element type.
  static func number(of type: ElementType) -> Int {
    switch type {
    case .float32: 1
    case .uint8: 2
    case .int8: 3
    case .uint16: 4
    case .int16: 5
    case .int32: 6
    case .int64: 7
    case .bool: 9
    case .float16: 10
    case .float64: 11
    case .uint32: 12
    case .uint64: 13
    case .bfloat16: 16
    }
  }
}
