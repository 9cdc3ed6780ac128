import CLamina
import LaminaCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a case tries: a layer class of a plugin that this process loaded.
struct CheckSubject {
  let plugin: Plugin
  let layerClass: PluginLayerClass
  let check: PluginCheck

  /// The layer class as the only kind.
  var registry: LayerRegistry {
    var registry = LayerRegistry()
    registry.replace(layerClass.definition)
    return registry
  }

  /// Makes a layer as a graph does; by default with the attributes of the check.
  func make(_ attributes: Attributes? = nil) throws -> PluginLayer {
    let made = try registry.makeLayer(layerClass.kind, attributes ?? check.attributes).layer
    guard let layer = made as? PluginLayer else {
      throw LaminaError(.internal, "expected a layer of the plugin, found \(type(of: made))")
    }
    return layer
  }

  /// The layer, for cases that are not about making it.
  func layer() throws -> PluginLayer {
    do { return try make() } catch is LaminaError { throw DoesNotApply("no layer is made") }
  }

  /// Shapes of a first input, the usual one first.
  static let shapes: [Shape] = [
    [2, 3, 4, 5], [2, 4, 6, 6], [1, 16, 7, 5], [2, 8, 5, 7], [1, 64, 4, 4], [1, 3, 32, 32], [3, 5],
    [2, 6], [2, 3, 4], [1, 8, 9], [6], [1, 2, 3, 4, 5], [2, 2, 3, 2, 4],
  ]

  /// Number of inputs to try.
  var inputCount: Int {
    let arity = layerClass.definition.arity
    return min(max(arity.lowerBound, 1), arity.upperBound)
  }

  /// Lists of inputs to try.
  var candidates: [[TensorSpec]] {
    if let inputs = check.inputs { return [inputs.map { TensorSpec($0) }] }
    return [ElementType.float32, .int64, .uint8].flatMap { type in
      Self.shapes.map { [TensorSpec](repeating: TensorSpec($0, type), count: inputCount) }
    }
  }

  /// What a layer makes of the first lists of inputs that it accepts, of one type of elements.
  func trials(_ count: Int = 3) throws -> [Trial] {
    let layer = try layer()
    var trials: [Trial] = []
    for inputs in candidates where trials.count < count {
      guard let trial = try? Trial(layer, inputs, seed: check.seed),
        trials.first.map({ $0.inputs.first?.type == inputs.first?.type }) ?? true
      else { continue }
      trials.append(trial)
    }
    guard !trials.isEmpty else { throw DoesNotApply("no inputs are accepted") }
    return trials
  }

  /// The first of them.
  func trial() throws -> Trial { try trials(1)[0] }

  /// The same for a layer that can be trained through, with `float32` inputs.
  func trainedTrials(_ count: Int = 2) throws -> [Trial] {
    guard layerClass.table.backward != nil else { throw DoesNotApply("there is no backward") }
    return try trials(count)
  }

  /// Calls `body`; what it refuses must be refused with a text.
  ///
  /// - Returns: the refusal; nil when there was none.
  @discardableResult
  func refusal(_ body: () throws -> Void) throws -> LaminaError? {
    do {
      try body()
      return nil
    } catch let error as LaminaError {
      let text = error.message
      let breaksRule = text.contains("of plugin '\(plugin.id)'")
      guard !breaksRule, !text.contains("\n"), !text.contains("\u{FFFD}") else {
        throw breaksRule
          ? error
          : LaminaError(
            .format, "expected one line of UTF-8 as an error, found '\(text.escapedForDisplay())'")
      }
      return error
    }
  }
}

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

/// Calls `body` on several threads at once, and throws what the first of them throws.
func concurrently(_ count: Int, _ body: @Sendable (Int) throws -> Void) throws {
  let failures = FailureBox()
  ThreadPool(threads: count).parallelFor(count) { index in
    do { try body(index) } catch { failures.add(error) }
  }
  try failures.rethrow()
}

/// What several threads throw.
private final class FailureBox: Sendable {
  private let first = Mutex<(any Error)?>(nil)

  func add(_ error: any Error) { first.withLock { $0 = $0 ?? error } }

  func rethrow() throws { if let error = first.withLock({ $0 }) { throw error } }
}

/// Bytes of memory that the process has in use.
func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "re") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 128)
  guard fgets(&line, 128, file) != nil else { return 0 }
  let fields = line.split(separator: CChar(32))
  guard fields.count > 1 else { return 0 }
  return Int(String(decoding: fields[1].map { UInt8(bitPattern: $0) }, as: UTF8.self))
    .map { $0 * sysconf(Int32(_SC_PAGESIZE)) } ?? 0
}

/// Calls `body` again and again and throws when memory grows by 64 bytes or more a call.
func expectNoGrowth(_ name: String, _ body: () throws -> Void) throws {
  let deadline = ContinuousClock.now + .seconds(4)
  for _ in 0..<500 where ContinuousClock.now < deadline { try body() }
  let before = residentBytes()
  var count = 0
  while count < 10_000, ContinuousClock.now < deadline {
    try body()
    count += 1
  }
  let growth = residentBytes() - before
  guard growth < max(384 << 10, 64 * count) else {
    throw LaminaError(
      .limit,
      "expected \(name) to free what it takes, found \(growth) bytes more after \(count) calls")
  }
}

/// What belongs to the whole process and a plugin may not change.
struct ProcessState {
  private let facts: [String: String]

  private let countsThreads: Bool

  /// - Parameter countsThreads: whether threads may not be started, nor files be left open.
  init(countsThreads: Bool = false) {
    self.countsThreads = countsThreads
    var facts: [String: String] = [:]
    facts["the locale"] = setlocale(LC_ALL, nil).map { String(cString: $0) }
    facts["the working directory"] = getcwd(nil, 0).map { folder in
      defer { free(folder) }
      return String(cString: folder)
    }
    var mask = sigset_t()
    sigprocmask(SIG_BLOCK, nil, &mask)
    facts["the mask of signals"] = withUnsafeBytes(of: mask) { "\($0.prefix(8).map { $0 })" }
    for number in 1..<Int32(32) {
      var action = sigaction()
      sigaction(number, nil, &action)
      facts["the handler of signal \(number)"] = withUnsafeBytes(of: action) {
        "\($0.prefix(8).map { $0 })"
      }
    }
    facts["the rounding of numbers"] = "\(fegetround())"
    facts["how denormal numbers count"] = "\(Self.halved(.leastNormalMagnitude) > 0)"
    if countsThreads {
      facts["the number of threads"] = Self.entries(of: "/proc/self/task")
      facts["the number of open files"] = Self.entries(of: "/proc/self/fd")
    }
    self.facts = facts
  }

  @inline(never) private static func halved(_ number: Float) -> Float { number / 2 }

  private static func entries(of path: String) -> String? {
    guard let folder = opendir(path) else { return nil }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return "\(count)"
  }

  /// Throws what `function` changed.
  func expectSame(after function: String) throws {
    let now = ProcessState(countsThreads: countsThreads).facts
    let changed = facts.keys.sorted().filter { facts[$0] != now[$0] }
    guard changed.isEmpty else {
      throw LaminaError(.format, "\(function) changes \(changed.joined(separator: ", "))")
    }
  }
}
