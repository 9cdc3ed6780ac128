import LaminaCore

/// Integers that a node states as an attribute, or as an input whose value must be known when planning.
///
/// - Returns: nil when there is neither.
/// - Throws: `shape` when the input's value is computed at run time, is no vector of `int32` or `int64`, or
///   lies outside `range`; `graph` when there are both.
func plannedInts(
  _ name: String, attribute: [Int]?, input index: Int, of inputs: [TensorSpec],
  in range: ClosedRange<Int> = -Int(Int32.max)...Int(Int32.max)
) throws -> [Int]? {
  guard index < inputs.count else { return attribute }
  guard attribute == nil else {
    throw LaminaError(.graph, "expected '\(name)' as an attribute or as an input, found both")
  }
  let value = try plannedValue(name, input: index, of: inputs)
  guard value.shape.rank <= 1 else {
    throw LaminaError(.shape, "expected a vector for '\(name)', found shape \(value.shape)")
  }
  let numbers: [Int]
  switch value.type {
  case .int64: numbers = value.elements(as: Int64.self).map(Int.init)
  case .int32: numbers = value.elements(as: Int32.self).map(Int.init)
  default:
    throw LaminaError(
      .shape, "expected int64 or int32 for '\(name)', found \(value.type.rawValue)")
  }
  if let wrong = numbers.first(where: { !range.contains($0) }) {
    throw LaminaError(
      .shape, "expected '\(name)' in \(range.lowerBound)...\(range.upperBound), found \(wrong)")
  }
  return numbers
}

/// As `plannedInts`, where an attribute or input must be there.
func requiredInts(
  _ name: String, attribute: [Int]?, input index: Int, of inputs: [TensorSpec],
  in range: ClosedRange<Int> = -Int(Int32.max)...Int(Int32.max)
) throws -> [Int] {
  guard
    let numbers = try plannedInts(name, attribute: attribute, input: index, of: inputs, in: range)
  else {
    throw LaminaError(.graph, "expected '\(name)' as an attribute or as an input, found neither")
  }
  return numbers
}

/// The value of an input that must be known when planning.
func plannedValue(_ name: String, input index: Int, of inputs: [TensorSpec]) throws -> Tensor {
  guard let value = inputs[index].value else {
    throw LaminaError(
      .shape,
      "expected a value known when planning for '\(name)', found one computed at run time")
  }
  return value
}

extension AttributeReader {
  /// Integers, or nil where the attribute is absent.
  mutating func optionalInts(
    _ name: String, in range: ClosedRange<Int> = -Int(Int32.max)...Int(Int32.max)
  ) throws -> [Int]? {
    try value(name) == nil ? nil : ints(name, in: range)
  }
}

extension AttributeWriter {
  /// Writes integers where there are some to write.
  mutating func ints(_ name: String, _ values: [Int]?) {
    if let values { ints(name, values) }
  }
}

extension Shape {
  /// Axes counted from 0, each at most once.
  ///
  /// - Throws: `shape` when one lies outside the shape or occurs twice.
  func distinctAxes(_ list: [Int]) throws -> [Int] {
    let resolved = try list.map { try axis($0) }
    guard Set(resolved).count == resolved.count else {
      throw LaminaError(.shape, "expected distinct axes, found \(list)")
    }
    return resolved
  }

  /// The shape with another extent on one axis.
  func replacing(_ axis: Int, with extent: Int) throws -> Shape {
    var dimensions = dimensions
    dimensions[axis] = extent
    return try Shape(dimensions)
  }
}

/// Specs of inputs; short ones behind the first carry their value, as they do when planning.
func plannedSpecs(of inputs: [TensorView]) throws -> [TensorSpec] {
  try inputs.enumerated().map { index, view in
    let isShort = index > 0 && view.shape.count <= 2 * Shape.maximumRank
    return TensorSpec(view.shape, view.type, value: isShort ? try Tensor(copying: view) : nil)
  }
}

extension ForwardCall {
  /// Specs of the inputs; short ones behind the first carry their value, as they do when planning.
  func plannedSpecs() throws -> [TensorSpec] { try LaminaLayers.plannedSpecs(of: inputs) }

  /// Copies a tensor to the first output.
  func write(_ tensor: Tensor) {
    tensor.withBytes { bytes in
      UnsafeMutableRawBufferPointer(start: outputs[0].baseAddress, count: outputs[0].byteCount)
        .copyMemory(from: bytes)
    }
  }

  /// Copies the first input to the first output, unless they are the same memory.
  func copyFirstInput() {
    let (source, target) = (inputs[0], outputs[0])
    guard source.baseAddress != UnsafeRawPointer(target.baseAddress) else { return }
    target.baseAddress.copyMemory(from: source.baseAddress, byteCount: source.byteCount)
  }
}
