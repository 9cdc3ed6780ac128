import LaminaCore
import LaminaKernels

/// y = max(x, 0), for `float32` and integers.
package struct ReLU: Layer {
  package static let kind: LayerKind = "lamina.relu"
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: false, outputs: true) }
  private static let function = ElementwiseFunction(code: LK_RELU)

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [try inputs[0].expectingNumbers()]
  }

  package func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0], call.outputs[0])
    guard let integer = x.type.integerType else {
      return Self.function.run(x.shape.count, from: x.floats, to: y.floats, call.pool)
    }
    func run<T: IntegerElement>(_: T.Type) { map(x, y) { (v: T) in max(v, 0) } }
    run(integer)
  }

  package func backward(_ call: BackwardCall) throws { Self.function.addGradient(call) }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { outputHalos }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { true }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    context.inputs[0].type == .float32 ? PreparedElementwise(Self.function, context) : nil
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    context.inputs[0].type == .float32 ? PreparedElementwiseTraining(Self.function, context) : nil
  }
}
