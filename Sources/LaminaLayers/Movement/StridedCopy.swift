import LaminaCore

/// target[Σ iₐ·targetStrideₐ + targetOffset] = source[Σ iₐ·sourceStrideₐ + sourceOffset] for every index i:
/// transposition, slicing, broadcasting, joining and splitting in one form. Strides may be zero or negative.
struct StridedCopy: Sendable {
  private struct Axis {
    var extent: Int
    var source: Int
    var target: Int
  }

  let input: Int
  private let output: Int
  private let elementBytes: Int
  private let sourceOffset: Int
  private let targetOffset: Int
  private let axes: [Axis]

  /// From input `input` to output `output` of a call. Strides and offsets count elements of `type`.
  init(
    input: Int = 0, output: Int = 0, type: ElementType, extents: [Int], sourceStrides: [Int],
    targetStrides: [Int], sourceOffset: Int = 0, targetOffset: Int = 0
  ) {
    self.input = input
    self.output = output
    elementBytes = type.byteCount
    self.sourceOffset = sourceOffset
    self.targetOffset = targetOffset
    var axes: [Axis] = []
    for index in extents.indices where extents[index] != 1 {
      let axis = Axis(
        extent: extents[index], source: sourceStrides[index], target: targetStrides[index])
      if let last = axes.last, last.source == axis.source * axis.extent,
        last.target == axis.target * axis.extent
      {
        axes[axes.count - 1] = Axis(
          extent: last.extent * axis.extent, source: axis.source, target: axis.target)
      } else {
        axes.append(axis)
      }
    }
    // A transposition: the axis along which the source is contiguous goes next to the innermost.
    if let inner = axes.last, inner.source != 1, inner.target == 1,
      let position = axes.dropLast().lastIndex(where: { $0.source == 1 })
    {
      let axis = axes.remove(at: position)
      axes.insert(axis, at: axes.count - 1)
    }
    self.axes = axes
  }

  /// Copies every element; on several threads where it is worth it.
  func run(_ call: ForwardCall) {
    let source = call.inputs[input].baseAddress + sourceOffset * elementBytes
    let target = call.outputs[output].baseAddress + targetOffset * elementBytes
    let count = axes.reduce(1) { $0 * $1.extent }
    guard count > 0 else { return }
    let threads = call.pool.threadCount
    guard threads > 1, count * elementBytes >= 1 << 18,
      let split = axes.indices.max(by: { axes[$0].extent < axes[$1].extent })
    else { return run(axes, from: source, to: target) }
    let whole = axes[split]
    let chunk = (whole.extent + threads - 1) / threads
    nonisolated(unsafe) let (from, to) = (source, target)
    call.pool.parallelFor((whole.extent + chunk - 1) / chunk) { index in
      var part = axes
      part[split].extent = min(chunk, whole.extent - index * chunk)
      run(
        part, from: from + index * chunk * whole.source * elementBytes,
        to: to + index * chunk * whole.target * elementBytes)
    }
  }

  private func run(
    _ axes: [Axis], from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer
  ) {
    switch elementBytes {
    case 1: run(UInt8.self, axes, source, target)
    case 2: run(UInt16.self, axes, source, target)
    case 4: run(UInt32.self, axes, source, target)
    default: run(UInt64.self, axes, source, target)
    }
  }

  private func run<T: BitwiseCopyable>(
    _: T.Type, _ axes: [Axis], _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer
  ) {
    var source = source.assumingMemoryBound(to: T.self)
    var target = target.assumingMemoryBound(to: T.self)
    guard let inner = axes.last else {
      target.pointee = source.pointee
      return
    }
    let isTransposed =
      axes.count > 1 && inner.source != 1 && inner.target == 1 && axes[axes.count - 2].source == 1
    let outer = axes.dropLast(isTransposed ? 2 : 1)
    withUnsafeTemporaryAllocation(of: Int.self, capacity: max(outer.count, 1)) { index in
      index.initialize(repeating: 0)
      while true {
        if isTransposed {
          Self.transpose(source, target, axes[axes.count - 2], inner)
        } else {
          Self.copy(source, target, inner)
        }
        var axis = outer.count - 1
        while axis >= 0 {
          source += outer[axis].source
          target += outer[axis].target
          index[axis] += 1
          if index[axis] < outer[axis].extent { break }
          source -= outer[axis].source * outer[axis].extent
          target -= outer[axis].target * outer[axis].extent
          index[axis] = 0
          axis -= 1
        }
        if axis < 0 { return }
      }
    }
  }

  /// Elements that it moves, each to one place.
  var count: Int { axes.reduce(1) { $0 * $1.extent } }

  /// Whether no element is repeated.
  var isInjective: Bool { axes.allSatisfy { $0.source != 0 } }

  /// Whether the gradient of its output is there.
  func hasGradient(_ call: BackwardCall) -> Bool { call.outputGradients[output] != nil }

