import LaminaCore
import LaminaKernels

/// The index space of an operation on two tensors that broadcast to one shape, with axes merged where both
/// operands run through them in one stride.
struct Broadcast: Sendable {
  private let extents: [Int]
  private let strides: (a: [Int], b: [Int])
  private let kernelShape: lk_broadcast

  /// `a` and `b` must broadcast to `result`.
  init(_ a: Shape, _ b: Shape, to result: Shape) {
    var axes: [(extent: Int, a: Int, b: Int)] = []
    let (aStrides, bStrides) = (a.strides(broadcastTo: result), b.strides(broadcastTo: result))
    for axis in 0..<result.rank where result[axis] != 1 {
      let next = (extent: result[axis], a: aStrides[axis], b: bStrides[axis])
      if let last = axes.last, last.a == next.a * next.extent, last.b == next.b * next.extent {
        axes[axes.count - 1] = (last.extent * next.extent, next.a, next.b)
      } else {
        axes.append(next)
      }
    }
    if axes.isEmpty { axes = [(1, 1, 1)] }
    extents = axes.map(\.extent)
    strides = (axes.map(\.a), axes.map(\.b))
    var shape = lk_broadcast()
    shape.rank = Int32(axes.count)
    func fill<Tuple>(_ tuple: inout Tuple, _ numbers: [Int]) {
      withUnsafeMutableBytes(of: &tuple) { bytes in
        numbers.withUnsafeBytes { bytes.copyMemory(from: $0) }
      }
    }
    fill(&shape.extents, extents)
    fill(&shape.a_strides, strides.a)
    fill(&shape.b_strides, strides.b)
    kernelShape = shape
  }

  /// Whether b is one number for all elements.
  var repeatsOneNumber: Bool { strides.b == [0] || extents == [1] }

  /// y = f(a, b) by a kernel.
  func run(
    _ f: lk_binary, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
    _ y: UnsafeMutablePointer<Float>, _ pool: ThreadPool
  ) {
    withUnsafePointer(to: kernelShape) { lk_f32_binary(pool.handle, f, $0, a, b, y) }
  }

  /// The gradients of a and b, where they are wanted, from that of f(a, b).
  ///
  /// - Parameters:
  ///   - sums: how a gradient in the shape of the result becomes that of each operand.
  ///   - scratch: as many floats as the result has, and those of the sums.
  func addGradients(
    _ f: lk_binary, _ a: TensorView, _ b: TensorView, _ dy: TensorView,
    _ gradients: [MutableTensorView?], sums: [BroadcastSum],
    scratch: UnsafeMutablePointer<Float>?, _ pool: ThreadPool
  ) {
    guard dy.shape.count > 0 else { return }
    withUnsafePointer(to: kernelShape) { shape in
      func run(_ operand: Int, _ d: UnsafeMutablePointer<Float>, adds: Bool) {
        lk_f32_binary_gradient(
          pool.handle, f, Int32(operand), shape, a.floats, b.floats, dy.floats, d, adds)
      }
      for (operand, gradient) in gradients.enumerated() {
        guard let gradient else { continue }
        if !sums[operand].sums {
          run(operand, gradient.floats, adds: true)
        } else if let scratch {
          run(operand, scratch, adds: false)
          sums[operand].add(
            scratch, into: gradient.floats, scratch: scratch + dy.shape.count, pool)
        }
      }
    }
  }

  /// y = f(a, b) for any types of elements.
  func map<A: TensorElement, B: TensorElement, Y: TensorElement>(
    _ a: TensorView, _ b: TensorView, _ y: MutableTensorView, _ f: (A, B) -> Y
  ) {
    let (a, b, y) = (a.elements(as: A.self), b.elements(as: B.self), y.elements(as: Y.self))
    var atA = StrideWalk(extents, strides.a)
    var atB = StrideWalk(extents, strides.b)
    for i in y.indices {
      y[i] = f(a[atA.offset], b[atB.offset])
      atA.advance()
      atB.advance()
    }
  }
}

extension Shape {
  /// How far one step along each axis of `result` goes in this shape: 0 where it repeats.
  func strides(broadcastTo result: Shape) -> [Int] {
    let (missing, own) = (result.rank - rank, strides)
    return (0..<result.rank).map {
      $0 < missing || self[$0 - missing] == 1 ? 0 : own[$0 - missing]
    }
  }
}

/// Walks an index space in row-major order and keeps the offset that strides give each index.
struct StrideWalk {
  /// Offset of the current index.
  private(set) var offset = 0
  private var index: [Int]
  private let extents: [Int]
  private let strides: [Int]

  init(_ extents: [Int], _ strides: [Int]) {
    self.extents = extents
    self.strides = strides
    index = extents.map { _ in 0 }
  }

  /// Steps to the next index; wraps to the first after the last.
  mutating func advance() {
    for axis in stride(from: index.count - 1, through: 0, by: -1) {
      index[axis] += 1
      offset += strides[axis]
      if index[axis] < extents[axis] { return }
      offset -= extents[axis] * strides[axis]
      index[axis] = 0
    }
  }
}
