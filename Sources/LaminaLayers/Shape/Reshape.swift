import LaminaCore

/// y = x under another shape, element for element in row-major order.
///
/// `shape`, an attribute or the second input: 0 copies the input's extent on that axis (with `allow_zero` it
/// is an extent of 0), one −1 takes what the others leave.
package struct Reshape: Layer {
  package static let kind: LayerKind = "lamina.reshape"
  package static var arity: ClosedRange<Int> { 1...2 }
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let shape: [Int]?
  let allowsZero: Bool

  package init(attributes: inout AttributeReader) throws {
    shape = try attributes.optionalInts("shape")
    allowsZero = try attributes.bool("allow_zero", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.ints("shape", shape)
    if allowsZero { attributes.bool("allow_zero", true) }
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let wanted = try requiredInts("shape", attribute: shape, input: 1, of: inputs)
    let input = inputs[0].shape
    var extents = wanted
    for (axis, extent) in wanted.enumerated() where extent == 0 && !allowsZero {
      guard axis < input.rank else {
        throw LaminaError(
          .shape, "expected an input of more than \(axis) axes for shape \(wanted), found \(input)")
      }
      extents[axis] = input[axis]
    }
    let inferred = extents.indices.filter { extents[$0] == -1 }
    guard inferred.count <= 1 else {
      throw LaminaError(.shape, "expected at most one -1 in 'shape', found \(wanted)")
    }
    if let axis = inferred.first {
      extents[axis] = 1
      let known = try Shape(extents).count
      guard known > 0, input.count % known == 0 else {
        throw LaminaError(
          .shape, "expected an extent for -1 in shape \(wanted), found none for input \(input)")
      }
      extents[axis] = input.count / known
    }
    let output = try Shape(extents)
    guard output.count == input.count else {
      throw LaminaError(
        .shape, "expected \(input.count) elements of input \(input), found shape \(output)")
    }
    return [TensorSpec(output, inputs[0].type)]
  }

  package func forward(_ call: ForwardCall) throws { call.copyFirstInput() }

  package func backward(_ call: BackwardCall) throws { call.addFirstGradient() }
}
