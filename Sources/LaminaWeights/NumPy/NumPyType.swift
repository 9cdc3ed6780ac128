import LaminaCore

/// An element type as NumPy writes it: `<f4`, `|b1`, `>i8`.
struct NumPyType: Sendable, Hashable {
  /// The type of Lamina.
  var type: ElementType
  /// Whether the most significant byte stands first.
  var isBigEndian: Bool

  private static let codes: [(code: String, type: ElementType)] = [
    ("f2", .float16), ("f4", .float32), ("f8", .float64), ("i1", .int8), ("i2", .int16),
    ("i4", .int32), ("i8", .int64), ("u1", .uint8), ("u2", .uint16), ("u4", .uint32),
    ("u8", .uint64), ("b1", .bool),
  ]

  /// - Throws: `unsupported` for a type that Lamina has not.
  init(_ text: String) throws {
    let order = text.first.flatMap { "<>|=".contains($0) ? $0 : nil }
    let code = order == nil ? text[...] : text.dropFirst()
    if code.hasPrefix("O") {
      throw LaminaError(.unsupported, "arrays of objects hold code and are not supported")
    }
    guard let type = Self.codes.first(where: { $0.code == code })?.type,
      order != "|" || type.byteCount == 1
    else {
      throw LaminaError(
        .unsupported, "element type '\(text.escapedForDisplay())' is not supported")
    }
    self.type = type
    isBigEndian = order == ">" && type.byteCount > 1
  }

  /// The name of a type in a file that Lamina writes; nil for `bfloat16`, which NumPy has not.
  static func name(of type: ElementType) -> String? {
    codes.first { $0.type == type }.map { (type.byteCount == 1 ? "|" : "<") + $0.code }
  }
}

/// Type, shape and order of an array's elements.
struct NumPyLayout: Sendable {
  var type: NumPyType
  var shape: Shape
  /// Whether the first axis varies fastest.
  var isFortran: Bool

  /// Bytes of all elements.
  var byteCount: Int { shape.count * type.type.byteCount }
  /// Shape and element type.
  var spec: TensorSpec { TensorSpec(shape, type.type) }

  /// Fills `target` by `readStored`, which gives the elements as they are stored, in row-major order and the
  /// machine's byte order.
  ///
  /// - Throws: `format` for Booleans that are neither 0 nor 1; what `readStored` throws.
  func read(
    into target: UnsafeMutableRawBufferPointer,
    _ readStored: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    guard target.count == byteCount else {
      throw LaminaError(
        .argument, "expected a buffer of \(byteCount) bytes, found \(target.count)")
    }
    let size = type.type.byteCount
    if isFortran && shape.dimensions.count(where: { $0 > 1 }) > 1 {
      var strides: [Int] = []
      var step = 1
      for extent in shape.dimensions {
        strides.append(step)
        step *= max(extent, 1)
      }
      let stored = try Tensor(uninitialized: shape, type.type)
      try stored.withMutableBytes(readStored)
      stored.withBytes {
        PickleTensor(storage: 0, offset: 0, shape: shape, strides: strides)
          .gather(from: $0, elementBytes: size, into: target)
      }
    } else {
      try readStored(target)
    }
    if type.isBigEndian {
      var start = 0
      while start < target.count {
        for byte in 0..<size / 2 { target.swapAt(start + byte, start + size - 1 - byte) }
        start += size
      }
    }
    if type.type == .bool, !target.allSatisfy({ $0 <= 1 }) {
      throw LaminaError(.format, "expected bytes 0 or 1 in a tensor of bool")
    }
  }
}
