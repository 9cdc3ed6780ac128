import LaminaCore

/// y = x as a matrix: the axes before `axis` become its rows, the others its columns.
///
/// - Input: [d₀, …]. Output: [d₀ ⋯ d_{axis−1}, d_axis ⋯]. `axis` (1) may equal the rank.
package struct Flatten: Layer {
  package static let kind: LayerKind = "lamina.flatten"
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let axis: Int

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: 1)
  }

  package func encode(into attributes: inout AttributeWriter) {
    if axis != 1 { attributes.int("axis", axis) }
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = inputs[0].shape
    let axis = try shape.axis(axis, inclusive: true)
    let output = try Shape([shape.count(before: axis), shape.count(from: axis)])
    return [TensorSpec(output, inputs[0].type)]
  }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool {
    (try? inputs[0].shape.axis(axis, inclusive: true)) == 1
  }

  package func forward(_ call: ForwardCall) throws { call.copyFirstInput() }

  package func backward(_ call: BackwardCall) throws { call.addFirstGradient() }
}
