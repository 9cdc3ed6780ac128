import LaminaCore
import LaminaKernels

/// y = min(max(x, min), max), for `float32` and integers; `max` wins where the bounds cross.
///
/// Bounds are attributes, or the second and third input: scalars of the first one's type.
package struct Clip: Layer {
  package static let kind: LayerKind = "lamina.clip"
  package static var arity: ClosedRange<Int> { 1...3 }
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: true) }
  let minimum: Float
  let maximum: Float

  package init(attributes: inout AttributeReader) throws {
    minimum = try attributes.float("min", default: -.infinity)
    maximum = try attributes.float("max", default: .infinity)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("min", minimum)
    attributes.float("max", maximum)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let spec = try inputs[0].expectingNumbers()
    for (name, bound) in zip(["min", "max"], inputs.dropFirst()) {
      guard bound.type == spec.type, bound.shape.count == 1 else {
        throw LaminaError(
          .shape, "expected '\(name)' to be one \(spec.type.rawValue) number, found \(bound)")
      }
    }
    return [spec]
  }

  private func function(_ minimum: Float, _ maximum: Float) -> ElementwiseFunction {
    ElementwiseFunction(code: LK_CLIP, a: minimum, b: maximum)
  }

  package func forward(_ call: ForwardCall) throws {
    let (x, y, bounds) = (call.inputs[0], call.outputs[0], call.inputs.dropFirst())
    guard let integer = x.type.integerType else {
      let lower = bounds.first?.floats.pointee ?? minimum
      let upper = bounds.dropFirst().first?.floats.pointee ?? maximum
      return function(lower, upper).run(x.shape.count, from: x.floats, to: y.floats, call.pool)
    }
    func run<T: IntegerElement>(_: T.Type) {
      let lower =
        bounds.first?.elements(as: T.self)[0] ?? T(saturating: Double(minimum).rounded(.up))
      let upper =
        bounds.dropFirst().first?.elements(as: T.self)[0]
        ?? T(saturating: Double(maximum).rounded(.down))
      map(x, y) { (v: T) in min(max(v, lower), upper) }
    }
    run(integer)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0] else { return }
    func bound(_ input: Int) -> Float? {
      input < call.inputs.count ? call.inputs[input]?.floats.pointee : nil
    }
    let (lower, upper) = (bound(1) ?? minimum, bound(2) ?? maximum)
    function(lower, upper).addGradient(call)
    guard let x = call.inputs[0] else { return }
    let (values, gradients) = (x.elements(as: Float.self), dy.elements(as: Float.self))
    /// Adds the gradients of the elements that became a bound.
    func add(_ input: Int, where isBound: (Float) -> Bool) {
      guard input < call.inputGradients.count, let d = call.inputGradients[input] else { return }
      let sum = zip(values, gradients).reduce(0.0) { isBound($1.0) ? $0 + Double($1.1) : $0 }
      d.floats.pointee += Float(sum)
    }
    add(1) { $0 < lower && lower <= upper }
    add(2) { max($0, lower) > upper }
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { outputHalos }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { inputs.count == 1 }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    guard context.inputs.count == 1, context.inputs[0].type == .float32 else { return nil }
    return PreparedElementwise(function(minimum, maximum), context)
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    guard context.inputs.count == 1, context.inputs[0].type == .float32 else { return nil }
    return PreparedElementwiseTraining(function(minimum, maximum), context)
  }
}
