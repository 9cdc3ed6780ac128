import LaminaCore

extension ONNXTensor {
  /// The most axes that are parsed; a `Shape` refuses more than 8 with a message of its own.
  static let maximumRank = 32

  /// The element type in the file, or nil for one that Lamina does not have.
  static func elementType(of dataType: Int) -> ElementType? {
    switch dataType {
    case 1: .float32
    case 2: .uint8
    case 3: .int8
    case 4: .uint16
    case 5: .int16
    case 6: .int32
    case 7: .int64
    case 9: .bool
    case 10: .float16
    case 11: .float64
    case 12: .uint32
    case 13: .uint64
    case 16: .bfloat16
    default: nil
    }
  }

  private static let typeNames = [
    "UNDEFINED", "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL",
    "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16", "FLOAT8E4M3FN",
    "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4", "INT4", "FLOAT4E2M1", "FLOAT8E8M0",
    "UINT2", "INT2",
  ]

  /// ONNX's name of a data type, for messages.
  static func typeName(_ dataType: Int) -> String {
    typeNames.indices.contains(dataType) ? typeNames[dataType] : "\(dataType)"
  }

  /// The data type of ONNX's name.
  static func dataType(named name: String) -> Int? { typeNames.firstIndex(of: name) }

  /// The type in which the graph computes: the floating-point types become `float32`, others stay.
  static func computeType(_ type: ElementType) -> ElementType {
    type.isFloatingPoint ? .float32 : type
  }

  /// For messages.
  var path: String { "tensor '\(name.escapedForDisplay())'" }

  /// The element type in the file.
  ///
  /// - Throws: `unsupported` naming ONNX's type, `format` for a number that stands for none.
  func elementType() throws -> ElementType {
    if let type = Self.elementType(of: dataType) { return type }
    guard dataType > 0, Self.typeNames.indices.contains(dataType) else {
      throw LaminaError(.format, "expected a data type in 1...26, found \(dataType)", path: path)
    }
    throw LaminaError(.unsupported, "element type \(Self.typeName(dataType))", path: path)
  }

  /// The shape.
  ///
  /// - Throws: `shape` with the tensor's name.
  func shape() throws -> Shape { try withErrorPath(path) { try Shape(dimensions) } }

  /// Bytes of the decoded tensor.
  func byteCount() throws -> Int {
    try shape().count * Self.computeType(elementType()).byteCount
  }

  /// Decodes the data; the floating-point types become `float32`.
  ///
  /// - Parameter external: reads data that lies in another file.
  /// - Throws: `format` when the size of the data is not that of the shape, or it lies in the wrong field or
  ///   in two; `unsupported` for element types that Lamina does not have.
  func decode(_ content: ONNXContent, external: (ONNXTensor, Int) throws -> [UInt8]) throws
    -> Tensor
  {
    try withErrorPath(path) {
      let type = try elementType()
      let shape = try shape()
      let byteCount = shape.count * type.byteCount
      guard !isSegmented else { throw LaminaError(.unsupported, "a tensor in segments") }
      guard !hasStrings else {
        throw LaminaError(.format, "string_data in a tensor of \(type.rawValue)")
      }
      let sources = [raw != nil, !typed.isEmpty, isExternal].filter { $0 }.count
      guard sources <= 1 else {
        throw LaminaError(.format, "expected the data in one place, found \(sources)")
      }
      if isExternal {
        return try Self.tensor(shape, type, external(self, byteCount)[...])
      }
      if !typed.isEmpty { return try decodeTyped(shape, type, content.bytes) }
      let range = raw ?? 0..<0
      guard range.count == byteCount else {
        throw LaminaError(
          .format,
          "expected \(byteCount) bytes of raw_data for \(TensorSpec(shape, type)), found \(range.count)"
        )
      }
      guard type == Self.computeType(type), type != .bool else {
        return try Self.tensor(shape, type, content.data(range))
      }
      let tensor = try Tensor(uninitialized: shape, type)
      try tensor.withMutableBytes { try content.read(range, into: $0) }
      return tensor
    }
  }

