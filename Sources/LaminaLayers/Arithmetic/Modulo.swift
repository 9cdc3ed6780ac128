import LaminaCore
import LaminaKernels

/// y = a − b·⌊a/b⌋, which has the sign of b; with `fmod = true` a − b·trunc(a/b), which has the sign of a.
/// Integers, and with `fmod` `float32`; an integer modulo 0 is 0.
package struct Modulo: Layer {
  package static let kind: LayerKind = "lamina.mod"
  package static var arity: ClosedRange<Int> { 2...2 }
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  let fmod: Bool

  package init(attributes: inout AttributeReader) throws {
    fmod = try attributes.bool("fmod", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) { attributes.bool("fmod", fmod) }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs.commonType()
    let type = try inputs[0].expectingNumbers().type
    guard fmod || type.isInteger else {
      throw LaminaError(.shape, "expected integer elements without fmod, found \(type.rawValue)")
    }
    return [TensorSpec(try inputs[0].shape.broadcast(with: inputs[1].shape), type)]
  }

  private func remainder<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
    if b == 0 { return 0 }
    let r = a.remainderReportingOverflow(dividingBy: b).partialValue
    return !fmod && r != 0 && (r < 0) != (b < 0) ? r &+ b : r
  }

  package func forward(_ call: ForwardCall) throws {
    let (a, b, y) = (call.inputs[0], call.inputs[1], call.outputs[0])
    let shape = Broadcast(a.shape, b.shape, to: y.shape)
    guard let integer = y.type.integerType else {
      return shape.run(LK_FMOD, a.floats, b.floats, y.floats, call.pool)
    }
    func run<T: IntegerElement>(_: T.Type) { shape.map(a, b, y) { remainder($0 as T, $1 as T) } }
    run(integer)
  }
}
