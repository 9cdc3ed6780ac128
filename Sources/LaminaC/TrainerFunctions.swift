import CLamina
import LaminaCore
import LaminaTraining
import Synchronization

/// What `lamina_trainer` names.
final class TrainerObject: HandleObject, @unchecked Sendable {
  static let kind = HandleKind.trainer
  private let model: ModelObject
  private let settings: CallerTraining
  private let data: any TrainingData
  private let validation: (any TrainingData)?
  private let epochs = EpochReporter(.train)
  private let isCancelled = Atomic(false)
  private let gate = Gate()
  private var frozen: FrozenLayers
  private var trainer: Trainer?
  private var hasBegun = false

  init(
    _ model: ModelObject, _ data: DatasetObject?, _ validation: DatasetObject?,
    _ settings: CallerTraining
  ) throws {
    self.model = model
    var settings = settings
    settings.trainer.losses = try settings.losses(of: model.model)
    settings.trainer.epochs = settings.epochs ?? 10
    guard settings.trainer.epochs > 0 else {
      throw LaminaError(
        .argument, "expected 0 or more, found -1", path: "options.epochs")
    }
    self.settings = settings
    try data?.checkClasses(of: model.model)
    try validation?.checkClasses(of: model.model)
    let parts = try data?.parts(
      for: model.model, augments: settings.augments, seed: settings.trainer.seed)
    self.data = parts?.training ?? NoData()
    self.validation = try validation?.validation(for: model.model) ?? parts?.validation
    frozen = try FrozenLayers(model.model)
    for pattern in settings.frozen { try frozen.freeze(pattern) }
  }

  /// Runs `body` when no other call uses the trainer.
  func exclusively<R>(_ body: () throws -> R) throws -> R {
    try gate.enter(limit: 1, "trainer")
    defer { gate.leave() }
    try model.gate.enter("model")
    defer { model.gate.leave() }
    return try body()
  }

  /// The trainer, made when it is first needed.
  private func ready() throws -> Trainer {
    if let trainer { return trainer }
    var training = TrainingOptions()
    training.frozen = frozen.patterns
    training.isStrict = settings.isStrict
    training.limits = model.context.limits
    let made = try Trainer(
      model: model.model, data: data, validation: validation, options: settings.trainer,
      training: training, callbacks: [epochs], pool: model.context.pool)
    trainer = made
    return made
  }

  private func begun() throws -> Trainer {
    let trainer = try ready()
    hasBegun = true
    return trainer
  }

  func changeFrozen(_ change: (inout FrozenLayers) throws -> Void) throws {
    try exclusively {
      guard !hasBegun else {
        throw LaminaError(.state, "expected a trainer before its first step, found one behind it")
      }
      try change(&frozen)
      trainer = nil
    }
  }

  func fit(_ reporter: ProgressReporter) throws -> TrainingEnding {
    try exclusively {
      guard !(data is NoData) else { throw NoData.error }
      let trainer = try begun()
      epochs.reporter = reporter
      defer { epochs.reporter = nil }
      return try trainer.fit { progress in
        let goesOn = reporter.batch(.train, progress)
        return !self.isCancelled.exchange(false, ordering: .relaxed) && goesOn
      }
    }
  }

  func cancel() { isCancelled.store(true, ordering: .relaxed) }

  func evaluate(_ other: DatasetObject?) throws -> TrainingScore {
    try exclusively {
      try other?.checkClasses(of: model.model)
      let items = try other?.validation(for: model.model) ?? validation ?? data
      return try evaluated(
        try ready().makeModel(), on: items, batchSize: settings.trainer.batchSize, model.context)
    }
  }

  func makeModel() throws -> ModelObject {
    try exclusively { try ModelObject(ready().makeModel(), model.context) }
  }

