import LaminaCore

/// y = `value` (0) in every element.
///
/// - Output: `shape`, an attribute or the only input; type `type` (`float32`).
package struct ConstantOfShape: Layer {
  package static let kind: LayerKind = "lamina.constant_of_shape"
  package static var arity: ClosedRange<Int> { 0...1 }
  let shape: [Int]?
  let type: ElementType
  let value: Number

  package init(attributes: inout AttributeReader) throws {
    shape = try attributes.optionalInts("shape")
    type = try attributes.elementType("type", default: .float32)
    value = try attributes.number("value", default: .int(0))
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("shape", shape)
    attributes.choice("type", type)
    attributes.number("value", value)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let extents = try requiredInts("shape", attribute: shape, input: 0, of: inputs)
    return [TensorSpec(try Shape(extents), type)]
  }

  package func forward(_ call: ForwardCall) throws {
    let output = call.outputs[0]
    func fill<T: BitwiseCopyable>(_: T.Type) {
      output.baseAddress.initializeMemory(
        as: T.self, repeating: value.element(of: type, as: T.self), count: output.shape.count)
    }
    switch type.byteCount {
    case 1: fill(UInt8.self)
    case 2: fill(UInt16.self)
    case 4: fill(UInt32.self)
    default: fill(UInt64.self)
    }
  }
}
