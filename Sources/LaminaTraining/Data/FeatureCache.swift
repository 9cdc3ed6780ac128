import LaminaCore

/// What the frozen layers below everything that learns make of the items of a set: computed once, so that later epochs
/// cost the layers above alone. Items that change from epoch to epoch are kept in a fixed number of variants.
///
/// In a folder features outlive the process: a file for each combination of frozen weights, graph, data, preprocessing,
/// instruction set and version, in the format of checkpoints. A file that does not read back bit for bit, or does not
/// fit, is not trusted: its features are computed anew.
public final class FeatureCache: TrainingData {
  /// Number of items.
  public let count: Int
  /// How many epochs there are before features come again.
  public let variants: Int
  /// That of the data, and that they are features.
  public let fingerprint: String
  /// Whether there is one variant alone.
  public var isSameInEveryEpoch: Bool { variants == 1 }
  /// The file that keeps the features, and whether they come from it; nil: there is none.
  public let file: (path: String, byteCount: Int, wasRead: Bool)?
  /// Files that were not trusted, and what kept features from being written.
  public let messages: [String]
  private let features: [Tensor]
  private let inputs: [TensorSpec]
  private let labels: [Int]

  private static let format = "lamina.features.1"

  /// Runs the frozen layers over all items, or reads what they made of them before.
  ///
  /// - Parameters:
  ///   - session: a session of the same model with the same layers frozen.
  ///   - data: items with a class each, of one shape.
  ///   - variants: epochs of the data whose items are kept; epoch e of the training has those of e mod variants.
  ///   - folder: where features are kept; it is made when it is not there. nil: nowhere.
  ///   - onBatch: called with the number of items of all variants that are done; what it throws ends the work.
  /// - Throws: `argument` when no layers are frozen below what learns, for labels that are no classes, or no items;
  ///   `limit` when the features do not fit in memory; what the data throw; `io` when the folder cannot be made.
  public init(
    _ session: TrainingSession, _ data: any TrainingData, batchSize: Int = 32, variants: Int = 1,
    folder: String? = nil, onBatch: ((Int) throws -> Void)? = nil
  ) throws {
    guard session.hasTrunk else {
      throw LaminaError(.argument, "expected frozen layers below those that learn, found none")
    }
    guard data.count > 0 else { throw LaminaError(.argument, "expected items, found none") }
    guard variants > 0 else {
      throw LaminaError(.argument, "expected variants from 1, found \(variants)")
    }
    let rows = data.count.saturatingProduct(variants)
    count = data.count
    self.variants = variants
    let dataHash = data.fingerprint
    fingerprint = "features of \(dataHash)" + (variants == 1 ? "" : ", \(variants) variants")
    let (first, specs, _) = try Self.features(session, data, 0..<1, epoch: 0)
    let shapes = try first.map { try Shape([rows] + $0.shape.dimensions.dropFirst()) }
    let bytes = shapes.reduce(0) { $0.saturatingSum($1.count.saturatingProduct(4)) }
    try session.options.limits.checkMemory(bytes, for: "the features of \(rows) items")
    inputs = specs

    var place: (path: String, key: String)?
    var notes: [String] = []
    var kept: (features: [Tensor], labels: [Int])?
    if let folder {
      try makeFolder(folder)
      removeAbandonedFiles(in: folder, prefix: "features-")
      let key = Self.key(session, data: dataHash, variants: variants)
      let path = "\(folder)/features-\(key.prefix(32)).safetensors"
      place = (path, key)
      do {
        kept = try Self.read(
          path, key: key, shapes: shapes, labels: count, limits: session.options.limits)
      } catch let error as LaminaError {
        notes.append("\(error): the features are computed anew")
      }
    }
    if let kept {
      (features, labels) = kept
      file = place.map { ($0.path, bytes, true) }
      messages = notes
      try onBatch?(rows)
      return
    }

    let features = try shapes.map { try Tensor(uninitialized: $0) }
    var labels: [Int] = []
    for epoch in 0..<variants {
      var found: [Int] = []
      for start in stride(from: 0, to: count, by: batchSize) {
        let range = start..<min(start + batchSize, count)
        let (parts, _, classes) = try Self.features(session, data, range, epoch: epoch)
        if range.upperBound < count {
          let next = range.upperBound..<min(range.upperBound + batchSize, count)
          data.prefetch(Array(next), epoch: epoch)
        }
        for (whole, part) in zip(features, parts) {
          guard part.shape.dimensions.dropFirst() == whole.shape.dimensions.dropFirst() else {
            throw LaminaError(.shape, "expected items of one shape, found \(part.shape)")
          }
          Self.copy(
            part, 0, to: whole, epoch * count + start, rows: range.count,
            size: whole.shape.count(from: 1))
        }
        found += classes
        try onBatch?(epoch * count + found.count)
      }
      if epoch == 0 { labels = found }
    }
    self.features = features
    self.labels = labels
    do {
      if let place { try Self.write(place.path, key: place.key, features, labels) }
      file = place.map { ($0.path, bytes, false) }
    } catch let error as LaminaError {
      notes.append("the features are not kept: \(error)")
      file = nil
    }
    messages = notes
  }