  func text(_ which: Int32) throws -> String {
    try exclusively {
      let trainer = try ready()
      switch Int(which) {
      case LAMINA_TRAINER_HISTORY:
        let epochs = trainer.history.map { logs in
          JSON.object(
            logs.sorted { $0.key < $1.key }.map {
              JSON.Member($0.key, $0.value.isFinite ? .double($0.value) : .null)
            })
        }
        return JSON.array(epochs).text()
      case LAMINA_TRAINER_MESSAGES: return JSON.array(trainer.messages.map { .string($0) }).text()
      case LAMINA_TRAINER_PARAMETERS:
        let session = trainer.session
        let parameters = (session.weights + session.buffers).map { parameter in
          JSON.object([
            "key": .string(parameter.key),
            "role": .string(parameter.role == .weight ? "weight" : "buffer"),
            "shape": .array(parameter.value.shape.dimensions.map { .int(Int64($0)) }),
          ])
        }
        return JSON.array(parameters).text()
      default:
        throw LaminaError(
          .argument, "expected a text of lamina_training.h, found \(which)", path: "which")
      }
    }
  }

  func step(_ inputs: UnsafeBufferPointer<lamina_tensor>, _ labels: lamina_tensor) throws -> Double
  {
    try exclusively {
      let batch = try Batch(self.inputs(inputs), labels: [labels.makeLabels()])
      return try begun().step(batch).loss
    }
  }

  /// The caller's tensors in the order of the model's inputs.
  private func inputs(_ tensors: UnsafeBufferPointer<lamina_tensor>) throws -> [Tensor] {
    let names = model.inputs.map(\.name)
    guard tensors.count == names.count else {
      throw LaminaError(.argument, "expected \(names.count) inputs, found \(tensors.count)")
    }
    var found = [Tensor?](repeating: nil, count: names.count)
    for (index, tensor) in tensors.enumerated() {
      var position = index
      if let name = tensor.name {
        guard let place = names.firstIndex(where: { $0.map { areEqual($0, name) } ?? false }) else {
          let text = try LaminaC.text(name, "inputs").escapedForDisplay()
          throw LaminaError(.notFound, "no input is named '\(text)'")
        }
        position = place
      }
      let path = "input \(model.model.graph.inputs[position].name.escapedForDisplay())"
      guard found[position] == nil else {
        throw LaminaError(.argument, "found it twice", path: path)
      }
      found[position] = try withErrorPath(path) { try tensor.makeTensor() }
    }
    return found.compactMap { $0 }
  }

  func apply() throws { try exclusively { try begun().apply() } }

  /// A parameter's value or gradient, read while nobody writes it.
  func withTensor(_ which: Int32, _ key: String, _ body: (Tensor) throws -> Void) throws {
    try exclusively {
      let session = try ready().session
      let parameters = session.weights + session.buffers
      func unknown(_ known: [String]) -> LaminaError {
        let hint = nearestName(to: key, in: known).map {
          ", nearest is '\($0.escapedForDisplay())'"
        }
        return LaminaError(
          .notFound, "no parameter is named '\(key.escapedForDisplay())'\(hint ?? "")")
      }
      switch Int(which) {
      case LAMINA_TRAINER_VALUE:
        let learned = parameters.first { $0.key == key }?.value
        guard let tensor = learned ?? model.model.parameters[key] else {
          throw unknown(Array(model.model.parameters.keys))
        }
        try body(tensor)
      case LAMINA_TRAINER_GRADIENT:
        guard let weight = session.weights.first(where: { $0.key == key }) else {
          throw unknown(session.weights.map(\.key))
        }
        try body(weight.update)
      default:
        throw LaminaError(
          .argument, "expected a part of lamina_training.h, found \(which)", path: "which")
      }
    }
  }
}

/// In place of data, where the caller steps.
private struct NoData: TrainingData {
  static let error = LaminaError(.state, "expected a trainer with data, found one without")
  var count: Int { 1 }
  var fingerprint: String { "none" }
  func batch(_ indices: [Int], epoch: Int) throws -> Batch { throw Self.error }
}

private func evaluated(
  _ model: Model, on data: any TrainingData, batchSize: Int, _ context: ContextObject
) throws -> TrainingScore {
  try model.evaluate(
    data, batchSize: batchSize, pool: context.pool, limits: context.limits)
}

