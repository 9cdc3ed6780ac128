import LaminaCore
import LaminaKernels

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
    let (x, y) = (call.inputs[0], call.outputs[0])
    run(call.seed) {
      lk_f32_dropout(call.pool.handle, $0, x.floats, y.floats, false, x.shape.count)
    }
    guard returnsMask else { return }
    let (random, mask) = (CounterRandom(seed: call.seed), call.outputs[1].elements(as: Bool.self))
    for index in mask.indices { mask[index] = random.uniform(UInt64(index)) >= rate }
  }

  /// The kernel's constants for numbers of `seed`.
  fileprivate func run(_ seed: UInt64, _ body: (UnsafePointer<lk_dropout>) -> Void) {
    let dropout = lk_dropout(
      key: CounterRandom(seed: seed).key, threshold: UInt32((rate * 0x1p24).rounded(.up)),
      scale: rate < 1 ? 1 / (1 - rate) : 0)
    withUnsafePointer(to: dropout, body)
  }

  package func backward(_ call: BackwardCall) throws {
    guard call.isTraining, rate > 0 else { return call.addFirstGradient() }
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0] else { return }
    run(call.seed) {
      lk_f32_dropout(call.pool.handle, $0, dy.floats, dx.floats, true, dy.shape.count)
    }
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { [outputHalos[0]] }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    DropoutTraining(self, context)
  }
}

/// A dropout of one output in the layout in which its input comes. A number is dropped or kept by its index in the
/// tensor, in every layout the same.
private struct DropoutTraining: PreparedTraining {
  let dropout: Dropout
  let layout: TensorLayout
  let shape: Shape

  var inputLayouts: [TensorLayout]? { [layout] }
  var outputLayouts: [TensorLayout]? { [layout] }
  var gradient: Gradient { Dropout.gradient }
  var scratchBytes: Int { 0 }

  init?(_ dropout: Dropout, _ context: TrainingContext) {
    guard context.isTraining, dropout.rate > 0, !dropout.returnsMask,
      context.inputs[0].type == .float32
    else { return nil }
    self.dropout = dropout
    layout = context.inputLayouts[0]
    shape = context.inputs[0].shape
  }

  private func run(
    _ seed: UInt64, from x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, adds: Bool,
    _ pool: ThreadPool
  ) {
    dropout.run(seed) { dropout in
      switch layout {
      case .plain: lk_f32_dropout(pool.handle, dropout, x, y, adds, shape.count)
      case .blocked(_, let halo):
        lk_f32_dropout_maps(
          pool.handle, dropout, shape[0], shape[1], shape[2], shape[3], halo, x, y, adds)
      }
    }
  }

  func forward(_ call: ForwardCall) throws {
    run(
      call.seed, from: call.inputs[0].floats, to: call.outputs[0].floats, adds: false, call.pool)
  }

  func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0] else { return }
    run(call.seed, from: dy.floats, to: dx.floats, adds: !call.setsInputGradients[0], call.pool)
  }
}
