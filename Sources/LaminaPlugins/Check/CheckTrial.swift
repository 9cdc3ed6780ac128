import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A layer, inputs that it accepts, and what follows from them.
struct Trial: Sendable {
  var layer: PluginLayer
  let inputs: [TensorSpec]
  let outputs: [TensorSpec]
  let parameters: [ParameterSpec]
  var inputTensors: [Tensor]
  var parameterTensors: [Tensor]

  /// Most bytes of a tensor.
  private static let byteLimit = 1 << 28

  /// - Throws: the layer's refusal; `limit` when a tensor is large.
  init(_ layer: PluginLayer, _ inputs: [TensorSpec], seed: UInt64) throws {
    self.layer = layer
    self.inputs = inputs
    outputs = try layer.outputs(for: inputs)
    parameters = try layer.parameters(for: inputs)
    for spec in inputs + outputs + parameters.map(\.spec) where spec.byteCount > Self.byteLimit {
      throw LaminaError(
        .limit, "expected tensors of at most \(Self.byteLimit) bytes, found \(spec)")
    }
    inputTensors = try inputs.enumerated().map { try Self.random($1, seed, "input \($0)") }
    parameterTensors = try parameters.map { parameter in
      let start = try parameter.makeTensor(seed: seed, key: parameter.name)
      guard parameter.spec.type == .float32 else { return start }
      let noise = try Self.random(parameter.spec, seed, "noise of \(parameter.name)")
      noise.withElements(of: Float.self) { noise in
        start.withMutableElements(of: Float.self) { for i in $0.indices { $0[i] += noise[i] / 4 } }
      }
      return start
    }
  }

  /// `float32` numbers of -1...1, integers of 0...2, truth values; zeros of other types.
  static func random(_ spec: TensorSpec, _ seed: UInt64, _ name: String) throws -> Tensor {
    let tensor = try Tensor(zeros: spec.shape, spec.type)
    let random = CounterRandom(seed: seed, name: name)
    if spec.type == .float32 {
      tensor.withMutableElements(of: Float.self) { elements in
        for i in elements.indices { elements[i] = random.uniform(UInt64(i)) * 2 - 1 }
      }
    } else if !spec.type.isFloatingPoint {
      let most: UInt64 = spec.type == .bool ? 2 : 3
      tensor.withMutableBytes { bytes in
        for i in 0..<spec.shape.count {
          bytes[i * spec.type.byteCount] = UInt8(random.bits(UInt64(i)) % most)
        }
      }
    }
    return tensor
  }

  var description: String { inputs.map(\.description).joined(separator: ", ") }

  /// What a forward pass gives.
  func forward(_ change: (inout ForwardRun.Options) -> Void = { _ in }) throws -> ForwardRun {
    var options = ForwardRun.Options()
    change(&options)
    let run = try ForwardRun(self, options)
    try run.run()
    return run
  }
}

/// A forward pass in memory with guard bytes.
final class ForwardRun: @unchecked Sendable {
  struct Options: Sendable {
    var threads = 1
    /// Threads of somebody else.
    var pool: ThreadPool?
    var isTraining = false
    /// What outputs, scratch and saved memory are filled with before.
    var poison: UInt8 = 0xFF
    /// Whether tensors end where a page does, and begin where that leads to.
    var endsAtPage = false
    /// Whether the first output lies in the first input's memory.
    var isInPlace = false
    /// Whether new values of buffers are wanted.
    var updatesBuffers = true
  }

  let trial: Trial
  let options: Options
  let inputs: [FencedMemory]
  let parameters: [FencedMemory]
  let outputs: [FencedMemory]
  let updates: [FencedMemory?]
  let scratch: FencedMemory
  let saved: FencedMemory
  let pool: ThreadPool

  init(_ trial: Trial, _ options: Options) throws {
    self.trial = trial
    self.options = options
    pool = options.pool ?? ThreadPool(threads: options.threads)
    let inputs = try trial.inputTensors.map { try FencedMemory($0, atEnd: options.endsAtPage) }
    self.inputs = inputs
    parameters = try trial.parameterTensors.map {
      try FencedMemory($0, atEnd: options.endsAtPage)
    }
    outputs = try trial.outputs.enumerated().map { index, spec in
      if index == 0, options.isInPlace, let first = inputs.first { return first }
      return try FencedMemory(
        byteCount: spec.byteCount, atEnd: options.endsAtPage, filledWith: options.poison)
    }
    let isTraining = options.isTraining
    let wantsUpdates = isTraining && options.updatesBuffers
    updates =
      wantsUpdates
      ? try trial.parameters.map {
        $0.role == .buffer
          ? try FencedMemory(
            byteCount: $0.spec.byteCount, atEnd: options.endsAtPage, filledWith: options.poison)
          : nil
      } : []
    scratch = try FencedMemory(
      byteCount: trial.layer.scratchBytes(for: trial.inputs, threads: pool.threadCount),
      filledWith: options.poison)
    saved = try FencedMemory(
      byteCount: isTraining ? trial.layer.savedBytes(for: trial.inputs) : 0,
      filledWith: options.poison)
  }

