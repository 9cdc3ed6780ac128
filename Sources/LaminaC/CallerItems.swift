import CLamina
import LaminaCore
import LaminaTraining

/// Items that a C caller has in memory or hands over one by one.
final class CallerItems: @unchecked Sendable {
  private let shape: Shape
  private let classes: [Int]
  private let trainingCount: Int
  private let name: String
  /// Its arrays and texts are the caller's again behind the initialiser.
  private let source: lamina_dataset_source
  private var isAdopted = false

  /// - Throws: `argument`, `shape` for a source that makes no sense, a class below 0 or, where there are labels, one that
  ///   has none.
  init(_ source: lamina_dataset_source, labelCount: Int) throws {
    var described = lamina_tensor()
    described.rank = source.rank
    described.shape = source.shape
    shape = try withErrorPath("source.shape") { () throws -> Shape in
      guard source.rank < LAMINA_MAX_RANK else {
        throw LaminaError(
          .shape, "expected a rank in 0...\(LAMINA_MAX_RANK - 1), found \(source.rank)")
      }
      return try described.makeShape()
    }
    let given = try array(
      try require(source.classes, "source.classes"), source.count, "source.classes")
    guard source.validation_count >= 0, source.validation_count < given.count else {
      throw LaminaError(
        .argument,
        "expected less to check with than the \(given.count) items, found \(UInt(bitPattern: source.validation_count))",
        path: "source.validation_count")
    }
    let whole = try Shape([given.count] + shape.dimensions)
    guard whole.count > 0, whole.count <= Int.max / 4 else {
      throw LaminaError(.shape, "expected items that fit memory, found \(whole)", path: "source")
    }
    guard source.items != nil || source.read != nil else {
      throw LaminaError(.argument, "expected items or read, found NULL", path: "source")
    }
    guard Int(bitPattern: source.items) & 3 == 0 else {
      throw LaminaError(.argument, "expected data aligned to 4 bytes", path: "source.items")
    }
    classes = given.map { Int($0) }
    for (index, label) in classes.enumerated()
    where label < 0 || labelCount > 0 && label >= labelCount {
      let bound = labelCount > 0 ? "from 0 to \(labelCount - 1)" : "from 0"
      throw LaminaError(
        .argument, "expected a class \(bound), found \(label)", path: "source.classes[\(index)]")
    }
    trainingCount = given.count - source.validation_count
    name = try source.name.map { try text($0, "source.name") } ?? ""
    self.source = source
  }

  /// From now on the caller's memory is released with the last use.
  func adopt() { isAdopted = true }

  deinit { if isAdopted { source.release?(source.user) } }

  var largestClass: Int? { classes.max() }
  /// Those to train with.
  var training: any TrainingData { Part(items: self, range: 0..<trainingCount) }
  /// Those to check with.
  var validation: (any TrainingData)? {
    trainingCount < classes.count ? Part(items: self, range: trainingCount..<classes.count) : nil
  }

  /// Some of the items.
  private struct Part: TrainingData {
    let items: CallerItems
    let range: Range<Int>

    var count: Int { range.count }
    var isSameInEveryEpoch: Bool { true }
    var fingerprint: String {
      var sum = SHA256()
      sum.update("\(items.name)\n\(items.shape)\n\(items.classes[range])".utf8)
      return sum.hexadecimal()
    }

    func batch(_ indices: [Int], epoch: Int) throws -> Batch {
      let places = indices.map { range.lowerBound + $0 }
      return Batch([try items.read(places)], labels: [.classes(places.map { items.classes[$0] })])
    }
  }

  private func read(_ places: [Int]) throws -> Tensor {
    let batch = try Tensor(uninitialized: Shape([places.count] + shape.dimensions))
    let size = shape.count
    try batch.withMutableElements(of: Float.self) { target in
      guard let start = target.baseAddress else { return }
      for (row, place) in places.enumerated() {
        let row = start + row * size
        if let items = source.items {
          row.update(from: items + place * size, count: size)
          continue
        }
        row.initialize(repeating: 0, count: size)
        var item = lamina_tensor()
        item.describe(shape, .float32)
        item.data = UnsafeMutableRawPointer(row)
        item.byte_count = size * 4
        guard let code = source.read?(source.user, place, &item), code == 0 else {
          throw LaminaError(.io, "the caller's read gave up", path: "item \(place)")
        }
      }
    }
    return batch
  }
}
