import Lamina

/// A tensor in double precision, for naive references and expected results.
public struct NaiveTensor: Sendable, Equatable {
  /// Extents.
  public let shape: Shape
  /// Elements in row-major order.
  public var elements: [Double]

  /// A tensor of the given elements, by default zeros.
  public init(_ shape: Shape, _ elements: [Double]? = nil) {
    precondition(elements == nil || elements?.count == shape.count)
    self.shape = shape
    self.elements = elements ?? [Double](repeating: 0, count: shape.count)
  }

  /// A tensor whose element at each index is `body(index)`.
  public init(_ shape: Shape, _ body: ([Int]) -> Double) {
    self.shape = shape
    elements = shape.indices.map(body)
  }

  /// The element at an index, one number per axis.
  public subscript(index: Int...) -> Double {
    get { self[index] }
    set { self[index] = newValue }
  }

  /// The element at an index, one number per axis.
  public subscript(index: [Int]) -> Double {
    get { elements[offset(index)] }
    set { elements[offset(index)] = newValue }
  }

  /// The element at an index, or `outside` where an index lies outside the shape.
  public func value(at index: [Int], outside: Double = 0) -> Double {
    zip(index, shape.dimensions).allSatisfy { $0 >= 0 && $0 < $1 } ? self[index] : outside
  }

  /// The element that broadcasts to `index` of a shape of at least this rank.
  public func broadcast(at index: [Int]) -> Double {
    let own = index.suffix(shape.rank)
    return self[zip(own, shape.dimensions).map { $1 == 1 ? 0 : $0 }]
  }

  /// The tensor with `body` applied to every element.
  public func map(_ body: (Double) -> Double) -> NaiveTensor {
    NaiveTensor(shape, elements.map(body))
  }

  private func offset(_ index: [Int]) -> Int {
    precondition(index.count == shape.rank)
    return zip(index, shape.dimensions).reduce(0) { sum, axis in
      precondition(axis.0 >= 0 && axis.0 < axis.1)
      return sum * axis.1 + axis.0
    }
  }
}

extension Shape {
  /// Every index, the last axis fastest.
  public var indices: [[Int]] {
    var odometer = IndexOdometer(dimensions)
    return (0..<count).map { _ in
      defer { odometer.advance() }
      return odometer.index
    }
  }
}

extension TensorView {
  /// The elements in double.
  public var naive: NaiveTensor {
    func numbers<T: BitwiseCopyable>(_: T.Type, _ convert: (T) -> Double) -> [Double] {
      (0..<shape.count).map { index in
        convert(
          baseAddress.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.stride, as: T.self))
      }
    }
    let values: [Double] =
      switch type {
      case .float32: numbers(Float.self) { Double($0) }
      case .float64: numbers(Double.self) { $0 }
      case .float16: numbers(UInt16.self) { Double(Float16(bitPattern: $0)) }
      case .bfloat16: numbers(UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
      case .int8: numbers(Int8.self) { Double($0) }
      case .int16: numbers(Int16.self) { Double($0) }
      case .int32: numbers(Int32.self) { Double($0) }
      case .int64: numbers(Int64.self) { Double($0) }
      case .uint8: numbers(UInt8.self) { Double($0) }
      case .uint16: numbers(UInt16.self) { Double($0) }
      case .uint32: numbers(UInt32.self) { Double($0) }
      case .uint64: numbers(UInt64.self) { Double($0) }
      case .bool: numbers(UInt8.self) { $0 == 0 ? 0 : 1 }
      }
    return NaiveTensor(shape, values)
  }
}

extension Tensor {
  /// The elements in double.
  public var naive: NaiveTensor { view.naive }

  /// A tensor of `values` converted to `type`. Fractions are cut for integer types.
  public init(_ shape: Shape, _ type: ElementType, _ values: [Double]) throws {
    try self.init(uninitialized: shape, type)
    guard values.count == shape.count else {
      throw LaminaError(.argument, "expected \(shape.count) values, found \(values.count)")
    }
    withMutableBytes { bytes in
      func store<T: BitwiseCopyable>(_ convert: (Double) -> T) {
        for (index, value) in values.enumerated() {
          bytes.storeBytes(
            of: convert(value), toByteOffset: index * MemoryLayout<T>.stride, as: T.self)
        }
      }
      switch type {
      case .float32: store { Float($0) }
      case .float64: store { $0 }
      case .float16: store { Float16($0).bitPattern }
      case .bfloat16: store { UInt16(truncatingIfNeeded: Float($0).bitPattern >> 16) }
      case .int8: store { Int8($0) }
      case .int16: store { Int16($0) }
      case .int32: store { Int32($0) }
      case .int64: store { Int64($0) }
      case .uint8: store { UInt8($0) }
      case .uint16: store { UInt16($0) }
      case .uint32: store { UInt32($0) }
      case .uint64: store { UInt64($0) }
      case .bool: store { UInt8($0 == 0 ? 0 : 1) }
      }
    }
  }

  /// A tensor of numbers drawn uniformly from `range`; whole numbers for integer types, 0 and 1 for `bool`.
  public init(
    random shape: Shape, _ type: ElementType = .float32, in range: ClosedRange<Double> = -1...1,
    seed: UInt64 = 0
  ) throws {
    let random = CounterRandom(seed: seed, name: "test")
    let isUnsigned = [.uint8, .uint16, .uint32, .uint64].contains(type)
    let range = isUnsigned ? max(0, range.lowerBound)...max(0, range.upperBound) : range
    let values = (0..<shape.count).map { index -> Double in
      let unit = Double(random.uniform(UInt64(index)))
      switch type {
      case .bool: return unit < 0.5 ? 0 : 1
      case _ where type.isInteger:
        return (range.lowerBound + unit * (range.upperBound - range.lowerBound + 1)).rounded(.down)
      default: return range.lowerBound + unit * (range.upperBound - range.lowerBound)
      }
    }
    try self.init(shape, type, values)
  }
}

/// The largest difference of two lists, relative to the larger of 1 and the expected number, and where it is.
/// NaN equals NaN, and infinities equal themselves.
public func largestDifference(_ found: [Double], _ expected: [Double]) -> (
  value: Double, index: Int
) {
  precondition(found.count == expected.count)
  var worst = (value: 0.0, index: 0)
  for index in found.indices {
    let (a, b) = (found[index], expected[index])
    if a == b || (a.isNaN && b.isNaN) { continue }
    let difference = abs(a - b) / max(1, abs(b))
    if !(difference <= worst.value) {
      worst = (difference.isNaN ? .infinity : difference, index)
    }
  }
  return worst
}