extension lamina_tensor {
  /// A copy of an input.
  fileprivate func makeTensor() throws -> Tensor {
    let type = try elementType()
    let shape = try makeShape()
    try checkAlignment(type)
    let expected = shape.count.saturatingProduct(type.byteCount)
    guard byte_count == expected else {
      throw LaminaError(
        .argument,
        "expected \(expected) bytes for \(type.rawValue) \(shape), found \(UInt(bitPattern: byte_count))"
      )
    }
    guard data != nil || expected == 0 else {
      throw LaminaError(.argument, "expected data, found NULL")
    }
    _ = try addresses()
    let tensor = try Tensor(uninitialized: shape, type)
    tensor.withMutableBytes { target in
      if let data { target.copyMemory(from: UnsafeRawBufferPointer(start: data, count: expected)) }
    }
    return tensor
  }

  fileprivate func makeLabels() throws -> Labels {
    try withErrorPath("labels") {
      let tensor = try makeTensor()
      func classes<T: BinaryInteger & TensorElement>(_: T.Type) throws -> Labels {
        guard tensor.shape.rank == 1 else {
          throw LaminaError(.shape, "expected classes [batch], found \(tensor.shape)")
        }
        return .classes(tensor.withElements(of: T.self) { $0.map { Int(clamping: $0) } })
      }
      switch tensor.type {
      case .float32: return .values(tensor)
      case .int32: return try classes(Int32.self)
      case .int64: return try classes(Int64.self)
      default:
        throw LaminaError(
          .shape, "expected int32, int64 or float32, found \(tensor.type.rawValue)")
      }
    }
  }
}

/// `lamina_model_replace_head` of `lamina_training.h`.
@_cdecl("lamina_model_replace_head") @implementation
public func lamina_model_replace_head(
  _ model: lamina_model, _ labels: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
  _ seed: UInt64, _ result: UnsafeMutablePointer<lamina_model>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let labels = try array(labels, count, "labels").map { try text($0, "labels") }
    try derive(model, result) { object in
      (try object.model.replacingHead(labels: labels, seed: seed).model, object.report)
    }
  }
}

/// `lamina_model_evaluate` of `lamina_training.h`.
@_cdecl("lamina_model_evaluate") @implementation
public func lamina_model_evaluate(
  _ model: lamina_model, _ data: lamina_dataset, _ batchSize: Int,
  _ score: UnsafeMutablePointer<lamina_score>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let model = try handles.object(model, ModelObject.self)
    let data = try handles.object(data, DatasetObject.self)
    let score = try require(score, "score")
    guard (0...65_536).contains(batchSize) else {
      throw LaminaError(
        .argument, "expected 0...65536, found \(UInt(bitPattern: batchSize))", path: "batch_size")
    }
    try data.checkClasses(of: model.model)
    try model.gate.enter("model")
    defer { model.gate.leave() }
    let found = try evaluated(
      model.model, on: data.validation(for: model.model),
      batchSize: batchSize == 0 ? 32 : batchSize, model.context)
    try write(found.facts, to: score, "score")
  }
}

/// The set of a handle; nil for 0.
private func optionalDataset(_ handle: lamina_dataset) throws -> DatasetObject? {
  handle == 0 ? nil : try handles.object(handle, DatasetObject.self)
}

/// `lamina_trainer_create` of `lamina_training.h`.
@_cdecl("lamina_trainer_create") @implementation
public func lamina_trainer_create(
  _ model: lamina_model, _ data: lamina_dataset, _ validation: lamina_dataset,
  _ options: UnsafePointer<lamina_trainer_options>?,
  _ trainer: UnsafeMutablePointer<lamina_trainer>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let model = try handles.object(model, ModelObject.self)
    let data = try optionalDataset(data)
    let validation = try optionalDataset(validation)
    let trainer = try require(trainer, "trainer")
    let object = try TrainerObject(model, data, validation, CallerTraining(options))
    trainer.pointee = try handles.insert(object)
  }
}

/// `lamina_trainer_release` of `lamina_training.h`.
@_cdecl("lamina_trainer_release") @implementation
public func lamina_trainer_release(_ trainer: lamina_trainer) { handles.release(trainer, .trainer) }

