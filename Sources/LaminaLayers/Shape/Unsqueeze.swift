import LaminaCore

/// y = x with axes of extent 1 at `axes`, an attribute or the second input, counted in the output.
package struct Unsqueeze: Layer {
  package static let kind: LayerKind = "lamina.unsqueeze"
  package static var arity: ClosedRange<Int> { 1...2 }
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let axes: [Int]?

  package init(attributes: inout AttributeReader) throws {
    axes = try attributes.optionalInts("axes")
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.ints("axes", axes) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let axes = try requiredInts("axes", attribute: axes, input: 1, of: inputs)
    let shape = inputs[0].shape
    let ones = try Shape([Int](repeating: 1, count: min(shape.rank + axes.count, 100)))
    let added = try ones.distinctAxes(axes)
    var rest = shape.dimensions.makeIterator()
    let extents = ones.dimensions.indices.map { added.contains($0) ? 1 : rest.next() ?? 1 }
    return [TensorSpec(try Shape(extents), inputs[0].type)]
  }

  package func forward(_ call: ForwardCall) throws { call.copyFirstInput() }

  package func backward(_ call: BackwardCall) throws { call.addFirstGradient() }
}
