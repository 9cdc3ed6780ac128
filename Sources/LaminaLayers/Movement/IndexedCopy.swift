import LaminaCore

/// y[i₀, i₁, …] = x[m₀[i₀], m₁[i₁], …], or a fill element where one of the tables mₐ holds −1: padding and
/// nearest-neighbour sampling in one form.
struct IndexedCopy: Movement {
  /// The element that stands where a table holds −1.
  enum Fill: Sendable {
    /// This number.
    case number(Number)
    /// The only element of an input.
    case input(Int)
  }

  /// Neighbouring outputs that come from neighbouring inputs, or are all filled (`source` −1).
  private struct Segment {
    var target: Int
    var source: Int
    var count: Int
  }

  private let type: ElementType
  private let fill: Fill
  /// Tables of all mapped axes but the last.
  private let outer: [[Int32]]
  /// Distance in the input of neighbours on each of these axes, in runs.
  private let outerStrides: [Int]
  private let inner: [Int32]
  private let segments: [Segment]
  /// How many parts the rows fall into that read different inputs, one behind the other.
  private let parts: Int
  /// Elements that always move together: the axes behind the last mapped one.
  private let run: Int
  let scratchBytes = 0

  /// - Parameter tables: one for each axis of `shape`, the input's; an entry lies in −1 ..< extent.
  init(_ tables: [[Int32]], shape: Shape, type: ElementType, fill: Fill = .number(.int(0))) {
    self.type = type
    self.fill = fill
    let isIdentity = zip(tables, shape.dimensions).map { table, extent in
      table.count == extent && table.indices.allSatisfy { table[$0] == Int32($0) }
    }
    let last = isIdentity.lastIndex(of: false) ?? 0
    run = shape.rank == 0 ? 1 : shape.count(from: last + 1)
    inner = tables.isEmpty ? [0] : tables[last]
    outer = Array(tables.prefix(last))
    parts = outer.prefix(isIdentity.firstIndex(of: false) ?? 0).reduce(1) { $0 * $1.count }
    outerStrides = (0..<last).map { axis in
      shape.dimensions[(axis + 1)...last].reduce(1, *)
    }
    var segments: [Segment] = []
    for (target, source) in inner.enumerated() {
      let source = Int(source)
      if let segment = segments.last,
        source == (segment.source < 0 ? -1 : segment.source + segment.count)
      {
        segments[segments.count - 1].count += 1
      } else {
        segments.append(Segment(target: target, source: source, count: 1))
      }
    }
    self.segments = segments
  }

  func run(_ call: ForwardCall) {
    switch type.byteCount {
    case 1: run(UInt8.self, call)
    case 2: run(UInt16.self, call)
    case 4: run(UInt32.self, call)
    default: run(UInt64.self, call)
    }
  }

  private func run<T: BitwiseCopyable & Sendable>(_: T.Type, _ call: ForwardCall) {
    nonisolated(unsafe) let source = call.inputs[0].baseAddress.assumingMemoryBound(to: T.self)
    nonisolated(unsafe) let target = call.outputs[0].baseAddress.assumingMemoryBound(to: T.self)
    let fill = fillElement(T.self, call)
    let rows = outer.reduce(1) { $0 * $1.count }
    let rowLength = inner.count * run
    guard rows > 0, rowLength > 0 else { return }
    let isWorthIt = rows * rowLength * MemoryLayout<T>.stride >= 1 << 18
    let chunks = isWorthIt ? min(rows, call.pool.threadCount) : 1
    let rowsPerChunk = (rows + chunks - 1) / chunks
    call.pool.parallelFor(chunks) { chunk in
      let first = chunk * rowsPerChunk
      let end = min(first + rowsPerChunk, rows)
      guard first < end else { return }
      withUnsafeTemporaryAllocation(of: Int.self, capacity: max(outer.count, 1)) { index in
        copyRows(first..<end, from: source, to: target, fill: fill, index: index)
      }
    }
  }

