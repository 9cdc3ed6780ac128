/// Places buffers with known lifetimes in one arena: walks the steps in order, gives each buffer the
/// smallest free gap that holds it, and frees it after its last use.
struct MemoryPlanner {
  /// A buffer in use from `first` to `last`, both steps included.
  struct Buffer {
    var byteCount: Int
    var first: Int
    var last: Int
  }

  /// Offsets by buffer, in bytes.
  private(set) var offsets: [Int] = []
  /// Bytes of the arena.
  private(set) var byteCount = 0
  private var gaps: [Range<Int>] = []

  static let alignment = 64

  static func aligned(_ count: Int) -> Int { (count + alignment - 1) & ~(alignment - 1) }

  /// - Throws: `limit` when the arena does not fit an `Int`.
  init(_ buffers: [Buffer], stepCount: Int) throws {
    offsets = [Int](repeating: 0, count: buffers.count)
    var starting = [[Int]](repeating: [], count: stepCount + 1)
    var ending = [[Int]](repeating: [], count: stepCount + 1)
    for (index, buffer) in buffers.enumerated() {
      starting[buffer.first].append(index)
      ending[buffer.last].append(index)
    }
    for step in 0...stepCount {
      for index in starting[step].sorted(by: { buffers[$0].byteCount > buffers[$1].byteCount }) {
        let size = MemoryPlanner.aligned(max(buffers[index].byteCount, 1))
        offsets[index] = try take(size)
      }
      for index in ending[step] {
        let size = MemoryPlanner.aligned(max(buffers[index].byteCount, 1))
        release(offsets[index]..<offsets[index] + size)
      }
    }
  }

  private mutating func take(_ size: Int) throws -> Int {
    var best: Int?
    for (index, gap) in gaps.enumerated() where gap.count >= size {
      if best.map({ gap.count < gaps[$0].count }) ?? true { best = index }
    }
    if let best {
      let start = gaps[best].lowerBound
      gaps[best] = start + size..<gaps[best].upperBound
      if gaps[best].isEmpty { gaps.remove(at: best) }
      return start
    }
    // A gap at the end of the arena is extended rather than left behind.
    let start =
      gaps.last.map { $0.upperBound == byteCount ? $0.lowerBound : byteCount } ?? byteCount
    if start < byteCount { gaps.removeLast() }
    let (end, overflow) = start.addingReportingOverflow(size)
    guard !overflow else {
      throw LaminaError(.limit, "activations need more memory than there can be")
    }
    byteCount = end
    return start
  }

  private mutating func release(_ range: Range<Int>) {
    let index = gaps.firstIndex { $0.lowerBound > range.lowerBound } ?? gaps.count
    gaps.insert(range, at: index)
    if index + 1 < gaps.count, gaps[index].upperBound == gaps[index + 1].lowerBound {
      gaps[index] = gaps[index].lowerBound..<gaps[index + 1].upperBound
      gaps.remove(at: index + 1)
    }
    if index > 0, gaps[index - 1].upperBound == gaps[index].lowerBound {
      gaps[index - 1] = gaps[index - 1].lowerBound..<gaps[index].upperBound
      gaps.remove(at: index)
    }
  }
}