  /// A tensor of little-endian elements, `shape.count` of them.
  private static func tensor(_ shape: Shape, _ type: ElementType, _ data: ArraySlice<UInt8>) throws
    -> Tensor
  {
    let tensor = try Tensor(uninitialized: shape, computeType(type))
    data.withUnsafeBytes { source in
      func element<T: FixedWidthInteger>(_ index: Int, _: T.Type) -> T {
        T(
          littleEndian: source.loadUnaligned(
            fromByteOffset: index * MemoryLayout<T>.size, as: T.self))
      }
      func fill(_ value: (Int) -> Float) {
        tensor.withMutableElements(of: Float.self) { target in
          for index in target.indices { target[index] = value(index) }
        }
      }
      switch type {
      case .float16: fill { Float(halfBits: element($0, UInt16.self)) }
      case .bfloat16: fill { Float(bitPattern: UInt32(element($0, UInt16.self)) << 16) }
      case .float64: fill { Float(Double(bitPattern: element($0, UInt64.self))) }
      case .bool:
        tensor.withMutableBytes { target in
          for index in target.indices { target[index] = source[index] == 0 ? 0 : 1 }
        }
      default: tensor.withMutableBytes { $0.copyMemory(from: source) }
      }
    }
    return tensor
  }

  private static func typedField(of type: ElementType) -> TypedField {
    switch type {
    case .float32: .float
    case .float64: .double
    case .int64: .int64
    case .uint32, .uint64: .uint64
    default: .int32
    }
  }

  private func decodeTyped(_ shape: Shape, _ type: ElementType, _ bytes: [UInt8]) throws -> Tensor {
    let field = Self.typedField(of: type)
    if let wrong = typed.first(where: { $0.field != field }) {
      throw LaminaError(
        .format, "expected \(type.rawValue) in \(field.rawValue), found \(wrong.field.rawValue)")
    }
    let width = field == .float ? 4 : field == .double ? 8 : 0
    var count = 0
    for (_, range) in typed {
      guard width > 0 else {
        // One byte of each varint has its high bit clear.
        count += bytes[range].reduce(0) { $0 + ($1 < 0x80 ? 1 : 0) }
        continue
      }
      guard range.count % width == 0 else {
        throw LaminaError(
          .format,
          "expected a multiple of \(width) bytes of \(field.rawValue), found \(range.count)")
      }
      count += range.count / width
    }
    guard count == shape.count else {
      throw LaminaError(
        .format,
        "expected \(shape.count) values of \(field.rawValue) for shape \(shape), found \(count)")
    }
    if width > 0 {
      let data = typed.count == 1 ? bytes[typed[0].range] : typed.flatMap { bytes[$0.range] }[...]
      return try Self.tensor(shape, type, data)
    }
    let tensor = try Tensor(uninitialized: shape, Self.computeType(type))
    switch type {
    case .int64: try fill(tensor, bytes) { Int64(bitPattern: $0) }
    case .uint64: try fill(tensor, bytes) { $0 }
    case .uint32: try fill(tensor, bytes) { UInt32(exactly: $0) }
    case .int32: try fill(tensor, bytes) { Int32(exactly: Int64(bitPattern: $0)) }
    case .int16: try fill(tensor, bytes) { Int16(exactly: Int64(bitPattern: $0)) }
    case .int8: try fill(tensor, bytes) { Int8(exactly: Int64(bitPattern: $0)) }
    case .uint16: try fill(tensor, bytes) { UInt16(exactly: $0) }
    case .uint8: try fill(tensor, bytes) { UInt8(exactly: $0) }
    case .bool: try fill(tensor, bytes) { $0 > 1 ? nil : $0 == 1 }
    case .float16: try fill(tensor, bytes) { UInt16(exactly: $0).map(Float.init(halfBits:)) }
    case .bfloat16:
      try fill(tensor, bytes) { UInt16(exactly: $0).map { Float(bitPattern: UInt32($0) << 16) } }
    case .float32, .float64: break
    }
    return tensor
  }

  private func fill<T: TensorElement>(
    _ tensor: Tensor, _ bytes: [UInt8], _ convert: (UInt64) -> T?
  ) throws {
    try tensor.withMutableElements(of: T.self) { target in
      var index = 0
      for (field, range) in typed {
        var reader = try ByteReader(bytes, range: range, path: path)
        while !reader.isAtEnd {
          let bits = try reader.varint()
          guard let value = convert(bits) else {
            throw LaminaError(
              .format,
              "expected \(Self.typeName(dataType)) in \(field.rawValue), found \(Int64(bitPattern: bits))"
            )
          }
          target[index] = value
          index += 1
        }
      }
    }
  }
}

extension Float {
  /// The number with these IEEE 754 binary16 bits.
  init(halfBits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:
      let magnitude = Float(fraction) * 0x1p-24
      self = sign == 0 ? magnitude : -magnitude
    case 31: self.init(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: self.init(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }
}
