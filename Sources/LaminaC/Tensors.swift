import CLamina
import LaminaCore

extension lamina_tensor {
  /// The element type of an input.
  ///
  /// - Throws: `argument` when the number is none of the header's.
  func elementType() throws -> ElementType {
    if let type = ElementType(code: type) { return type }
    throw LaminaError(.argument, "expected an element type of lamina.h, found \(type)")
  }

  /// Whether the extents are those of `shape`.
  func matches(_ shape: Shape) -> Bool {
    guard rank == shape.rank else { return false }
    return withUnsafeBytes(of: self.shape) { bytes in
      let extents = bytes.assumingMemoryBound(to: Int64.self)
      for axis in 0..<shape.rank where extents[axis] != shape[axis] { return false }
      return true
    }
  }

  /// The extents.
  ///
  /// - Throws: `shape` when they are not those of a tensor.
  func makeShape() throws -> Shape {
    guard rank >= 0, rank <= LAMINA_MAX_RANK else {
      throw LaminaError(.shape, "expected a rank in 0...\(LAMINA_MAX_RANK), found \(rank)")
    }
    let extents = withUnsafeBytes(of: shape) { bytes in
      bytes.assumingMemoryBound(to: Int64.self).prefix(Int(rank)).map { Int(clamping: $0) }
    }
    return try Shape(extents)
  }

  /// Writes type and shape of a result.
  mutating func describe(_ shape: Shape, _ type: ElementType) {
    self.type = type.code
    needed = shape.count * type.byteCount
    rank = Int32(truncatingIfNeeded: shape.rank)
    withUnsafeMutableBytes(of: &self.shape) { bytes in
      let extents = bytes.assumingMemoryBound(to: Int64.self)
      for axis in extents.indices {
        extents[axis] = axis < shape.rank ? Int64(truncatingIfNeeded: shape[axis]) : 0
      }
    }
  }

  /// The caller's memory as the place of a result.
  ///
  /// - Throws: `shape` when the caller expects another type, `argument` when the memory is misaligned,
  ///   `buffer` when it is too short.
  func checkTarget(_ shape: Shape, _ type: ElementType) throws {
    guard self.type == 0 || self.type == type.code else {
      let expected = try elementType().rawValue
      throw LaminaError(.shape, "expected \(expected), found a result of \(type.rawValue)")
    }
    try checkAlignment(type)
    let byteCount = shape.count * type.byteCount
    guard self.byte_count >= byteCount, data != nil || byteCount == 0 else {
      throw LaminaError(
        .buffer,
        "expected \(byteCount) bytes for \(type.rawValue) \(shape), found \(data == nil ? 0 : self.byte_count)"
      )
    }
  }

  /// Checks the caller's memory for a result; says what it takes when it is too short.
  ///
  /// - Throws: as `checkTarget`; `argument` when it does not fit memory.
  mutating func expect(_ shape: Shape, _ type: ElementType) throws {
    _ = try addresses()
    do {
      try checkTarget(shape, type)
    } catch let failure as LaminaError where failure.code == .buffer {
      describe(shape, type)
      throw failure
    }
  }

  /// Takes over the elements of a tensor.
  ///
  /// - Throws: as `expect`.
  mutating func receive(_ tensor: Tensor) throws {
    try expect(tensor.shape, tensor.type)
    tensor.withBytes { bytes in
      if let base = bytes.baseAddress { data?.copyMemory(from: base, byteCount: bytes.count) }
    }
    describe(tensor.shape, tensor.type)
  }

  /// - Throws: `argument` when `data` is not aligned to the size of an element.
  func checkAlignment(_ type: ElementType) throws {
    guard Int(bitPattern: data) & (type.byteCount - 1) == 0 else {
      throw LaminaError(.argument, "expected data aligned to \(type.byteCount) bytes")
    }
  }

  /// The bytes at `data`, in addresses.
  ///
  /// - Throws: `argument` when they do not fit memory.
  func addresses() throws -> Range<UInt> {
    let start = UInt(bitPattern: data)
    guard data != nil, byte_count != 0 else { return start..<start }
    let (end, overflow) = start.addingReportingOverflow(UInt(bitPattern: byte_count))
    guard byte_count > 0, !overflow else {
      throw LaminaError(.argument, "expected a byte_count that fits memory")
    }
    return start..<end
  }
}
