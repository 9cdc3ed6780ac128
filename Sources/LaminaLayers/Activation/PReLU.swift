import LaminaCore
import LaminaKernels

/// y = x < 0 ? slope·x : x (He et al. 2015).
///
/// The slope is the parameter `weight` [C], or [1] with `shared = true`; or a second input that broadcasts to
/// the first.
package struct PReLU: Layer {
  package static let kind: LayerKind = "lamina.prelu"
  package static var arity: ClosedRange<Int> { 1...2 }
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  let shared: Bool

  package init(attributes: inout AttributeReader) throws {
    shared = try attributes.bool("shared", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.bool("shared", shared)
  }

  package func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    guard inputs.count == 1 else { return [] }
    let channels = shared ? 1 : try inputs[0].channels
    return [ParameterSpec("weight", try Shape([channels]), initializer: .constant(0.25))]
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let spec = try inputs[0].expecting(.float32)
    if inputs.count == 2 {
      let slope = try inputs[1].expecting(.float32).shape
      guard let both = try? spec.shape.broadcast(with: slope), both == spec.shape else {
        throw LaminaError(
          .shape, "expected a slope that broadcasts to \(spec.shape), found \(slope)")
      }
    } else if !shared {
      _ = try spec.channels
    }
    return [spec]
  }

  package func forward(_ call: ForwardCall) throws {
    let x = call.inputs[0]
    let isInput = call.inputs.count == 2
    let slope = isInput ? call.inputs[1] : call.parameters[0]
    Broadcast(x.shape, try aligned(slope.shape, to: x.shape, isInput), to: x.shape)
      .run(LK_PRELU, x.floats, slope.floats, call.outputs[0].floats, call.pool)
  }

  /// The shape in which a slope broadcasts to `x`.
  private func aligned(_ slope: Shape, to x: Shape, _ isInput: Bool) throws -> Shape {
    if isInput || shared { return slope }
    return try Shape([slope.count] + x.dimensions.dropFirst(2).map { _ in 1 })
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    2 * inputs[0].byteCount
  }

  package func backward(_ call: BackwardCall) throws {
    let isInput = call.inputs.count == 2
    guard let dy = call.outputGradients[0], let x = call.inputs[0],
      let slope = isInput ? call.inputs[1] : call.parameters[0]
    else { return }
    let shape = try aligned(slope.shape, to: x.shape, isInput)
    Broadcast(x.shape, shape, to: x.shape).addGradients(
      LK_PRELU, x, slope, dy,
      [call.inputGradients[0], isInput ? call.inputGradients[1] : call.parameterGradients[0]],
      sums: [BroadcastSum(x.shape, in: x.shape), BroadcastSum(shape, in: x.shape)],
      scratch: call.floats, call.pool)
  }
}

extension TensorSpec {
  /// The extent of axis 1.
  ///
  /// - Throws: `shape` when there is none.
  var channels: Int {
    get throws {
      guard shape.rank >= 2 else {
        throw LaminaError(.shape, "expected at least 2 axes, found \(shape)")
      }
      return shape[1]
    }
  }
}
