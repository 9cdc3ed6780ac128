import Lamina

/// Compares `backward` with central differences of Σ weight·output over random weights and finite outputs.
/// Elements near a kink or a pole, where differences by other steps give another slope, do not count, unless most
/// of them are so; nor do numbers that a step does not change.
struct GradientCheck {
  let layer: any Layer
  let inputs: [Tensor]
  let parameters: [Tensor]
  let parameterSpecs: [ParameterSpec]
  let inputSpecs: [TensorSpec]
  let outputSpecs: [TensorSpec]
  let needsInputs: Bool
  let needsOutputs: Bool
  let row: LayerCase
  let report: (String) -> Void

  private static let pool = ThreadPool(threads: 2)
  private static let randomSeed: UInt64 = 7
  private static let samplesPerTensor = 24

  func check() throws {
    let weights = try outputSpecs.enumerated().map {
      try Tensor(random: $1.shape, $1.type, seed: 500 &+ UInt64($0))
    }
    let saved = try buffer(layer.savedBytes(for: inputSpecs))
    let outputs = try forward(inputs, parameters, saved)
    let wanted =
      inputSpecs.map { $0.type == .float32 && $0.value == nil }
      + zip(parameterSpecs, parameters).map { $0.role == .weight && $1.type == .float32 }
    let bases = try (inputs + parameters).enumerated().map {
      try Tensor(random: $1.shape, .float32, seed: 900 &+ UInt64($0))
    }
    let all = try backward(weights, outputs, saved, bases, wanted)
    for target in wanted.indices where wanted[target] {
      let name =
        target < inputs.count
        ? "input \(target)" : "parameter \(parameterSpecs[target - inputs.count].name)"
      var only = wanted.map { _ in false }
      only[target] = true
      let alone = try backward(weights, outputs, saved, bases, only)
      guard let gradient = all[target], let same = alone[target] else { continue }
      if largestDifference(same.naive.elements, gradient.naive.elements).value > 0 {
        report("the gradient of \(name) depends on which others are nil")
      }
      try compare(gradient, bases[target], target, name, weights, outputs.map(\.naive.elements))
    }
  }

  private func compare(
    _ gradient: Tensor, _ base: Tensor, _ target: Int, _ name: String, _ weights: [Tensor],
    _ values: [[Double]]
  ) throws {
    let tensors = inputs + parameters
    let count = tensors[target].shape.count
    let step = max(1, count / Self.samplesPerTensor)
    let isFinite = values.allSatisfy { $0.allSatisfy(\.isFinite) }
    var excused: [Int] = []
    for index in stride(from: 0, to: count, by: step) {
      func loss(_ offset: Float) throws -> Double {
        var changed = tensors
        changed[target] = try Tensor(copying: tensors[target].view)
        changed[target].withMutableElements(of: Float.self) { $0[index] += offset }
        let outputs = try forward(
          Array(changed[..<inputs.count]), Array(changed[inputs.count...]),
          buffer(layer.savedBytes(for: inputSpecs)))
        var sum = 0.0
        for (number, output) in outputs.enumerated() where output.type == .float32 {
          let (found, weight) = (output.naive.elements, weights[number].naive.elements)
          for i in found.indices where values[number][i].isFinite { sum += found[i] * weight[i] }
        }
        return sum
      }
      func slope(_ before: Float, _ behind: Float) throws -> Double {
        try (loss(behind) - loss(-before)) / Double(before + behind)
      }
      let (far, near) = (row.gradientStep, row.gradientStep / 4)
      let number = tensors[target].withElements(of: Float.self) { $0[index] }
      guard abs(number + near - number - near) < near / 8 else { continue }
      let numeric = try slope(far, far)
      let found = gradient.naive.elements[index] - base.naive.elements[index]
      let limit = row.gradientTolerance * max(1, abs(numeric))
      if abs(found - numeric) <= limit || numeric == 0 && !isFinite { continue }
      let isSmooth =
        try abs(slope(near, near) - numeric) <= limit
        && abs(slope(near, 0) - slope(0, near)) <= 2 * limit
      if isSmooth {
        report(
          "the gradient of \(name) at element \(index): expected \(numeric), found \(found)")
        return
      }
      excused.append(index)
    }
    if excused.count >= 8, 2 * excused.count > (count + step - 1) / step {
      report("most elements of \(name) lie on kinks, such as \(excused)")
    }
  }

  private func buffer(_ bytes: Int) throws -> AlignedBuffer {
    let buffer = try AlignedBuffer(byteCount: bytes)
    buffer.baseAddress.initializeMemory(as: UInt8.self, repeating: 0xFF, count: bytes)
    return buffer
  }

  private func forward(_ inputs: [Tensor], _ parameters: [Tensor], _ saved: AlignedBuffer) throws
    -> [Tensor]
  {
    let outputs = try outputSpecs.map { try Tensor(uninitialized: $0.shape, $0.type) }
    let scratch = try buffer(
      layer.scratchBytes(for: inputSpecs, threads: Self.pool.threadCount))
    let updates = try zip(parameterSpecs, parameters).map {
      $0.role == .buffer ? try Tensor(copying: $1.view) : nil
    }
    try withExtendedLifetime((inputs, parameters, outputs, scratch, updates)) {
      try layer.forward(
        ForwardCall(
          inputs: inputs.map(\.view), parameters: parameters.map(\.view),
          outputs: outputs.map(\.mutableView), scratch: scratch.bytes, pool: Self.pool,
          isTraining: true, seed: Self.randomSeed, saved: saved.bytes,
          bufferUpdates: updates.map { $0?.mutableView }))
    }
    return outputs
  }

  /// Gradients that were added to copies of `bases`, for inputs and then parameters; nil where not wanted.
  private func backward(
    _ outputGradients: [Tensor], _ outputs: [Tensor], _ saved: AlignedBuffer, _ bases: [Tensor],
    _ wanted: [Bool]
  ) throws -> [Tensor?] {
    let gradients = try zip(bases, wanted).map { try $1 ? Tensor(copying: $0.view) : nil }
    let scratch = try buffer(
      layer.backwardScratchBytes(for: inputSpecs, threads: Self.pool.threadCount))
    let views = gradients.map { $0?.mutableView }
    try withExtendedLifetime((gradients, outputGradients, outputs, saved, scratch)) {
      try layer.backward(
        BackwardCall(
          outputGradients: outputGradients.map { $0.type == .float32 ? $0.view : nil },
          inputs: inputs.map { needsInputs ? $0.view : nil },
          outputs: outputs.map { needsOutputs ? $0.view : nil },
          parameters: parameters.map(\.view), inputGradients: Array(views[..<inputs.count]),
          parameterGradients: Array(views[inputs.count...]),
          saved: saved.bytes, scratch: scratch.bytes, pool: Self.pool, seed: Self.randomSeed))
    }
    return gradients
  }
}

extension AlignedBuffer {
  fileprivate var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: baseAddress, count: byteCount)
  }
}
