import CLamina
import LaminaCore
import LaminaImages
import LaminaTraining

/// What `lamina_dataset` names.
final class DatasetObject: HandleObject, @unchecked Sendable {
  static let kind = HandleKind.dataset
  let context: ContextObject
  private let content: Content
  /// Names of the classes; none when the caller gave none.
  let labels: [String]
  private let labelTexts: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>
  private let texts = BorrowedTexts()

  private enum Content {
    case images(ImageSets)
    case items(CallerItems)
  }

  init(_ sets: ImageSets, _ context: ContextObject) throws {
    self.context = context
    content = .images(sets)
    labels = sets.training.classNames
    labelTexts = try texts.addAll(labels)
  }

  init(_ items: CallerItems, labels: [String], _ context: ContextObject) throws {
    self.context = context
    content = .items(items)
    self.labels = labels
    labelTexts = try texts.addAll(labels)
  }

  deinit { labelTexts.deallocate() }

  /// Items to train with, as they enter `model`, and to check with.
  ///
  /// - Throws: `unsupported` when the model does not say how pictures become its input; `argument` when the caller's
  ///   tensors are to be augmented.
  func parts(for model: Model, augments: Bool = false, seed: UInt64 = 0) throws -> (
    training: any TrainingData, validation: (any TrainingData)?
  ) {
    switch content {
    case .items(let items):
      guard !augments else {
        throw LaminaError(.argument, "expected pictures to augment, found tensors of the caller")
      }
      return (items.training, items.validation)
    case .images(let sets):
      guard let preprocessing = model.metadata.preprocessing else {
        throw LaminaError(
          .unsupported, "the model does not say how pictures become its input",
          path: model.graph.name)
      }
      var pipeline = ImagePipeline(sets.training, preprocessing)
      pipeline.seed = seed
      let validation = sets.validation.map { ImagePipeline($0, preprocessing) }
      return (
        ImageTrainingData(
          augments ? pipeline.withUsualAugmentations : pipeline, pool: context.pool),
        validation.map { ImageTrainingData($0, pool: context.pool) }
      )
    }
  }

  /// Items to check with; all where there are none of these.
  func validation(for model: Model) throws -> any TrainingData {
    let (training, validation) = try parts(for: model)
    return validation ?? training
  }

  /// - Throws: `argument` when these are not the classes of `model`.
  func checkClasses(of model: Model) throws {
    let known = model.metadata.labels
    guard !known.isEmpty else { return }
    if labels.isEmpty {
      guard case .items(let items) = content, let largest = items.largestClass,
        largest >= known.count
      else { return }
      throw LaminaError(
        .argument, "expected classes below \(known.count), those of the model, found \(largest)",
        path: "data")
    }
    guard labels != known else { return }
    func shown(_ labels: [String]) -> String {
      let some = labels.prefix(3).map { $0.escapedForDisplay(limit: 32) }.joined(separator: ", ")
      return "\(labels.count) (\(some)\(labels.count > 3 ? ", ..." : ""))"
    }
    throw LaminaError(
      .argument,
      "expected the model's classes, \(shown(known)), found \(shown(labels)): the head must be replaced",
      path: "data")
  }

  fileprivate var info: lamina_dataset_info {
    var facts = lamina_dataset_info()
    facts.label_count = labels.count
    facts.labels = UnsafePointer(labelTexts.baseAddress)
    switch content {
    case .images(let sets):
      facts.training_count = sets.training.count
      facts.validation_count = sets.validation?.count ?? 0
      facts.broken_count = sets.broken.count
    case .items(let items):
      facts.training_count = items.training.count
      facts.validation_count = items.validation?.count ?? 0
    }
    return facts
  }

  fileprivate var brokenText: String {
    guard case .images(let sets) = content else { return "[]" }
    let pictures = sets.broken.map {
      JSON.object(["name": .string($0.name), "reason": .string($0.reason)])
    }
    return JSON.array(pictures).text(pretty: true)
  }
}