/// `lamina_trainer_freeze` of `lamina_training.h`.
@_cdecl("lamina_trainer_freeze") @implementation
public func lamina_trainer_freeze(
  _ trainer: lamina_trainer, _ pattern: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let pattern = KeyPattern(try text(pattern, "pattern"))
    try trainer.changeFrozen { try $0.freeze(pattern) }
  }
}

/// `lamina_trainer_freeze_up_to` of `lamina_training.h`.
@_cdecl("lamina_trainer_freeze_up_to") @implementation
public func lamina_trainer_freeze_up_to(
  _ trainer: lamina_trainer, _ name: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let name = try text(name, "name")
    try trainer.changeFrozen { try $0.freeze(upTo: name) }
  }
}

/// `lamina_trainer_freeze_trunk` of `lamina_training.h`.
@_cdecl("lamina_trainer_freeze_trunk") @implementation
public func lamina_trainer_freeze_trunk(
  _ trainer: lamina_trainer, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    try handles.object(trainer, TrainerObject.self).changeFrozen { try $0.freezeTrunk() }
  }
}

/// `lamina_trainer_unfreeze` of `lamina_training.h`.
@_cdecl("lamina_trainer_unfreeze") @implementation
public func lamina_trainer_unfreeze(
  _ trainer: lamina_trainer, _ pattern: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let pattern = KeyPattern(try text(pattern, "pattern"))
    try trainer.changeFrozen { try $0.unfreeze(pattern) }
  }
}

/// `lamina_trainer_fit` of `lamina_training.h`.
@_cdecl("lamina_trainer_fit") @implementation
public func lamina_trainer_fit(
  _ trainer: lamina_trainer, _ onProgress: lamina_on_progress?, _ user: UnsafeMutableRawPointer?,
  _ ending: UnsafeMutablePointer<Int32>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let found = try trainer.fit(ProgressReporter(onProgress, user))
    ending?.pointee = found.code
  }
}

/// `lamina_trainer_cancel` of `lamina_training.h`.
@_cdecl("lamina_trainer_cancel") @implementation
public func lamina_trainer_cancel(
  _ trainer: lamina_trainer, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) { try handles.object(trainer, TrainerObject.self).cancel() }
}

/// `lamina_trainer_evaluate` of `lamina_training.h`.
@_cdecl("lamina_trainer_evaluate") @implementation
public func lamina_trainer_evaluate(
  _ trainer: lamina_trainer, _ data: lamina_dataset, _ score: UnsafeMutablePointer<lamina_score>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let data = try optionalDataset(data)
    let score = try require(score, "score")
    try write(trainer.evaluate(data).facts, to: score, "score")
  }
}

/// `lamina_trainer_make_model` of `lamina_training.h`.
@_cdecl("lamina_trainer_make_model") @implementation
public func lamina_trainer_make_model(
  _ trainer: lamina_trainer, _ model: UnsafeMutablePointer<lamina_model>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let model = try require(model, "model")
    model.pointee = try handles.insert(trainer.makeModel())
  }
}

/// `lamina_trainer_get_text` of `lamina_training.h`.
@_cdecl("lamina_trainer_get_text") @implementation
public func lamina_trainer_get_text(
  _ trainer: lamina_trainer, _ which: Int32, _ buffer: UnsafeMutablePointer<CChar>?,
  _ capacity: Int, _ needed: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    try write(trainer.text(which), to: buffer, capacity, needed: needed)
  }
}

/// `lamina_trainer_step` of `lamina_training.h`.
@_cdecl("lamina_trainer_step") @implementation
public func lamina_trainer_step(
  _ trainer: lamina_trainer, _ inputs: UnsafePointer<lamina_tensor>?, _ inputCount: Int,
  _ labels: UnsafePointer<lamina_tensor>?, _ loss: UnsafeMutablePointer<Double>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let inputs = try array(require(inputs, "inputs"), inputCount, "inputs")
    let found = try trainer.step(inputs, require(labels, "labels").pointee)
    loss?.pointee = found
  }
}

