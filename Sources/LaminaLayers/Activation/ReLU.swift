import LaminaCore
import LaminaKernels

/// y = max(x, 0), for `float32` and integers.
public struct ReLU: Layer {
  /// `lamina.relu`.
  public static let kind: LayerKind = "lamina.relu"
  public static var outputMemory: OutputMemory { .mayOverwriteInput }
  private static let function = ElementwiseFunction(code: LK_RELU)

  public init(attributes: inout AttributeReader) throws {}

  public func encode(into attributes: inout AttributeWriter) {}

  public func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [try inputs[0].expectingNumbers()]
  }

  public func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0], call.outputs[0])
    guard let integer = x.type.integerType else {
      return Self.function.run(x.shape.count, from: x.floats, to: y.floats, call.pool)
    }
    func run<T: IntegerElement>(_: T.Type) { map(x, y) { (v: T) in max(v, 0) } }
    run(integer)
  }

  public func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    context.inputs[0].type == .float32 ? PreparedElementwise(Self.function, context) : nil
  }
}
