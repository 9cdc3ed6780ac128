import LaminaCore

/// y = the parameter `value`, a buffer of `shape` and `type` (`float32`).
package struct Constant: Layer {
  package static let kind: LayerKind = "lamina.constant"
  package static var arity: ClosedRange<Int> { 0...0 }
  let spec: TensorSpec

  package init(attributes: inout AttributeReader) throws {
    let type = try attributes.elementType("type", default: .float32)
    spec = TensorSpec(try Shape(try attributes.ints("shape")), type)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("shape", spec.shape.dimensions)
    attributes.choice("type", spec.type)
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("value", spec.shape, type: spec.type, role: .buffer, initializer: .zeros)]
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] { [spec] }

  package func forward(_ call: ForwardCall) throws {
    let value = call.parameters[0]
    call.outputs[0].baseAddress.copyMemory(from: value.baseAddress, byteCount: value.byteCount)
  }
}
