/// The extents of a tensor, outermost axis first (`[batch, channels, height, width]` for a feature map).
///
/// Every `Shape` is valid: at most 8 axes, each extent in `0...2³¹-1`, at most 2⁴⁰ elements. Arithmetic on
/// two extents therefore never overflows `Int`.
public struct Shape: Sendable, Hashable {
  /// The most axes a tensor may have.
  public static let maximumRank = 8
  /// The largest extent of an axis.
  public static let maximumExtent = Int(Int32.max)
  /// The largest number of elements.
  public static let maximumCount = 1 << 40

  /// The extents, outermost first.
  public let dimensions: [Int]
  /// Number of elements: the product of the extents, 1 for a scalar.
  public let count: Int

  /// - Throws: `shape` when an extent is negative or too large, there are too many axes, or the number of
  ///   elements exceeds 2⁴⁰.
  public init(_ dimensions: [Int]) throws {
    guard dimensions.count <= Shape.maximumRank else {
      throw LaminaError(
        .shape, "expected at most \(Shape.maximumRank) axes, found \(dimensions.count)")
    }
    var count = 1
    var isEmpty = false
    for extent in dimensions {
      guard extent >= 0, extent <= Shape.maximumExtent else {
        throw LaminaError(
          .shape, "expected extents in 0...\(Shape.maximumExtent), found \(extent) in \(dimensions)"
        )
      }
      if extent == 0 {
        isEmpty = true
      } else {
        // Both factors are below 2^40 and 2^31, but the product needs 71 bits: check.
        let (product, overflow) = count.multipliedReportingOverflow(by: extent)
        guard !overflow, product <= Shape.maximumCount else {
          throw LaminaError(.shape, "expected at most 2^40 elements, found \(dimensions)")
        }
        count = product
      }
    }
    self.dimensions = dimensions
    self.count = isEmpty ? 0 : count
  }

  private init(trusted dimensions: [Int], count: Int) {
    self.dimensions = dimensions
    self.count = count
  }

  /// The shape of a scalar: no axes, one element.
  public static let scalar = Shape(trusted: [], count: 1)

  /// A vector of `count` elements, which must be the count of an existing tensor or buffer.
  static func vector(trusted count: Int) -> Shape { Shape(trusted: [count], count: count) }

  /// Number of axes.
  public var rank: Int { dimensions.count }

  /// The extent of `axis`, counted from 0.
  public subscript(axis: Int) -> Int { dimensions[axis] }

  /// Elements in the axes before `axis`: the outer loop count of an operation along `axis`.
  public func count(before axis: Int) -> Int { dimensions[..<axis].reduce(1, *) }

  /// Elements in `axis` and those behind it.
  public func count(from axis: Int) -> Int { dimensions[axis...].reduce(1, *) }

  /// Row-major strides in elements.
  public var strides: [Int] {
    var result = [Int](repeating: 1, count: rank)
    var step = 1
    for axis in stride(from: rank - 1, through: 0, by: -1) {
      result[axis] = step
      step *= max(dimensions[axis], 1)
    }
    return result
  }

  /// `axis` counted from 0, where negative values count from the end.
  ///
  /// - Throws: `shape` when it lies outside `-rank ..< rank` (`-rank ... rank` with `inclusive`).
  public func axis(_ axis: Int, inclusive: Bool = false) throws -> Int {
    let upper = inclusive ? rank : rank - 1
    let resolved = axis < 0 ? axis &+ rank : axis
    guard resolved >= 0, resolved <= upper else {
      throw LaminaError(.shape, "expected an axis in \(-rank)...\(upper), found \(axis)")
    }
    return resolved
  }

  /// The shape that `self` and `other` broadcast to, by NumPy's rule: aligned at the last axis, an extent of
  /// 1 stretches.
  ///
  /// - Throws: `shape` when two extents differ and neither is 1.
  public func broadcast(with other: Shape) throws -> Shape {
    if self == other { return self }
    let rank = max(self.rank, other.rank)
    var result = [Int](repeating: 1, count: rank)
    for axis in 0..<rank {
      let a = axis < rank - self.rank ? 1 : self[axis - (rank - self.rank)]
      let b = axis < rank - other.rank ? 1 : other[axis - (rank - other.rank)]
      guard a == b || a == 1 || b == 1 else {
        throw LaminaError(.shape, "expected shapes that broadcast, found \(self) and \(other)")
      }
      result[axis] = a == 1 ? b : a
    }
    return try Shape(result)
  }
}

extension Shape: ExpressibleByArrayLiteral {
  /// A shape written in code. A literal that breaks the rules of a shape is a bug in that code and traps.
  public init(arrayLiteral dimensions: Int...) {
    guard let shape = try? Shape(dimensions) else {
      preconditionFailure("invalid shape literal \(dimensions)")
    }
    self = shape
  }
}

extension Shape: CustomStringConvertible {
  /// `[1, 3, 224, 224]`.
  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}

/// The extent of one axis of a graph input: a number, or a name that is bound when a plan is made.
public enum Dimension: Sendable, Hashable {
  /// Always this extent.
  case fixed(Int)
  /// Any extent; axes with the same name must agree. `default` is used where nothing else is known, as in
  /// a summary.
  case symbol(String, default: Int)

  /// The batch axis: `batch`, 1 by default.
  public static let batch = Dimension.symbol("batch", default: 1)

  /// The fixed extent, or the symbol's default.
  public var defaultExtent: Int {
    switch self {
    case .fixed(let extent): extent
    case .symbol(_, let extent): extent
    }
  }
}

extension Dimension: ExpressibleByIntegerLiteral {
  /// A fixed extent.
  public init(integerLiteral value: Int) { self = .fixed(value) }
}

extension Dimension: CustomStringConvertible {
  /// The number or the symbol's name.
  public var description: String {
    switch self {
    case .fixed(let extent): String(extent)
    case .symbol(let name, _): name
    }
  }
}

/// Row-major index arithmetic over the product of `dimensions`, at most 8 axes.
public struct IndexOdometer {
  /// The current index, one number per axis.
  public private(set) var index: [Int]
  private let dimensions: [Int]

  /// Starts at the origin.
  public init(_ dimensions: [Int]) {
    self.dimensions = dimensions
    index = [Int](repeating: 0, count: dimensions.count)
  }

  /// Steps to the next index, the last axis fastest; wraps to the origin after the last.
  public mutating func advance() {
    var axis = dimensions.count - 1
    while axis >= 0 {
      index[axis] += 1
      if index[axis] < dimensions[axis] { return }
      index[axis] = 0
      axis -= 1
    }
  }
}
