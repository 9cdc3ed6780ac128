import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// y = x / (1 + e^(−beta·x)) (Ramachandran et al. 2017); x and y of any shape.
public struct Swish: Layer {
  /// Name in graph files.
  public static let kind: LayerKind = "com.example.swish"
  /// The slope follows from the input.
  public static let gradient = Gradient.supported(inputs: true, outputs: false)
  /// Steepness of the gate.
  let beta: Float

  /// Reads `beta`.
  public init(attributes: inout AttributeReader) throws {
    beta = try attributes.float("beta", default: 1)
  }

  /// Writes `beta`.
  public func encode(into attributes: inout AttributeWriter) { attributes.float("beta", beta) }

  /// Like the input, which is `float32`.
  public func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    guard inputs[0].type == .float32 else {
      throw LaminaError(.shape, "expected a float32 input, found \(inputs[0].type)")
    }
    return [TensorSpec(inputs[0].shape)]
  }

  /// y = x·gate(x).
  public func forward(_ call: ForwardCall) throws {
    nonisolated(unsafe) let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
    share(call.inputs[0].shape.count, call.pool) { block in
      for i in block { y[i] = value(x[i]) }
    }
  }

  /// dx += dy·(gate + beta·x·gate·(1 − gate)).
  public func backward(_ call: BackwardCall) throws {
    guard let input = call.inputs[0], let outer = call.outputGradients[0],
      let inner = call.inputGradients[0]
    else { return }
    nonisolated(unsafe) let (x, dy, dx) = (input.floats, outer.floats, inner.floats)
    share(input.shape.count, call.pool) { block in
      for i in block { dx[i] += dy[i] * slope(x[i]) }
    }
  }

  private func gate(_ x: Float) -> Float { 1 / (1 + exp(-beta * x)) }

  /// Where the gate is shut, an infinite `x` counts as 0.
  private func value(_ x: Float) -> Float {
    let gate = gate(x)
    return gate == 0 ? 0 : x * gate
  }

  private func slope(_ x: Float) -> Float {
    let gate = gate(x)
    return gate == 0 || gate == 1 ? gate : gate + beta * x * gate * (1 - gate)
  }

  /// Hands out blocks of the indices below `count` to threads.
  private func share(_ count: Int, _ pool: ThreadPool, _ body: @Sendable (Range<Int>) -> Void) {
    let block = 4096
    pool.parallelFor((count + block - 1) / block) { index in
      body(index * block..<min((index + 1) * block, count))
    }
  }
}
