import LaminaCore

/// A division of pictures into some to train with and some to check with, made so that nothing leaks: pictures of equal
/// bytes are on one side, and a picture stays on its side whatever is added, renamed or reordered around it.
///
/// In each class the pictures with the smallest keyed hashes of their contents are held out, `fraction` of the class and
/// at least one where it has two.
public struct StratifiedSplit: Sendable {
  /// Positions of the pictures to train with, in the order of the set.
  public let training: [Int]
  /// Positions of those held out, in the order of the set.
  public let validation: [Int]
  /// SHA-256 of each picture's bytes, by position.
  public let hashes: [String]
  /// Pictures of equal bytes, where there are several: positions, the first of each group first.
  public let duplicates: [[Int]]
  /// Groups of equal pictures that carry different labels.
  public let conflicts: [[Int]]

  /// - Parameters:
  ///   - fraction: share of each class that is held out, in 0..<1.
  ///   - seed: another seed gives another division.
  /// - Throws: `argument` for another fraction; what reading the pictures throws.
  public init(
    _ images: some LabeledImages, holdingOut fraction: Double, seed: UInt64 = 0, pool: ThreadPool
  ) throws {
    guard fraction >= 0, fraction < 1 else {
      throw LaminaError(.argument, "expected a fraction in 0..<1, found \(fraction)")
    }
    hashes = try parallelMap(images.count, pool) { index in
      SHA256.hexadecimal(try images.content(of: index))
    }
    var groups: [String: [Int]] = [:]
    for (index, hash) in hashes.enumerated() { groups[hash, default: []].append(index) }
    let repeated = groups.values.filter { $0.count > 1 }.sorted { $0[0] < $1[0] }
    duplicates = repeated
    conflicts = repeated.filter { group in
      group.contains { images.label(of: $0) != images.label(of: group[0]) }
    }
    var byClass = [[(key: UInt64, hash: String)]](repeating: [], count: images.classNames.count)
    for (hash, group) in groups {
      let key = CounterRandom(seed: seed, name: hash).bits(0)
      byClass[images.label(of: group[0])].append((key, hash))
    }
    var isHeldOut = [Bool](repeating: false, count: images.count)
    for members in byClass {
      let total = members.reduce(0) { $0 + (groups[$1.hash]?.count ?? 0) }
      var wanted = Int((fraction * Double(total)).rounded())
      if fraction > 0, wanted == 0, total > 1 { wanted = 1 }
      var taken = 0
      for member in members.sorted(by: { ($0.key, $0.hash) < ($1.key, $1.hash) }) {
        let group = groups[member.hash] ?? []
        // The last group of a class stays to train with.
        guard taken < wanted, taken + group.count < total else { break }
        for index in group { isHeldOut[index] = true }
        taken += group.count
      }
    }
    training = isHeldOut.indices.filter { !isHeldOut[$0] }
    validation = isHeldOut.indices.filter { isHeldOut[$0] }
  }

  /// One line for each picture, `training` or `validation`, class, hash and name between tabs, under a heading; control
  /// characters of names are escaped.
  public func manifest(of images: some LabeledImages) -> String {
    var lines = ["split\tclass\tsha256\tname"]
    let held = Set(validation)
    for index in hashes.indices {
      let side = held.contains(index) ? "validation" : "training"
      let label = images.classNames[images.label(of: index)].escapedForDisplay(limit: .max)
      let name = images.name(of: index).escapedForDisplay(limit: .max)
      lines.append("\(side)\t\(label)\t\(hashes[index])\t\(name)")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// The results of `body` for 0 ..< count, computed on all threads of `pool`.
///
/// - Throws: the error of the smallest index that has one.
func parallelMap<T: Sendable>(
  _ count: Int, _ pool: ThreadPool, _ body: @Sendable (Int) throws -> T
) throws -> [T] {
  let results = UnsafeMutableBufferPointer<Result<T, any Error>?>.allocate(capacity: count)
  results.initialize(repeating: nil)
  defer {
    results.deinitialize()
    results.deallocate()
  }
  nonisolated(unsafe) let places = results
  pool.parallelFor(count) { index in places[index] = Result { try body(index) } }
  return try results.map { result in
    guard let result else { throw LaminaError(.internal, "a result is missing") }
    return try result.get()
  }
}
