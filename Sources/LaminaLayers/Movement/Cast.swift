import LaminaCore

/// y = x as elements of type `to`.
///
/// Floating point rounds to the nearest, ties to even. Towards integers a fraction is cut off, numbers beyond
/// the range become its nearest end, and NaN becomes 0; integers towards narrower integers keep their low
/// bits. Towards `bool` everything but zero is true.
///
/// - Input: x, any shape and type. Output: the same shape, type `to`.
package struct Cast: Layer {
  package static let kind: LayerKind = "lamina.cast"
  /// Between `float32` alone.
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let type: ElementType

  package init(attributes: inout AttributeReader) throws {
    type = try attributes.elementType("to")
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.choice("to", type) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(inputs[0].shape, type)]
  }

  package func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0], call.outputs[0])
    if x.type == y.type, x.type != .bool { return call.copyFirstInput() }
    let count = x.shape.count
    let chunk = 1 << 16
    call.pool.parallelFor((count + chunk - 1) / chunk) { index in
      let first = index * chunk
      convertElements(
        min(chunk, count - first), from: x.baseAddress + first * x.type.byteCount, x.type,
        to: y.baseAddress + first * y.type.byteCount, y.type)
    }
  }

  package func backward(_ call: BackwardCall) throws {
    if type == .float32 { call.addFirstGradient() }
  }
}

private func convertElements(
  _ count: Int, from source: UnsafeRawPointer, _ sourceType: ElementType,
  to target: UnsafeMutableRawPointer, _ targetType: ElementType
) {
  func from<S: CastElement>(_: S.Type) {
    let source = source.assumingMemoryBound(to: S.self)
    func to<T: CastElement>(_: T.Type) {
      let target = target.assumingMemoryBound(to: T.self)
      for index in 0..<count { target[index] = source[index].wide.cast(to: T.self) }
    }
    switch targetType {
    case .float32: to(Float.self)
    case .float64: to(Double.self)
    case .float16: to(HalfBits.self)
    case .bfloat16: to(BFloatBits.self)
    case .int8: to(Int8.self)
    case .int16: to(Int16.self)
    case .int32: to(Int32.self)
    case .int64: to(Int64.self)
    case .uint8: to(UInt8.self)
    case .uint16: to(UInt16.self)
    case .uint32: to(UInt32.self)
    case .uint64: to(UInt64.self)
    case .bool: to(TruthByte.self)
    }
  }
  switch sourceType {
  case .float32: from(Float.self)
  case .float64: from(Double.self)
  case .float16: from(HalfBits.self)
  case .bfloat16: from(BFloatBits.self)
  case .int8: from(Int8.self)
  case .int16: from(Int16.self)
  case .int32: from(Int32.self)
  case .int64: from(Int64.self)
  case .uint8: from(UInt8.self)
  case .uint16: from(UInt16.self)
  case .uint32: from(UInt32.self)
  case .uint64: from(UInt64.self)
  case .bool: from(TruthByte.self)
  }
}