  /// Adds the gradient of every target to that of its source, or with `sets` writes it there. Targets of one
  /// source are added in the order of the index, on any number of threads.
  func addGradient(_ call: BackwardCall, sets: Bool) {
    guard count > 0, let dy = call.outputGradients[output], let dx = call.inputGradients[input]
    else { return }
    nonisolated(unsafe) let (from, to) = (dy.floats + targetOffset, dx.floats + sourceOffset)
    let threads = call.pool.threadCount
    guard threads > 1, count >= 1 << 16,
      let split = axes.indices.filter({ axes[$0].source != 0 }).max(
        by: { axes[$0].extent < axes[$1].extent })
    else { return Self.add(axes, from: from, to: to, sets: sets) }
    let whole = axes[split]
    let chunk = (whole.extent + threads - 1) / threads
    call.pool.parallelFor((whole.extent + chunk - 1) / chunk) { index in
      var part = axes
      part[split].extent = min(chunk, whole.extent - index * chunk)
      Self.add(
        part, from: from + index * chunk * whole.target, to: to + index * chunk * whole.source,
        sets: sets)
    }
  }

  private static func add(
    _ axes: [Axis], from dy: UnsafePointer<Float>, to dx: UnsafeMutablePointer<Float>, sets: Bool
  ) {
    let inner = axes.last ?? Axis(extent: 1, source: 1, target: 1)
    let outer = axes.dropLast()
    var sources = StrideWalk(outer.map(\.extent), outer.map(\.source))
    var targets = StrideWalk(outer.map(\.extent), outer.map(\.target))
    for _ in 0..<outer.reduce(1, { $0 * $1.extent }) {
      let (read, write) = (dy + targets.offset, dx + sources.offset)
      if inner.source == 1, inner.target == 1 {
        if sets {
          write.update(from: read, count: inner.extent)
        } else {
          for i in 0..<inner.extent { write[i] += read[i] }
        }
      } else if sets {
        for i in 0..<inner.extent { write[i &* inner.source] = read[i &* inner.target] }
      } else {
        for i in 0..<inner.extent { write[i &* inner.source] += read[i &* inner.target] }
      }
      sources.advance()
      targets.advance()
    }
  }

  @inline(__always)
  private static func copy<T: BitwiseCopyable>(
    _ source: UnsafePointer<T>, _ target: UnsafeMutablePointer<T>, _ axis: Axis
  ) {
    if axis.target == 1, axis.source == 1 {
      UnsafeMutableRawPointer(target).copyMemory(
        from: source, byteCount: axis.extent * MemoryLayout<T>.stride)
    } else if axis.target == 1, axis.source == 0 {
      target.update(repeating: source.pointee, count: axis.extent)
    } else {
      for i in 0..<axis.extent { target[i &* axis.target] = source[i &* axis.source] }
    }
  }

  /// Copies in tiles, so that neither side is walked with long strides for more than a few cache lines.
  @inline(__always)
  private static func transpose<T: BitwiseCopyable>(
    _ source: UnsafePointer<T>, _ target: UnsafeMutablePointer<T>, _ rows: Axis, _ columns: Axis
  ) {
    let tile = 16
    for row in stride(from: 0, to: rows.extent, by: tile) {
      let rowEnd = min(row + tile, rows.extent)
      for column in stride(from: 0, to: columns.extent, by: tile) {
        let columnEnd = min(column + tile, columns.extent)
        for r in row..<rowEnd {
          let read = source + r
          let write = target + r &* rows.target
          for c in column..<columnEnd { write[c] = read[c &* columns.source] }
        }
      }
    }
  }
}

/// Strided copies that together write every output.
struct StridedCopies: Movement {
  let copies: [StridedCopy]
  var inputLayouts: [TensorLayout]?
  var outputLayouts: [TensorLayout]?
  let joinsInputs: Bool
  var scratchBytes: Int { 0 }

  init(
    _ copies: [StridedCopy], inputLayouts: [TensorLayout]? = nil,
    outputLayouts: [TensorLayout]? = nil, joinsInputs: Bool = false
  ) {
    self.joinsInputs = joinsInputs
    self.copies = copies
    self.inputLayouts = inputLayouts
    self.outputLayouts = outputLayouts
  }

  func run(_ call: ForwardCall) { for copy in copies { copy.run(call) } }

  func addGradients(_ call: BackwardCall) {
    for (input, gradient) in call.inputGradients.enumerated() {
      guard let gradient else { continue }
      let own = copies.filter { $0.input == input }
      let byteCount = (inputLayouts?[input] ?? .plain).byteCount(
        TensorSpec(gradient.shape, gradient.type))
      let sets = call.setsInputGradient(input)
      let covers =
        own.count == 1
        && own.allSatisfy {
          $0.isInjective && $0.count * 4 == byteCount && $0.hasGradient(call)
        }
      if sets, !covers {
        gradient.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
      }
      for copy in own { copy.addGradient(call, sets: sets && covers) }
    }
  }
}
