import LaminaCore

/// y = a ∘ b as `bool`, where ∘ is =, <, ≤, > or ≥; for `float32`, integers and, for equality, `bool`.
package struct Compare: Layer {
  package static let kind: LayerKind = "lamina.compare"
  package static var arity: ClosedRange<Int> { 2...2 }
  enum Operation: String, CaseIterable {
    case equal, less, greater
    case lessOrEqual = "less_or_equal"
    case greaterOrEqual = "greater_or_equal"
  }
  let operation: Operation

  package init(attributes: inout AttributeReader) throws {
    operation = try attributes.choice("operation")
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.choice("operation", operation)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    if try inputs.commonType() != .bool || operation != .equal {
      _ = try inputs[0].expectingNumbers()
    }
    return [TensorSpec(try inputs[0].shape.broadcast(with: inputs[1].shape), .bool)]
  }

  package func forward(_ call: ForwardCall) throws {
    let (a, b, y) = (call.inputs[0], call.inputs[1], call.outputs[0])
    let shape = Broadcast(a.shape, b.shape, to: y.shape)
    func run<T: Comparable & TensorElement>(_: T.Type) {
      switch operation {
      case .equal: shape.map(a, b, y) { (a: T, b: T) in a == b }
      case .less: shape.map(a, b, y) { (a: T, b: T) in a < b }
      case .lessOrEqual: shape.map(a, b, y) { (a: T, b: T) in a <= b }
      case .greater: shape.map(a, b, y) { (a: T, b: T) in a > b }
      case .greaterOrEqual: shape.map(a, b, y) { (a: T, b: T) in a >= b }
      }
    }
    if let integer = a.type.integerType {
      run(integer)
    } else if a.type == .bool {
      shape.map(a, b, y) { (a: Bool, b: Bool) in a == b }
    } else {
      run(Float.self)
    }
  }
}
