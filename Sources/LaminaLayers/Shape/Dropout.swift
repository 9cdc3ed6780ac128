import LaminaCore

/// y = x. While training, y = x·m / (1 − rate) with independent m ∈ {0, 1}, P(m = 0) = `rate`
/// (Srivastava et al. 2014).
///
/// With `mask` the second output is m as `bool`, all true outside training.
package struct Dropout: Layer {
  package static let kind: LayerKind = "lamina.dropout"
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var isRandom: Bool { true }
  package static var gradient: Gradient { .supported(inputs: false, outputs: false) }
  let rate: Float
  let returnsMask: Bool

  package init(attributes: inout AttributeReader) throws {
    rate = try attributes.float("rate", default: 0.5)
    guard rate >= 0, rate <= 1 else {
      throw LaminaError(.graph, "expected attribute 'rate' in 0...1, found \(rate)")
    }
    returnsMask = try attributes.bool("mask", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.float("rate", rate)
    if returnsMask { attributes.bool("mask", true) }
  }

  package var outputCount: Int { returnsMask ? 2 : 1 }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let output = TensorSpec(inputs[0].shape, inputs[0].type)
    return returnsMask ? [output, TensorSpec(output.shape, .bool)] : [output]
  }

  package func forward(_ call: ForwardCall) throws {
    guard call.isTraining, rate > 0 else {
      call.copyFirstInput()
      if returnsMask {
        let mask = call.outputs[1]
        mask.baseAddress.initializeMemory(as: UInt8.self, repeating: 1, count: mask.byteCount)
      }
      return
    }
    guard call.inputs[0].type == .float32 else {
      throw LaminaError(
        .unsupported, "expected float32 to train, found \(call.inputs[0].type.rawValue)")
    }
    drop(call.inputs[0], to: call.outputs[0].floats, adds: false, call.seed, call.pool)
    guard returnsMask else { return }
    let (random, mask) = (CounterRandom(seed: call.seed), call.outputs[1].elements(as: Bool.self))
    for index in mask.indices { mask[index] = random.uniform(UInt64(index)) >= rate }
  }

  /// y = x·m / (1 − rate), or with `adds` y += x·m / (1 − rate).
  private func drop(
    _ x: TensorView, to y: UnsafeMutablePointer<Float>, adds: Bool, _ seed: UInt64,
    _ pool: ThreadPool
  ) {
    let random = CounterRandom(seed: seed)
    let scale = rate < 1 ? 1 / (1 - rate) : 0
    let (count, chunk) = (x.shape.count, 1 << 14)
    nonisolated(unsafe) let (x, y) = (x.floats, y)
    pool.parallelFor((count + chunk - 1) / chunk) { number in
      for index in number * chunk..<min((number + 1) * chunk, count) {
        let product = random.uniform(UInt64(index)) >= rate ? x[index] * scale : 0
        y[index] = adds ? y[index] + product : product
      }
    }
  }

  package func backward(_ call: BackwardCall) throws {
    guard call.isTraining, rate > 0 else { return call.addFirstGradient() }
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0] else { return }
    drop(dy, to: dx.floats, adds: true, call.seed, call.pool)
  }
}