/// `lamina_dataset_open` of `lamina_training.h`.
@_cdecl("lamina_dataset_open") @implementation
public func lamina_dataset_open(
  _ context: lamina_context, _ path: UnsafePointer<CChar>?,
  _ options: UnsafePointer<lamina_dataset_options>?,
  _ dataset: UnsafeMutablePointer<lamina_dataset>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try handles.object(context, ContextObject.self)
    let path = try text(path, "path")
    let dataset = try require(dataset, "dataset")
    let given =
      try options.map { try LaminaC.options($0, lamina_dataset_options(), "options") }
      ?? lamina_dataset_options()
    let policies: [BrokenPicturePolicy] = [.error, .skip, .replace]
    guard policies.indices.contains(Int(given.broken)) else {
      throw LaminaError(
        .argument, "expected a policy of lamina_training.h, found \(given.broken)",
        path: "options.broken")
    }
    guard (-1...90).contains(given.hold_out) else {
      throw LaminaError(
        .argument, "expected -1...90 per cent, found \(given.hold_out)", path: "options.hold_out")
    }
    try checkReserved(given.reserved)
    let labels = try array(given.labels, given.label_count, "labels").map { try text($0, "labels") }
    let percent = given.hold_out == 0 ? 20 : max(Int(given.hold_out), 0)
    let sets = try ImageSets(
      path: path, classNames: labels.isEmpty ? nil : labels, holdingOut: percent,
      broken: policies[Int(given.broken)], seed: given.seed, limits: context.limits,
      decoding: context.decoding, pool: context.pool)
    context.log(
      LAMINA_LOG_INFO, "\(path): \(sets.training.count) pictures to train with")
    for picture in sets.broken {
      context.log(LAMINA_LOG_WARNING, "left out: \(picture.name): \(picture.reason)")
    }
    dataset.pointee = try handles.insert(DatasetObject(sets, context))
  }
}

/// - Throws: `argument` when a field for later is not 0.
func checkReserved(_ value: Int32) throws {
  guard value == 0 else {
    throw LaminaError(.argument, "expected 0, found \(value)", path: "options.reserved")
  }
}

/// `lamina_dataset_create` of `lamina_training.h`.
@_cdecl("lamina_dataset_create") @implementation
public func lamina_dataset_create(
  _ context: lamina_context, _ source: UnsafePointer<lamina_dataset_source>?,
  _ dataset: UnsafeMutablePointer<lamina_dataset>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try handles.object(context, ContextObject.self)
    let given = try options(require(source, "source"), lamina_dataset_source(), "source")
    let dataset = try require(dataset, "dataset")
    let labels = try array(given.labels, given.label_count, "labels").map { try text($0, "labels") }
    let items = try CallerItems(given, labelCount: labels.count)
    let object = try DatasetObject(items, labels: labels, context)
    dataset.pointee = try handles.insert(object)
    items.adopt()
  }
}

/// `lamina_dataset_release` of `lamina_training.h`.
@_cdecl("lamina_dataset_release") @implementation
public func lamina_dataset_release(_ dataset: lamina_dataset) { handles.release(dataset, .dataset) }

/// `lamina_dataset_get_info` of `lamina_training.h`.
@_cdecl("lamina_dataset_get_info") @implementation
public func lamina_dataset_get_info(
  _ dataset: lamina_dataset, _ info: UnsafeMutablePointer<lamina_dataset_info>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let facts = try handles.object(dataset, DatasetObject.self).info
    try write(facts, to: require(info, "info"), "info")
  }
}

/// `lamina_dataset_get_broken` of `lamina_training.h`.
@_cdecl("lamina_dataset_get_broken") @implementation
public func lamina_dataset_get_broken(
  _ dataset: lamina_dataset, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  _ needed: UnsafeMutablePointer<Int>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(dataset, DatasetObject.self)
    try write(object.brokenText, to: buffer, capacity, needed: needed)
  }
}
