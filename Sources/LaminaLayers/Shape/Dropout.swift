import LaminaCore

/// y = x. While training, y = x·m / (1 − rate) with independent m ∈ {0, 1}, P(m = 0) = `rate`
/// (Srivastava et al. 2014).
///
/// With `mask` the second output is m as `bool`, all true outside training.
package struct Dropout: Layer {
  package static let kind: LayerKind = "lamina.dropout"
  package static var outputMemory: OutputMemory { .aliasesInput }
  package static var isRandom: Bool { true }
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
    let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
    let random = CounterRandom(seed: call.seed)
    let scale = rate < 1 ? 1 / (1 - rate) : 0
    for index in 0..<call.inputs[0].shape.count {
      let isKept = random.uniform(UInt64(index)) >= rate
      y[index] = isKept ? x[index] * scale : 0
      if returnsMask { call.outputs[1].elements(as: Bool.self)[index] = isKept }
    }
  }
}
