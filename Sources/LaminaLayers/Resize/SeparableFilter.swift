import LaminaCore
import LaminaKernels

/// y[i] = Σₖ weight[i, k]·x[start[i] + k] along one axis.
struct AxisFilter: Sendable {
  /// Weights of each output.
  let taps: Int
  /// The first input of each output; `start + taps` lies within the axis.
  let starts: [Int32]
  /// [outputs, taps].
  let weights: [Float]

  /// Rows of weights that begin at an input each; weights of zero at the ends are dropped.
  init(_ rows: [(start: Int, weights: [Double])], extent: Int) {
    let cut = rows.map { row in
      let first = row.weights.firstIndex { $0 != 0 } ?? 0
      let last = row.weights.lastIndex { $0 != 0 } ?? 0
      return (start: row.start + first, weights: row.weights[first...max(first, last)])
    }
    let taps = cut.map(\.weights.count).max() ?? 1
    var starts: [Int32] = []
    var weights: [Float] = []
    weights.reserveCapacity(cut.count * taps)
    for row in cut {
      let start = min(row.start, extent - taps)
      starts.append(Int32(truncatingIfNeeded: start))
      let before = row.start - start
      weights += [Float](repeating: 0, count: before)
      weights += row.weights.map { Float($0) }
      weights += [Float](repeating: 0, count: taps - before - row.weights.count)
    }
    self.taps = taps
    self.starts = starts
    self.weights = weights
  }

  var outputCount: Int { starts.count }

  /// The filter with weights of 0 for some outputs.
  func cleared(at outputs: [Int]) -> AxisFilter {
    var weights = weights
    for output in outputs {
      for tap in 0..<taps { weights[output * taps + tap] = 0 }
    }
    return AxisFilter(taps: taps, starts: starts, weights: weights)
  }

  private init(taps: Int, starts: [Int32], weights: [Float]) {
    (self.taps, self.starts, self.weights) = (taps, starts, weights)
  }
}

/// Filters along several axes, one axis after the other.
struct SeparableFilter: Movement {
  private struct Pass {
    var filter: AxisFilter
    /// Elements before, on and behind the axis in the pass's input.
    var outer: Int
    var extent: Int
    var inner: Int

    var outputElements: Int { outer * filter.outputCount * inner }
  }

  private let passes: [Pass]
  private let shape: Shape
  /// Output positions along each axis that take the extrapolation value.
  private let outside: [[Int]]
  private let extrapolation: Float
  /// Elements of scratch for what passes 0, 2, … and 1, 3, … leave to the next.
  private let evenElements: Int
  private let oddElements: Int

  /// - Parameter filters: nil for axes that stay as they are.
  init(_ shape: Shape, filters: [AxisFilter?], outside: [[Int]], extrapolation: Float) {
    self.shape = shape
    self.outside = outside
    self.extrapolation = extrapolation
    var dimensions = shape.dimensions
    func growth(_ axis: Int) -> Double {
      Double(filters[axis]?.outputCount ?? 0) / Double(max(shape[axis], 1))
    }
    // Axes that shrink go first: the others then have less to do.
    let order = filters.indices.filter { filters[$0] != nil }.sorted { growth($0) < growth($1) }
    var passes: [Pass] = []
    for axis in order {
      guard let filter = filters[axis]?.cleared(at: outside[axis]) else { continue }
      passes.append(
        Pass(
          filter: filter, outer: dimensions[..<axis].reduce(1, *), extent: dimensions[axis],
          inner: dimensions[(axis + 1)...].reduce(1, *)))
      dimensions[axis] = filter.outputCount
    }
    self.passes = passes
    let between = passes.dropLast().map { ($0.outputElements + 15) & ~15 }
    evenElements = between.enumerated().filter { $0.offset % 2 == 0 }.map(\.element).max() ?? 0
    oddElements = between.enumerated().filter { $0.offset % 2 == 1 }.map(\.element).max() ?? 0
  }

  var scratchBytes: Int { (evenElements + oddElements) * MemoryLayout<Float>.stride }

  var summary: String { "\(passes.count) filters" }

  func run(_ call: ForwardCall) {
    guard let last = passes.indices.last else { return call.copyFirstInput() }
    let scratch = call.scratch.baseAddress?.assumingMemoryBound(to: Float.self)
    var source = call.inputs[0].floats
    for (index, pass) in passes.enumerated() {
      let between = scratch.map { index % 2 == 0 ? $0 : $0 + evenElements }
      let target = index == last ? call.outputs[0].floats : between ?? call.outputs[0].floats
      Self.run(pass, from: source, to: target, call.pool)
      source = UnsafePointer(target)
    }
    extrapolate(call.outputs[0])
  }