  func addGradients(_ call: BackwardCall) {
    guard let dy = call.outputGradients[0] else { return }
    call.clearInputGradient(0)
    let rows = outer.reduce(1) { $0 * $1.count }
    guard rows > 0, inner.count * run > 0 else { return }
    if let dx = call.inputGradients[0] {
      nonisolated(unsafe) let (from, to) = (dy.floats, dx.floats)
      call.pool.parallelFor(parts) { part in
        forEachRow(part * rows / parts..<(part + 1) * rows / parts) { row, offset in
          guard let offset else { return }
          let (read, write) = (from + row * inner.count * run, to + offset)
          for (i, source) in inner.enumerated() where source >= 0 {
            for j in 0..<run { write[Int(source) * run + j] += read[i * run + j] }
          }
        }
      }
    }
    if case .input(let index) = fill, let dfill = call.inputGradients[index] {
      var sum = 0.0
      forEachRow(0..<rows) { row, offset in
        let read = dy.floats + row * inner.count * run
        for (i, source) in inner.enumerated() where offset == nil || source < 0 {
          for j in 0..<run { sum += Double(read[i * run + j]) }
        }
      }
      dfill.floats.pointee = (call.setsInputGradient(index) ? 0 : dfill.floats.pointee) + Float(sum)
    }
  }

  /// Calls `body` with every row and the offset of its input; nil for one that is filled.
  private func forEachRow(_ rows: Range<Int>, _ body: (Int, Int?) -> Void) {
    for row in rows {
      var (rest, offset) = (row, 0 as Int?)
      for axis in outer.indices.reversed() {
        let position = Int(outer[axis][rest % outer[axis].count])
        rest /= outer[axis].count
        offset = position < 0 ? nil : offset.map { $0 + position * outerStrides[axis] * run }
      }
      body(row, offset)
    }
  }

  private func fillElement<T: BitwiseCopyable>(_: T.Type, _ call: ForwardCall) -> T {
    switch fill {
    case .input(let index):
      return call.inputs[index].baseAddress.loadUnaligned(as: T.self)
    case .number(let number):
      return number.element(of: type, as: T.self)
    }
  }

  /// `rows` count the indices of the outer axes, the last fastest; `index` has room for one of each.
  private func copyRows<T: BitwiseCopyable>(
    _ rows: Range<Int>, from source: UnsafePointer<T>, to target: UnsafeMutablePointer<T>, fill: T,
    index: UnsafeMutableBufferPointer<Int>
  ) {
    let rowLength = inner.count * run
    index.initialize(repeating: 0)
    var rest = rows.lowerBound
    for axis in outer.indices.reversed() {
      index[axis] = rest % outer[axis].count
      rest /= outer[axis].count
    }
    var previous: Int?
    for row in rows {
      var offset: Int? = 0
      for axis in outer.indices {
        let position = Int(outer[axis][index[axis]])
        guard position >= 0 else {
          offset = nil
          break
        }
        offset = offset.map { $0 + position * outerStrides[axis] * run }
      }
      let write = target + row * rowLength
      if let offset, offset == previous {
        write.update(from: write - rowLength, count: rowLength)
      } else if let offset {
        copyRow(from: source + offset, to: write, fill: fill)
      } else {
        write.update(repeating: fill, count: rowLength)
      }
      previous = offset
      var axis = outer.count - 1
      while axis >= 0 {
        index[axis] += 1
        if index[axis] < outer[axis].count { break }
        index[axis] = 0
        axis -= 1
      }
    }
  }

  @inline(__always)
  private func copyRow<T: BitwiseCopyable>(
    from source: UnsafePointer<T>, to target: UnsafeMutablePointer<T>, fill: T
  ) {
    if run == 1, segments.count * 4 > inner.count {
      inner.withUnsafeBufferPointer { table in
        for i in table.indices { target[i] = table[i] < 0 ? fill : source[Int(table[i])] }
      }
      return
    }
    for segment in segments {
      let write = target + segment.target * run
      if segment.source < 0 {
        write.update(repeating: fill, count: segment.count * run)
      } else {
        write.update(from: source + segment.source * run, count: segment.count * run)
      }
    }
  }
}
