import LaminaCore

/// y = [start, start + delta, start + 2·delta, …] up to, and without, `limit`.
///
/// - Inputs: start, limit, delta: one number each, of one type out of `float32`, `float64` and the integers,
///   known when planning. Output: [max(⌈(limit − start) / delta⌉, 0)].
package struct NumberRange: Layer {
  package static let kind: LayerKind = "lamina.range"
  package static var arity: ClosedRange<Int> { 3...3 }

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let type = inputs[0].type
    for (index, name) in ["start", "limit", "delta"].enumerated() {
      guard inputs[index].shape.count == 1 else {
        throw LaminaError(
          .shape, "expected one number for '\(name)', found shape \(inputs[index].shape)")
      }
      guard inputs[index].type == type else {
        throw LaminaError(
          .shape, "expected \(type.rawValue) for '\(name)', found \(inputs[index].type.rawValue)")
      }
    }
    let values = try ["start", "limit", "delta"].enumerated().map {
      try plannedValue($1, input: $0, of: inputs)
    }
    let count: Int?
    switch type {
    case .float32: count = try floatCount(values, Float.self)
    case .float64: count = try floatCount(values, Double.self)
    case .int8: count = try integerCount(values, Int8.self)
    case .int16: count = try integerCount(values, Int16.self)
    case .int32: count = try integerCount(values, Int32.self)
    case .int64: count = try integerCount(values, Int64.self)
    case .uint8: count = try integerCount(values, UInt8.self)
    case .uint16: count = try integerCount(values, UInt16.self)
    case .uint32: count = try integerCount(values, UInt32.self)
    case .uint64: count = try integerCount(values, UInt64.self)
    case .float16, .bfloat16, .bool:
      throw LaminaError(
        .shape, "expected float32, float64 or integers, found \(type.rawValue)")
    }
    guard let count else {
      throw LaminaError(
        .shape, "expected at most \(Shape.maximumExtent) numbers in the range, found more")
    }
    return [TensorSpec(try Shape([count]), type)]
  }

  /// Nil when there are too many to count.
  private func floatCount<T: TensorElement & BinaryFloatingPoint>(
    _ values: [Tensor], _: T.Type
  ) throws -> Int? {
    let numbers = values.map { Double($0.elements(as: T.self)[0]) }
    guard numbers[2] != 0 else {
      throw LaminaError(.shape, "expected a delta other than 0, found 0")
    }
    let count = ((numbers[1] - numbers[0]) / numbers[2]).rounded(.up)
    guard !count.isNaN else {
      throw LaminaError(
        .shape,
        "expected finite numbers, found start \(numbers[0]), limit \(numbers[1]), delta \(numbers[2])"
      )
    }
    return count <= Double(Shape.maximumExtent) ? Int(max(count, 0)) : nil
  }

  private func integerCount<T: TensorElement & FixedWidthInteger>(
    _ values: [Tensor], _: T.Type
  ) throws -> Int? {
    let numbers = values.map { Int128($0.elements(as: T.self)[0]) }
    guard numbers[2] != 0 else {
      throw LaminaError(.shape, "expected a delta other than 0, found 0")
    }
    let (distance, step) = (numbers[1] - numbers[0], numbers[2])
    let count = distance.signum() == step.signum() ? (distance - step.signum()) / step + 1 : 0
    return count <= Shape.maximumExtent ? Int(count) : nil
  }

  package func forward(_ call: ForwardCall) throws {
    func fill<T: TensorElement & Numeric>(_: T.Type, _ number: (Int, T, T) -> T) {
      let start = call.inputs[0].elements(as: T.self)[0]
      let delta = call.inputs[2].elements(as: T.self)[0]
      let output = call.outputs[0].elements(as: T.self)
      for index in output.indices { output[index] = number(index, start, delta) }
    }
    func fill<T: TensorElement & FixedWidthInteger>(_: T.Type) {
      fill(T.self) { index, start, delta in start &+ T(truncatingIfNeeded: index) &* delta }
    }
    switch call.outputs[0].type {
    case .float32: fill(Float.self) { $1 + Float($0) * $2 }
    case .float64: fill(Double.self) { $1 + Double($0) * $2 }
    case .int8: fill(Int8.self)
    case .int16: fill(Int16.self)
    case .int32: fill(Int32.self)
    case .int64: fill(Int64.self)
    case .uint8: fill(UInt8.self)
    case .uint16: fill(UInt16.self)
    case .uint32: fill(UInt32.self)
    case .uint64: fill(UInt64.self)
    case .float16, .bfloat16, .bool: break
    }
  }
}
