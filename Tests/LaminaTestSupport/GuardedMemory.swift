import Lamina

/// Memory with guard bytes before and behind it. Read as `float32`, the guards are NaN.
final class GuardedMemory: @unchecked Sendable {
  private static let guardBytes = 64
  private static let pattern: [UInt8] = [0xA5, 0x5A, 0xC3, 0xFF]

  private let storage: AlignedBuffer
  let byteCount: Int

  init(byteCount: Int, filledWith byte: UInt8) throws {
    self.byteCount = byteCount
    storage = try AlignedBuffer(byteCount: byteCount + 2 * Self.guardBytes)
    address.initializeMemory(as: UInt8.self, repeating: byte, count: byteCount)
    for index in 0..<Self.guardBytes {
      let byte = Self.pattern[index % 4]
      storage.baseAddress.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
      address.storeBytes(of: byte, toByteOffset: byteCount + index, as: UInt8.self)
    }
  }

  /// First byte, aligned to 64.
  var address: UnsafeMutableRawPointer { storage.baseAddress + Self.guardBytes }

  var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: address, count: byteCount)) }

  /// Whether the guard bytes are as they were.
  var isIntact: Bool {
    (0..<Self.guardBytes).allSatisfy { index in
      storage.baseAddress.load(fromByteOffset: index, as: UInt8.self) == Self.pattern[index % 4]
        && address.load(fromByteOffset: byteCount + index, as: UInt8.self)
          == Self.pattern[index % 4]
    }
  }

  /// Stores a tensor in `layout`; halos and missing channels are zeros.
  func write(_ tensor: Tensor, in layout: TensorLayout) {
    tensor.withBytes { source in
      guard case .blocked = layout else {
        return UnsafeMutableRawBufferPointer(start: address, count: byteCount).copyMemory(
          from: source)
      }
      address.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
      for (plain, blocked) in offsets(tensor.shape, layout) {
        address.storeBytes(
          of: source.load(fromByteOffset: 4 * plain, as: UInt32.self), toByteOffset: 4 * blocked,
          as: UInt32.self)
      }
    }
  }

  /// Reads a tensor in `layout`, and whether its halos and missing channels are zeros.
  func read(_ spec: TensorSpec, in layout: TensorLayout) throws -> (Tensor, isPadded: Bool) {
    let tensor = try Tensor(uninitialized: spec.shape, spec.type)
    var isPadded = true
    tensor.withMutableBytes { target in
      guard case .blocked = layout else {
        return target.copyMemory(from: UnsafeRawBufferPointer(start: address, count: byteCount))
      }
      var isElement = [Bool](repeating: false, count: byteCount / 4)
      for (plain, blocked) in offsets(spec.shape, layout) {
        isElement[blocked] = true
        target.storeBytes(
          of: address.load(fromByteOffset: 4 * blocked, as: UInt32.self), toByteOffset: 4 * plain,
          as: UInt32.self)
      }
      isPadded = isElement.indices.allSatisfy {
        isElement[$0] || address.load(fromByteOffset: 4 * $0, as: Float.self) == 0
      }
    }
    return (tensor, isPadded)
  }

  /// The positions of each element in plain and in blocked layout.
  private func offsets(_ shape: Shape, _ layout: TensorLayout) -> [(plain: Int, blocked: Int)] {
    guard case .blocked(let size, let halo) = layout else { return [] }
    let (height, width) = (shape[2] + 2 * halo, shape[3] + 2 * halo)
    return shape.indices.enumerated().map { plain, index in
      let (n, c, y, x) = (index[0], index[1], index[2] + halo, index[3] + halo)
      return (plain, (((c / size * shape[0] + n) * height + y) * width + x) * size + c % size)
    }
  }
}
