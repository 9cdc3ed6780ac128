import LaminaCore

/// y = a ∘ b on `bool`, where ∘ is and, or or xor.
public struct Logical: Layer {
  /// `lamina.logical`.
  public static let kind: LayerKind = "lamina.logical"
  public static var arity: ClosedRange<Int> { 2...2 }
  public static var outputMemory: OutputMemory { .mayOverwriteInput }
  enum Operation: String, CaseIterable { case and, or, xor }
  let operation: Operation

  public init(attributes: inout AttributeReader) throws {
    operation = try attributes.choice("operation")
  }

  public func encode(into attributes: inout AttributeWriter) {
    attributes.choice("operation", operation)
  }

  public func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    for input in inputs { _ = try input.expecting(.bool) }
    return [TensorSpec(try inputs[0].shape.broadcast(with: inputs[1].shape), .bool)]
  }

  public func forward(_ call: ForwardCall) throws {
    let (a, b, y) = (call.inputs[0], call.inputs[1], call.outputs[0])
    let shape = Broadcast(a.shape, b.shape, to: y.shape)
    switch operation {
    case .and: shape.map(a, b, y) { (a: Bool, b: Bool) in a && b }
    case .or: shape.map(a, b, y) { (a: Bool, b: Bool) in a || b }
    case .xor: shape.map(a, b, y) { (a: Bool, b: Bool) in a != b }
    }
  }
}
