#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Memory aligned to 64 bytes, freed with its last reference.
public final class AlignedBuffer: @unchecked Sendable {
  /// First byte.
  public let baseAddress: UnsafeMutableRawPointer
  /// Usable bytes.
  public let byteCount: Int

  /// - Throws: `limit` when the system has no memory of that size.
  public init(byteCount: Int, alignment: Int = 64) throws {
    var address: UnsafeMutableRawPointer?
    let alignment = byteCount >= Self.hugePage ? max(alignment, Self.hugePage) : alignment
    guard byteCount >= 0, byteCount < Int.max - Self.hugePage,
      posix_memalign(&address, alignment, max(byteCount, 64)) == 0, let address
    else { throw LaminaError(.limit, "no memory for \(byteCount) bytes") }
    #if os(Linux)
      if byteCount >= Self.hugePage {
        // Advice: where it is refused, pages are small.
        _ = madvise(address, byteCount / Self.hugePage * Self.hugePage, Self.wantsHugePages)
      }
    #endif
    baseAddress = address
    self.byteCount = byteCount
  }

  deinit { free(baseAddress) }

  /// Whole pages of this size, the usual large one, are asked for as such.
  private static var hugePage: Int { 2 << 20 }
  /// MADV_HUGEPAGE.
  private static var wantsHugePages: Int32 { 14 }
}

/// Shape and element type of a tensor, and its value where that is known before anything runs.
public struct TensorSpec: Sendable {
  /// Extents.
  public var shape: Shape
  /// Element type.
  public var type: ElementType
  /// The value, when it does not depend on the data: a constant, or a shape computed from shapes.
  public var value: Tensor?

  /// A spec without a known value.
  public init(_ shape: Shape, _ type: ElementType = .float32, value: Tensor? = nil) {
    self.shape = shape
    self.type = type
    self.value = value
  }

  /// The spec of a known value.
  public init(constant: Tensor) {
    self.init(constant.shape, constant.type, value: constant)
  }

  /// Bytes in plain row-major layout.
  public var byteCount: Int { shape.count * type.byteCount }
}

extension TensorSpec: Equatable {
  /// Same shape and type; known values are not compared.
  public static func == (a: TensorSpec, b: TensorSpec) -> Bool {
    a.shape == b.shape && a.type == b.type
  }
}

extension TensorSpec: CustomStringConvertible {
  /// `float32 [1, 3, 224, 224]`.
  public var description: String { "\(type.rawValue) \(shape)" }
}

/// A row-major tensor that owns, or shares, its memory. Treat one that you did not just make as immutable.
public struct Tensor: Sendable {
  /// Extents.
  public let shape: Shape
  /// Element type.
  public let type: ElementType
  private let storage: AlignedBuffer
  private let byteOffset: Int

  /// A tensor whose elements are not set yet.
  ///
  /// - Throws: `limit` when there is no memory.
  public init(uninitialized shape: Shape, _ type: ElementType = .float32) throws {
    self.shape = shape
    self.type = type
    storage = try AlignedBuffer(byteCount: shape.count * type.byteCount)
    byteOffset = 0
  }

  /// A tensor of zeros.
  public init(zeros shape: Shape, _ type: ElementType = .float32) throws {
    try self.init(uninitialized: shape, type)
    memset(storage.baseAddress, 0, byteCount)
  }

  /// A tensor with the given elements in row-major order.
  ///
  /// - Throws: `shape` when the number of elements is not the shape's.
  public init<T: TensorElement>(_ shape: Shape, _ elements: [T]) throws {
    guard elements.count == shape.count else {
      throw LaminaError(
        .shape, "expected \(shape.count) elements for shape \(shape), found \(elements.count)")
    }
    try self.init(uninitialized: shape, T.elementType)
    withMutableElements(of: T.self) { target in
      for i in 0..<elements.count { target[i] = elements[i] }
    }
  }

  /// A copy of a view.
  public init(copying view: TensorView) throws {
    try self.init(uninitialized: view.shape, view.type)
    memcpy(storage.baseAddress, view.baseAddress, byteCount)
  }

  private init(shape: Shape, type: ElementType, storage: AlignedBuffer, byteOffset: Int) {
    self.shape = shape
    self.type = type
    self.storage = storage
    self.byteOffset = byteOffset
  }

  /// The same memory under another shape.
  ///
  /// - Throws: `shape` when the number of elements differs.
  public func reshaped(_ shape: Shape) throws -> Tensor {
    guard shape.count == self.shape.count else {
      throw LaminaError(.shape, "expected \(self.shape.count) elements, found shape \(shape)")
    }
    return Tensor(shape: shape, type: type, storage: storage, byteOffset: byteOffset)
  }

