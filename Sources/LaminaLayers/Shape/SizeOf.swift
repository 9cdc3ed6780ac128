import LaminaCore

/// y = the number of elements of x, a scalar `int64`.
package struct SizeOf: Layer {
  package static let kind: LayerKind = "lamina.size"

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(constant: try value(of: inputs[0].shape))]
  }

  private func value(of shape: Shape) throws -> Tensor {
    try Tensor(.scalar, [Int64(shape.count)])
  }

  package func forward(_ call: ForwardCall) throws {
    call.write(try value(of: call.inputs[0].shape))
  }
}