  func run() throws {
    try trial.layer.forward(
      ForwardCall(
        inputs: zip(trial.inputs, inputs).map { TensorView($0.shape, $0.type, $1.address) },
        parameters: zip(trial.parameters, parameters).map {
          TensorView($0.spec.shape, $0.spec.type, $1.address)
        },
        outputs: zip(trial.outputs, outputs).map {
          MutableTensorView($0.shape, $0.type, $1.address)
        },
        scratch: scratch.bytes, pool: pool, isTraining: options.isTraining, seed: 7,
        saved: options.isTraining && saved.byteCount > 0
          ? saved.bytes : UnsafeMutableRawBufferPointer(start: nil, count: 0),
        bufferUpdates: zip(trial.parameters, updates).map { parameter, memory in
          memory.map {
            MutableTensorView(parameter.spec.shape, parameter.spec.type, $0.address)
          }
        }))
  }

  /// All memory by name.
  var memories: [(name: String, memory: FencedMemory)] {
    named("input", inputs) + named("parameter", parameters) + named("output", outputs)
      + named("the new value of parameter", updates) + [
        ("scratch memory", scratch), ("saved memory", saved),
      ]
  }

  private func named(_ name: String, _ list: [FencedMemory?]) -> [(String, FencedMemory)] {
    list.enumerated().compactMap { index, memory in memory.map { ("\(name) \(index)", $0) } }
  }

  /// Compares what it wrote with what another pass did, bit by bit.
  ///
  /// - Throws: where they differ first.
  func expectSame(as other: ForwardRun, _ message: String) throws {
    for (index, spec) in trial.outputs.enumerated() {
      try compare(outputs[index], other.outputs[index], spec, "output \(index)", message)
    }
    for (index, parameter) in trial.parameters.enumerated() {
      guard updates.indices.contains(index), other.updates.indices.contains(index),
        let a = updates[index], let b = other.updates[index]
      else { continue }
      try compare(a, b, parameter.spec, "the new value of '\(parameter.name)'", message)
    }
  }

  private func compare(
    _ a: FencedMemory, _ b: FencedMemory, _ spec: TensorSpec, _ name: String, _ message: String
  ) throws {
    guard let index = firstDifference(a.address, b.address, spec) else { return }
    throw LaminaError(
      .format,
      "\(message): \(name) of inputs \(trial.description) differs at element \(index): "
        + "\(element(a.address, spec, index)) and \(element(b.address, spec, index))")
  }

  /// Throws where inputs or parameters are no longer what they were.
  func expectInputsUnchanged(by function: String) throws {
    for (name, pairs) in [
      ("input", Array(zip(inputs, trial.inputTensors))),
      ("parameter", Array(zip(parameters, trial.parameterTensors))),
    ] {
      for (index, (memory, tensor)) in pairs.enumerated() {
        let isSame = tensor.withBytes { bytes in
          bytes.baseAddress.map { memcmp(memory.address, $0, bytes.count) == 0 } ?? true
        }
        guard isSame else {
          throw LaminaError(.format, "\(function) changes \(name) \(index)")
        }
      }
    }
  }

  /// Throws what was written outside.
  func expectGuards(of function: String) throws {
    for (name, memory) in memories where !memory.isIntact {
      throw LaminaError(
        .format, "\(function) of inputs \(trial.description) writes before or behind \(name)")
    }
  }
}

/// The first element in which two tensors differ; NaNs are alike.
func firstDifference(
  _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ spec: TensorSpec
) -> Int? {
  let size = spec.type.byteCount
  if memcmp(a, b, spec.byteCount) == 0 { return nil }
  return (0..<spec.shape.count).first { index in
    guard memcmp(a + index * size, b + index * size, size) != 0 else { return false }
    guard spec.type == .float32 else { return true }
    return
      !(a.load(fromByteOffset: index * 4, as: Float.self).isNaN
      && b.load(fromByteOffset: index * 4, as: Float.self).isNaN)
  }
}

/// An element for people.
func element(_ address: UnsafeRawPointer, _ spec: TensorSpec, _ index: Int) -> String {
  let size = spec.type.byteCount
  if spec.type == .float32 { return "\(address.load(fromByteOffset: index * 4, as: Float.self))" }
  return (0..<size).reversed().map { byte in
    let text = String(address.load(fromByteOffset: index * size + byte, as: UInt8.self), radix: 16)
    return text.count == 1 ? "0\(text)" : text
  }.reduce("0x", +)
}
