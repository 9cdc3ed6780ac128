import LaminaCore

/// A `NetParameter`, as far as weights need it.
struct CaffeNet {
  var name = ""
  var layers: [CaffeLayer] = []
}

/// A `LayerParameter` or `V1LayerParameter`.
struct CaffeLayer {
  var name = ""
  /// The type's name, also where the file has its number.
  var kind = ""
  var blobs: [CaffeBlob] = []
  /// Whether the weights of an inner product are `[in, out]`.
  var isTransposed = false
}

/// A `BlobProto`: where its numbers lie.
struct CaffeBlob: Sendable {
  var shape: Shape
  var dimensions: [Int] { shape.dimensions }
  var isDouble: Bool
  var ranges: [Range<Int>]

  /// The first number, which must exist.
  func first(in bytes: [UInt8]) -> Float {
    guard let start = ranges.first(where: { !$0.isEmpty })?.lowerBound else { return 0 }
    return bytes.withUnsafeBytes {
      isDouble
        ? Float(
          Double(
            bitPattern: UInt64(
              littleEndian: $0.loadUnaligned(fromByteOffset: start, as: UInt64.self))))
        : Float(
          bitPattern: UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        )
    }
  }
}

/// Reads the messages of Caffe. Fields that do not concern weights are skipped.
struct CaffeDecoder {
  let limits: Limits

  /// Most blobs of one layer, and most pieces of one blob's data.
  private static let maximumBlobs = 64
  private static let maximumPieces = 1024

  func net(_ bytes: [UInt8], path: String) throws -> CaffeNet {
    var reader = try ProtobufReader(bytes, range: 0..<bytes.count, path: path)
    var net = CaffeNet()
    while let field = try reader.next() {
      switch field.number {
      case 1: net.name = try reader.string(field, "name")
      case 2, 100:
        let message = try reader.message(field, "layer")
        let layer = try field.number == 2 ? v1Layer(message) : self.layer(message)
        try reader.append(layer, to: &net.layers, limit: limits.nodes, "layer", at: field.offset)
      default: break
      }
    }
    return net
  }

  private func layer(_ message: ProtobufReader) throws -> CaffeLayer {
    var reader = message
    var layer = CaffeLayer()
    while let field = try reader.next() {
      switch field.number {
      case 1: layer.name = try reader.string(field, "name")
      case 2: layer.kind = try reader.string(field, "type")
      case 7: try append(field, reader, to: &layer)
      case 117: layer.isTransposed = try isTransposed(reader.message(field, "inner_product_param"))
      default: break
      }
    }
    return layer
  }

  private func v1Layer(_ message: ProtobufReader) throws -> CaffeLayer {
    var reader = message
    var layer = CaffeLayer()
    while let field = try reader.next() {
      switch field.number {
      case 1:
        throw LaminaError(
          .unsupported,
          "layers of Caffe before 2014 are not supported: upgrade the file with upgrade_net_proto_binary",
          path: "\(reader.path) @ \(field.offset)")
      case 4: layer.name = try reader.string(field, "name")
      case 5:
        let number = try reader.int(field, "type")
        layer.kind = Self.v1Kinds[number] ?? "type \(number)"
      case 6: try append(field, reader, to: &layer)
      default: break
      }
    }
    return layer
  }

  /// The V1 types whose blobs have other shapes than vectors.
  private static let v1Kinds = [4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"]

  private func isTransposed(_ message: ProtobufReader) throws -> Bool {
    var reader = message
    var result = false
    while let field = try reader.next() {
      if field.number == 6 { result = try reader.int(field, "transpose") != 0 }
    }
    return result
  }

  private func append(
    _ field: ProtobufReader.Field, _ reader: ProtobufReader, to layer: inout CaffeLayer
  ) throws {
    let blob = try blob(reader.message(field, "blob"), at: field.offset)
    try reader.append(
      blob, to: &layer.blobs, limit: Self.maximumBlobs, "blob", at: field.offset)
  }

  private func blob(_ message: ProtobufReader, at offset: Int) throws -> CaffeBlob {
    var reader = message
    var legacy = [1, 1, 1, 1]
    var dimensions: [Int]?
    var ranges: [Range<Int>] = []
    var isDouble = false
    while let field = try reader.next() {
      switch field.number {
      case 1...4: legacy[field.number - 1] = try reader.int(field, "a blob's extent")
      case 5, 8:
        let range = try reader.range(field, "a blob's packed data")
        let size = field.number == 8 ? 8 : 4
        guard range.count % size == 0 else {
          throw reader.failure(
            "expected a multiple of \(size) bytes of data, found \(range.count)", at: field.offset)
        }
        guard ranges.isEmpty || isDouble == (size == 8) else {
          throw reader.failure("a blob has data as float and as double", at: field.offset)
        }
        isDouble = size == 8
        try reader.append(
          range, to: &ranges, limit: Self.maximumPieces, "a blob's data", at: field.offset)
      case 7:
        var shape = try reader.message(field, "shape")
        var list: [Int] = []
        while let field = try shape.next() {
          if field.number == 1 {
            try shape.appendInts(field, "a blob's shape", to: &list, limit: 32)
          }
        }
        dimensions = list
      default: break
      }
    }
    let shape: Shape
    do { shape = try Shape(dimensions ?? legacy) } catch let error as LaminaError {
      throw error.at("\(reader.path) @ \(offset)")
    }
    let byteCount = ranges.reduce(0) { $0 + $1.count }
    guard byteCount == shape.count * (isDouble ? 8 : 4) else {
      throw reader.failure(
        "expected \(shape.count) numbers for shape \(shape), found \(byteCount / (isDouble ? 8 : 4))",
        at: offset)
    }
    return CaffeBlob(shape: shape, isDouble: isDouble, ranges: ranges)
  }
}