  private static func run(
    _ pass: Pass, from source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>,
    _ pool: ThreadPool
  ) {
    let filter = pass.filter
    let rows = pass.inner == 1 ? pass.outer : pass.outer * filter.outputCount
    let rowLength = pass.inner == 1 ? filter.outputCount : pass.inner
    let rowsPerChunk = max(1, (1 << 14) / max(rowLength, 1))
    nonisolated(unsafe) let (source, target) = (source, target)
    pool.parallelFor((rows + rowsPerChunk - 1) / rowsPerChunk) { chunk in
      let first = chunk * rowsPerChunk
      filter.starts.withUnsafeBufferPointer { starts in
        filter.weights.withUnsafeBufferPointer { weights in
          for row in first..<min(first + rowsPerChunk, rows) {
            let write = target + row * rowLength
            if pass.inner == 1 {
              filterAlong(source + row * pass.extent, write, starts, weights, filter.taps)
            } else {
              let (outer, index) = row.quotientAndRemainder(dividingBy: filter.outputCount)
              let read = source + (outer * pass.extent + Int(starts[index])) * pass.inner
              let taps = UnsafeBufferPointer(
                rebasing: weights[(index * filter.taps)..<((index + 1) * filter.taps)])
              filterAcross(read, write, pass.inner, taps)
            }
          }
        }
      }
    }
  }

  /// y[i] = Σₖ weights[i, k]·x[starts[i] + k].
  private static func filterAlong(
    _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>,
    _ starts: UnsafeBufferPointer<Int32>, _ weights: UnsafeBufferPointer<Float>, _ taps: Int
  ) {
    if taps == 2 {
      for i in starts.indices {
        let read = x + Int(starts[i])
        y[i] = weights[2 &* i] * read[0] + weights[2 &* i &+ 1] * read[1]
      }
      return
    }
    for i in starts.indices {
      let read = x + Int(starts[i])
      var sum: Float = 0
      for k in 0..<taps { sum += weights[i &* taps &+ k] * read[k] }
      y[i] = sum
    }
  }

  /// y = Σₖ weights[k]·row k of x.
  private static func filterAcross(
    _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int,
    _ weights: UnsafeBufferPointer<Float>
  ) {
    if weights.count == 2 {
      let (a, b, next) = (weights[0], weights[1], x + count)
      for j in 0..<count { y[j] = a * x[j] + b * next[j] }
      return
    }
    let first = weights[0]
    for j in 0..<count { y[j] = first * x[j] }
    for k in 1..<weights.count {
      let (weight, row) = (weights[k], x + k * count)
      for j in 0..<count { y[j] += weight * row[j] }
    }
  }

  private func extrapolate(_ output: MutableTensorView) {
    for (axis, positions) in outside.enumerated() where !positions.isEmpty {
      let extent = output.shape[axis]
      let inner = output.shape.strides[axis]
      for outer in 0..<output.shape.count(before: axis) {
        for position in positions {
          (output.floats + (outer * extent + position) * inner)
            .update(repeating: extrapolation, count: inner)
        }
      }
    }
  }

  func addGradients(_ call: BackwardCall) {
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0] else { return }
    call.clearInputGradient(0)
    guard !passes.isEmpty else {
      lk_f32_unary_gradient(
        call.pool.handle, LK_SCALE, 1, 0, dy.floats, dy.floats, dx.floats, true, dx.shape.count)
      return
    }
    let scratch = call.floats
    var source = dy.floats
    for (index, pass) in passes.enumerated().reversed() {
      let between = scratch.map { index % 2 == 1 ? $0 : $0 + evenElements }
      let target = index == 0 ? dx.floats : between ?? dx.floats
      if index > 0 { target.update(repeating: 0, count: pass.outer * pass.extent * pass.inner) }
      Self.addBack(pass, from: source, to: target, call.pool)
      source = UnsafePointer(target)
    }
  }

  /// x[start[i] + k] += weight[i, k]·y[i].
  private static func addBack(
    _ pass: Pass, from source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>,
    _ pool: ThreadPool
  ) {
    let (filter, inner) = (pass.filter, pass.inner)
    nonisolated(unsafe) let (source, target) = (source, target)
    pool.parallelFor(pass.outer) { outer in
      for (index, start) in filter.starts.enumerated() {
        let read = source + (outer * filter.outputCount + index) * inner
        let write = target + (outer * pass.extent + Int(start)) * inner
        for k in 0..<filter.taps {
          let weight = filter.weights[index * filter.taps + k]
          for j in 0..<inner { write[k * inner + j] += weight * read[j] }
        }
      }
    }
  }
}