/// `lamina_trainer_apply` of `lamina_training.h`.
@_cdecl("lamina_trainer_apply") @implementation
public func lamina_trainer_apply(
  _ trainer: lamina_trainer, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) { try handles.object(trainer, TrainerObject.self).apply() }
}

/// `lamina_trainer_get_tensor` of `lamina_training.h`.
@_cdecl("lamina_trainer_get_tensor") @implementation
public func lamina_trainer_get_tensor(
  _ trainer: lamina_trainer, _ which: Int32, _ key: UnsafePointer<CChar>?,
  _ tensor: UnsafeMutablePointer<lamina_tensor>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let trainer = try handles.object(trainer, TrainerObject.self)
    let key = try text(key, "key")
    let target = try require(tensor, "tensor")
    try trainer.withTensor(which, key) { try target.pointee.receive($0) }
  }
}

/// `lamina_finetune` of `lamina_training.h`.
@_cdecl("lamina_finetune") @implementation
public func lamina_finetune(
  _ model: lamina_model, _ data: lamina_dataset, _ validation: lamina_dataset,
  _ options: UnsafePointer<lamina_finetune_options>?, _ onProgress: lamina_on_progress?,
  _ user: UnsafeMutableRawPointer?, _ result: UnsafeMutablePointer<lamina_model>?,
  _ ending: UnsafeMutablePointer<Int32>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let model = try handles.object(model, ModelObject.self)
    let data = try handles.object(data, DatasetObject.self)
    let validation = try optionalDataset(validation)
    let result = try require(result, "result")
    let given =
      try options.map { try LaminaC.options($0, lamina_finetune_options(), "options") }
      ?? lamina_finetune_options()
    let (made, end) = try fineTune(
      model, data, validation, given, ProgressReporter(onProgress, user))
    result.pointee = try handles.insert(made)
    ending?.pointee = end.code
  }
}

private func fineTune(
  _ model: ModelObject, _ data: DatasetObject, _ validation: DatasetObject?,
  _ given: lamina_finetune_options, _ reporter: ProgressReporter
) throws -> (ModelObject, TrainingEnding) {
  let settings = try CallerTraining(given.trainer)
  var options = FineTuningOptions()
  guard (-1...1_000_000).contains(given.head_epochs) else {
    throw LaminaError(
      .argument, "expected -1...1000000, found \(given.head_epochs)", path: "options.head_epochs")
  }
  guard given.gentle_factor >= 0, given.gentle_factor.isFinite else {
    throw LaminaError(
      .argument, "expected a number from 0, found \(given.gentle_factor)",
      path: "options.gentle_factor")
  }
  if given.head_epochs != 0 { options.headEpochs = max(Int(given.head_epochs), 0) }
  if given.gentle_factor > 0 { options.gentleFactor = given.gentle_factor }
  options.epochs = settings.epochs ?? options.epochs
  options.frozen = settings.frozen
  options.trainer = settings.trainer
  options.isStrict = settings.isStrict
  options.limits = model.context.limits
  guard data.labels.count >= 2 else {
    throw LaminaError(
      .argument, "expected names of at least two classes, found \(data.labels.count)", path: "data")
  }
  if let validation, validation.labels != data.labels {
    throw LaminaError(
      .argument, "expected the classes of the data, found others", path: "validation")
  }
  let parts = try data.parts(
    for: model.model, augments: settings.augments, seed: settings.trainer.seed)
  options.trainer.losses = try settings.losses(of: model.model)
  try model.gate.enter("model")
  defer { model.gate.leave() }
  let found = try model.model.fineTuning(
    to: data.labels, on: parts.training,
    validation: validation?.validation(for: model.model) ?? parts.validation, options: options,
    pool: model.context.pool, callbacks: { [EpochReporter(.init($0), reporter)] }
  ) { progress in
    switch progress {
    case .features(let done, let total): reporter.features(done, of: total)
    case .batch(let phase, let progress): reporter.batch(.init(phase), progress)
    }
  }
  for message in found.messages { model.context.log(LAMINA_LOG_WARNING, message) }
  return (try ModelObject(found.model, model.context), found.ending)
}
