import LaminaCore
import LaminaKernels

/// y += factor·Σ x over the axes of x along which y repeats: the way back of a broadcast.
///
/// Axes are summed from the last to the first, each in an order that does not depend on threads.
struct BroadcastSum: Sendable {
  private let passes: [(outer: Int, length: Int, inner: Int)]
  private let count: Int

  /// `operand` must broadcast to `result`.
  init(_ operand: Shape, in result: Shape) {
    let strides = operand.strides(broadcastTo: result)
    self.init(zip(result.dimensions, strides).map { ($0, isRepeated: $1 == 0) })
  }

  /// From the axes of x, outermost first.
  init(_ axes: [(extent: Int, isRepeated: Bool)]) {
    var groups: [(extent: Int, isRepeated: Bool)] = []
    for axis in axes where axis.extent != 1 {
      if let last = groups.last, last.isRepeated == axis.isRepeated {
        groups[groups.count - 1].extent *= axis.extent
      } else {
        groups.append(axis)
      }
    }
    var passes: [(outer: Int, length: Int, inner: Int)] = []
    while let last = groups.lastIndex(where: \.isRepeated) {
      passes.append(
        (
          groups[..<last].reduce(1) { $0 * $1.extent }, groups[last].extent,
          groups[(last + 1)...].reduce(1) { $0 * $1.extent }
        ))
      groups.remove(at: last)
    }
    self.passes = passes
    count = groups.reduce(1) { $0 * $1.extent }
  }

  /// Whether y repeats along any axis.
  var sums: Bool { !passes.isEmpty }

  /// Floats of scratch that `add` wants.
  var scratchCount: Int { passes.reduce(0) { $0 + $1.outer * $1.inner } }

  /// Adds, or with `sets` writes.
  func add(
    _ x: UnsafePointer<Float>, factor: Float = 1, into y: UnsafeMutablePointer<Float>,
    sets: Bool = false, scratch: UnsafeMutablePointer<Float>?, _ pool: ThreadPool
  ) {
    if passes.contains(where: { $0.length == 0 }) {
      if sets { y.update(repeating: 0, count: count) }
      return
    }
    var (source, target) = (x, scratch)
    for pass in passes {
      guard let sum = target else { return }
      lk_f32_reduce(
        pool.handle, LK_REDUCE_SUM, 1, source, sum, pass.outer, pass.length, pass.inner)
      source = UnsafePointer(sum)
      target = sum + pass.outer * pass.inner
    }
    lk_f32_unary_gradient(pool.handle, LK_SCALE, factor, 0, source, source, y, !sets, count)
  }
}
