import Lamina
import LaminaTestSupport
import Testing

/// y = x · factor, with switchable mistakes: the harness must find each.
private struct Scaling: Layer {
  enum Mistake: String, CaseIterable, Sendable {
    case none, forgetsAttribute, leavesElement, writesBehind, wrongShape, wrongResult, readsScratch
    case dependsOnThreads, overwritesInput, wrongGradient, overwritesGradient, gradientNeedsOthers
  }

  static let kind: LayerKind = "test.scaling"
  static let outputMemory = OutputMemory.mayOverwriteInput
  static let gradient = Gradient.supported(inputs: true, outputs: false)
  let factor: Float
  let mistake: Mistake

  init(attributes: inout AttributeReader) throws {
    factor = try attributes.float("factor", default: 2)
    mistake = try attributes.choice("mistake", default: .some(.none))
  }

  func encode(into attributes: inout AttributeWriter) {
    if mistake != .forgetsAttribute { attributes.float("factor", factor) }
    attributes.choice("mistake", mistake)
  }

  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("weight", [1], initializer: .ones)]
  }

  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    mistake == .wrongShape ? [TensorSpec([inputs[0].shape.count])] : [inputs[0]]
  }

  func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int { 4 }

  func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0].floats, call.outputs[0].floats)
    let count = call.inputs[0].shape.count
    let scale = factor * call.parameters[0].floats[0]
    for index in 0..<(mistake == .leavesElement ? count - 1 : count) { y[index] = x[index] * scale }
    switch mistake {
    case .writesBehind: y[count] = 0
    case .wrongResult: y[0] += 1
    case .readsScratch: y[0] = call.scratch.load(as: Float.self)
    case .dependsOnThreads: y[0] += Float(call.pool.threadCount - 1) * 0x1p-23
    case .overwritesInput: UnsafeMutablePointer(mutating: x)[0] = 5
    default: break
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0], let dy = call.outputGradients[0] else { return }
    if let dx = call.inputGradients[0] {
      let scale = (mistake == .wrongGradient ? 1 : factor) * call.parameters[0].floats[0]
      for index in 0..<x.shape.count {
        if mistake == .overwritesGradient { dx.floats[index] = 0 }
        dx.floats[index] += dy.floats[index] * scale
      }
    }
    if let dw = call.parameterGradients[0] {
      if mistake == .gradientNeedsOthers, call.inputGradients[0] == nil { return }
      for index in 0..<x.shape.count { dw.floats[0] += dy.floats[index] * x.floats[index] * factor }
    }
  }
}

struct LayerHarnessTests {
  private func problems(_ mistake: Scaling.Mistake) -> [String] {
    LayerHarness.problems(
      of: LayerDefinition(Scaling.self, provider: "test"),
      cases: [LayerCase(["factor": 3.0, "mistake": .string(mistake.rawValue)], [[2, 3]])]
    ) { call in [call.inputs[0].map { $0 * 3 * call.parameters[0][0] }] }
  }

  @Test func acceptsACorrectLayer() { #expect(problems(.none) == []) }

  @Test(arguments: [
    (Scaling.Mistake.forgetsAttribute, "forward: output 0 differs first at element 0"),
    (.leavesElement, "forward: output 0 depends on what was in memory, first at element 5"),
    (.writesBehind, "forward: bytes around output 0 are overwritten"),
    (.wrongShape, "inferred shapes [[6]], the reference gives [[2, 3]]"),
    (.wrongResult, "forward: output 0 differs first at element 0"),
    (.readsScratch, "forward: output 0 depends on what was in memory, first at element 0"),
    (.dependsOnThreads, "two threads and one: output 0 differs first at element 0"),
    (.overwritesInput, "forward: an input or parameter is overwritten"),
    (.wrongGradient, "the gradient of input 0 at element 0"),
    (.overwritesGradient, "the gradient of input 0 at element 0"),
    (.gradientNeedsOthers, "the gradient of parameter weight depends on which others are nil"),
  ])
  fileprivate func finds(_ mistake: Scaling.Mistake, _ finding: String) {
    let problems = problems(mistake)
    #expect(problems.contains { $0.contains(finding) }, "found \(problems)")
  }
}