  /// What frozen layers make of some items, the specs of these, and their classes.
  private static func features(
    _ session: TrainingSession, _ data: any TrainingData, _ range: Range<Int>, epoch: Int
  ) throws -> ([Tensor], [TensorSpec], [Int]) {
    let batch = try data.batch(Array(range), epoch: epoch)
    guard case .inputs(let tensors) = batch.content,
      case .classes(let classes)? = batch.labels.first, classes.count == range.count
    else {
      throw LaminaError(.argument, "expected inputs with a class for each item")
    }
    return (try session.features(of: tensors.map(\.view)), tensors.map(\.spec), classes)
  }

  /// SHA-256 of all that features depend on.
  private static func key(_ session: TrainingSession, data: String, variants: Int) -> String {
    var sum = SHA256()
    let model = session.model
    let heading =
      "\(format) \(laminaVersion) \(Processor.instructionSet) \(variants) \(data) \(session.options.isStrict)\n"
    sum.update(heading.utf8)
    sum.update(model.graph.json.text().utf8)
    let learned = Set((session.weights + session.buffers).map(\.key))
    for (key, tensor) in model.parameters.sorted(by: { $0.key < $1.key })
    where !learned.contains(key) {
      sum.update("\(key) \(tensor.spec)\n".utf8)
      tensor.withBytes { sum.update($0) }
    }
    return sum.hexadecimal()
  }

  /// What a file keeps; nil when there is none.
  ///
  /// - Throws: `format` when it is damaged, or keeps something else than its name says.
  private static func read(
    _ path: String, key: String, shapes: [Shape], labels count: Int, limits: Limits
  ) throws -> ([Tensor], [Int])? {
    var limits = limits
    limits.weightFileBytes = limits.memoryBytes
    let shown = path.escapedForDisplay(limit: 512)
    let kept: Checkpoint
    do {
      kept = try Checkpoint(path: path, limits: limits)
    } catch let error as LaminaError where error.code == .notFound {
      return nil
    }
    let state = try ObjectReader(kept.state, path: shown)
    guard try state.string("format") == format, try state.string("key") == key else {
      throw LaminaError(
        .format, "expected the features of this model and these data, found others", path: shown)
    }
    let features = shapes.indices.compactMap { kept.tensors["feature.\($0)"] }
    let classes = kept.tensors["labels"]?.elements(as: Float.self).compactMap { Int(exactly: $0) }
    guard features.map(\.shape) == shapes, let classes, classes.count == count,
      classes.allSatisfy({ $0 >= 0 })
    else {
      throw LaminaError(
        .format, "expected features of the model's shapes, found others", path: shown)
    }
    return (features, classes)
  }

  private static func write(_ path: String, key: String, _ features: [Tensor], _ labels: [Int])
    throws
  {
    var tensors: [String: Tensor] = [
      "labels": try Tensor(Shape([labels.count]), labels.map { Float($0) })
    ]
    guard labels.allSatisfy({ $0 < 1 << 24 }) else {
      throw LaminaError(.limit, "expected classes below \(1 << 24)")
    }
    for (index, tensor) in features.enumerated() { tensors["feature.\(index)"] = tensor }
    let state = JSON.object(["format": .string(format), "key": .string(key)])
    try Checkpoint(state: state, tensors: tensors).write(to: path)
  }

  /// Features as one batch.
  public func batch(_ indices: [Int], epoch: Int) throws -> Batch {
    let parts = try features.map { whole in
      let part = try Tensor(
        uninitialized: Shape([indices.count] + whole.shape.dimensions.dropFirst()))
      let size = whole.shape.count(from: 1)
      for (row, index) in indices.enumerated() {
        let place = epoch % variants * count + index
        FeatureCache.copy(whole, place, to: part, row, rows: 1, size: size)
      }
      return part
    }
    let specs = try inputs.map {
      TensorSpec(try Shape([indices.count] + $0.shape.dimensions.dropFirst()), $0.type)
    }
    return Batch(features: parts, of: specs, labels: [.classes(indices.map { labels[$0] })])
  }

  private static func copy(
    _ source: Tensor, _ from: Int, to target: Tensor, _ to: Int, rows: Int, size: Int
  ) {
    source.withElements(of: Float.self) { source in
      target.withMutableElements(of: Float.self) { target in
        guard let start = target.baseAddress, let first = source.baseAddress else { return }
        (start + to * size).update(from: first + from * size, count: rows * size)
      }
    }
  }
}
