import LaminaCore

/// y = a ∘ b on `bool`, where ∘ is and, or or xor.
package struct Logical: Layer {
  package static let kind: LayerKind = "lamina.logical"
  package static var arity: ClosedRange<Int> { 2...2 }
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  enum Operation: String, CaseIterable { case and, or, xor }
  let operation: Operation

  package init(attributes: inout AttributeReader) throws {
    operation = try attributes.choice("operation")
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.choice("operation", operation)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    for input in inputs { _ = try input.expecting(.bool) }
    return [TensorSpec(try inputs[0].shape.broadcast(with: inputs[1].shape), .bool)]
  }

  package func forward(_ call: ForwardCall) throws {
    let (a, b, y) = (call.inputs[0], call.inputs[1], call.outputs[0])
    let shape = Broadcast(a.shape, b.shape, to: y.shape)
    switch operation {
    case .and: shape.map(a, b, y) { (a: Bool, b: Bool) in a && b }
    case .or: shape.map(a, b, y) { (a: Bool, b: Bool) in a || b }
    case .xor: shape.map(a, b, y) { (a: Bool, b: Bool) in a != b }
    }
  }
}