  /// Bytes of all elements.
  public var byteCount: Int { shape.count * type.byteCount }

  /// Shape and element type.
  public var spec: TensorSpec { TensorSpec(shape, type) }

  /// A view that keeps the memory alive.
  public var view: TensorView {
    TensorView(shape, type, storage.baseAddress + byteOffset, owner: storage)
  }

  /// A view to write a tensor that nobody else reads meanwhile; valid while it lives.
  package var mutableView: MutableTensorView {
    MutableTensorView(shape, type, storage.baseAddress + byteOffset)
  }

  /// The bytes, to read.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try body(UnsafeRawBufferPointer(start: storage.baseAddress + byteOffset, count: byteCount))
  }

  /// The bytes, to fill a tensor that was just made.
  public func withMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R
  {
    try body(
      UnsafeMutableRawBufferPointer(start: storage.baseAddress + byteOffset, count: byteCount))
  }

  /// The elements, to read. `T` must stand for `type`.
  public func withElements<T: TensorElement, R>(
    of _: T.Type, _ body: (UnsafeBufferPointer<T>) throws -> R
  ) rethrows -> R {
    try body(view.elements(as: T.self))
  }

  /// The elements, to fill a tensor that was just made. `T` must stand for `type`.
  public func withMutableElements<T: TensorElement, R>(
    of _: T.Type, _ body: (UnsafeMutableBufferPointer<T>) throws -> R
  ) rethrows -> R {
    precondition(T.elementType == type)
    let start = (storage.baseAddress + byteOffset).assumingMemoryBound(to: T.self)
    return try body(UnsafeMutableBufferPointer(start: start, count: shape.count))
  }

  /// A copy of the elements. `T` must stand for `type`.
  public func elements<T: TensorElement>(as _: T.Type = T.self) -> [T] {
    withElements(of: T.self) { Array($0) }
  }
}

/// A row-major tensor to read. It keeps the memory of a `Tensor` alive; memory of others must outlive it.
public struct TensorView: @unchecked Sendable {
  /// Extents.
  public let shape: Shape
  /// Element type.
  public let type: ElementType
  /// First byte.
  public let baseAddress: UnsafeRawPointer
  private let owner: AlignedBuffer?

  /// A view of memory that holds `shape.count` elements of `type`.
  public init(
    _ shape: Shape, _ type: ElementType, _ baseAddress: UnsafeRawPointer,
    owner: AlignedBuffer? = nil
  ) {
    self.shape = shape
    self.type = type
    self.baseAddress = baseAddress
    self.owner = owner
  }

  /// The elements. `T` must stand for `type`.
  @inlinable
  public func elements<T: TensorElement>(as _: T.Type = T.self) -> UnsafeBufferPointer<T> {
    precondition(T.elementType == type)
    return UnsafeBufferPointer(
      start: baseAddress.assumingMemoryBound(to: T.self), count: shape.count)
  }

  /// The first of the `float32` elements.
  @inlinable public var floats: UnsafePointer<Float> {
    precondition(type == .float32)
    return baseAddress.assumingMemoryBound(to: Float.self)
  }

  /// Bytes of all elements.
  public var byteCount: Int { shape.count * type.byteCount }
}

/// A borrowed row-major tensor to write. It does not keep its memory alive.
public struct MutableTensorView: @unchecked Sendable {
  /// Extents.
  public let shape: Shape
  /// Element type.
  public let type: ElementType
  /// First byte.
  public let baseAddress: UnsafeMutableRawPointer

  /// A view of memory that holds `shape.count` elements of `type`.
  public init(_ shape: Shape, _ type: ElementType, _ baseAddress: UnsafeMutableRawPointer) {
    self.shape = shape
    self.type = type
    self.baseAddress = baseAddress
  }

  /// The elements. `T` must stand for `type`.
  @inlinable
  public func elements<T: TensorElement>(as _: T.Type = T.self) -> UnsafeMutableBufferPointer<T> {
    precondition(T.elementType == type)
    return UnsafeMutableBufferPointer(
      start: baseAddress.assumingMemoryBound(to: T.self), count: shape.count)
  }

  /// The first of the `float32` elements.
  @inlinable public var floats: UnsafeMutablePointer<Float> {
    precondition(type == .float32)
    return baseAddress.assumingMemoryBound(to: Float.self)
  }

  /// Bytes of all elements.
  public var byteCount: Int { shape.count * type.byteCount }
}
