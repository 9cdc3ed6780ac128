import LaminaCore

/// The axes of a tensor sorted into those that a reduction keeps and those that it runs over, neighbours of one
/// kind merged.
struct ReductionSpace {
  /// Elements that each result is made of.
  let length: Int
  private let kept: (extents: [Int], strides: [Int])
  private let reduced: (extents: [Int], strides: [Int])

  init(_ shape: Shape, _ isReduced: [Bool]) {
    var groups: [(extent: Int, stride: Int, isReduced: Bool)] = []
    let strides = shape.strides
    for axis in 0..<shape.rank where shape[axis] != 1 {
      if let last = groups.last, last.isReduced == isReduced[axis] {
        groups[groups.count - 1] = (last.extent * shape[axis], strides[axis], last.isReduced)
      } else {
        groups.append((shape[axis], strides[axis], isReduced[axis]))
      }
    }
    let (kept, reduced) = (groups.filter { !$0.isReduced }, groups.filter(\.isReduced))
    length = reduced.map(\.extent).reduce(1, *)
    self.kept = (kept.map(\.extent), kept.map(\.stride))
    self.reduced = (reduced.map(\.extent), reduced.map(\.stride))
  }

  /// [outer, length, inner] when the reduced axes are neighbours.
  var middle: (outer: Int, length: Int, inner: Int)? {
    guard reduced.extents.count <= 1 else { return nil }
    let results = kept.extents.reduce(1, *)
    guard length > 0, let inner = reduced.strides.first else { return (1, length, results) }
    return (results / max(inner, 1), length, inner)
  }

  /// y[i] = f(the elements that make up y[i]).
  func reduce<T: TensorElement, Y: TensorElement>(
    _ x: TensorView, _ y: MutableTensorView, _ f: (StridedValues<T>) -> Y
  ) {
    let (x, y) = (x.elements(as: T.self), y.elements(as: Y.self))
    var walk = StrideWalk(kept.extents, kept.strides)
    for i in y.indices {
      y[i] = f(
        StridedValues(
          elements: x, start: walk.offset, count: length,
          walk: StrideWalk(reduced.extents, reduced.strides)))
      walk.advance()
    }
  }
}

extension ReductionSpace {
  /// Adds dy[i]·∂y[i] to the gradients of the elements that make up y[i]; `derivative` gives ∂y[i] as a function
  /// of an element.
  func addGradients(
    _ x: UnsafePointer<Float>, _ y: TensorView, _ dy: TensorView,
    _ dx: UnsafeMutablePointer<Float>,
    _ derivative: (StridedValues<Float>, Float) -> (Float) -> Float
  ) {
    let elements = UnsafeBufferPointer(start: x, count: kept.extents.reduce(length, *))
    var walk = StrideWalk(kept.extents, kept.strides)
    for i in 0..<y.shape.count {
      var inner = StrideWalk(reduced.extents, reduced.strides)
      let values = StridedValues(
        elements: elements, start: walk.offset, count: length, walk: inner)
      let partial = derivative(values, y.floats[i])
      for _ in 0..<length {
        let place = walk.offset + inner.offset
        dx[place] += dy.floats[i] * partial(x[place])
        inner.advance()
      }
      walk.advance()
    }
  }
}

/// Elements of a tensor at strides from a first one.
struct StridedValues<T: TensorElement>: Sequence {
  fileprivate let elements: UnsafeBufferPointer<T>
  fileprivate let start: Int
  fileprivate let count: Int
  fileprivate let walk: StrideWalk

  struct Iterator: IteratorProtocol {
    fileprivate let elements: UnsafeBufferPointer<T>
    fileprivate let start: Int
    fileprivate var left: Int
    fileprivate var walk: StrideWalk

    mutating func next() -> T? {
      guard left > 0 else { return nil }
      defer {
        left -= 1
        walk.advance()
      }
      return elements[start + walk.offset]
    }
  }

  func makeIterator() -> Iterator {
    Iterator(elements: elements, start: start, left: count, walk: walk)
  }
}
