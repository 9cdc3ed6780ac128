import LaminaCore

/// A `.caffemodel` of Caffe: the layers of a `NetParameter` with their blobs, in the present form (`layer`) or
/// the one of 2014 (`layers`).
///
/// Blobs have Lamina's names: `<layer>.weight` and `<layer>.bias`; of a BatchNorm layer
/// `<layer>.running_mean` and `<layer>.running_var`, divided by the factor that Caffe stores beside them.
/// The weights of an inner product are `[out, in]`, also where the file has them as `[1, 1, out, in]`.
/// Layers without blobs are left out.
///
/// Source: Caffe's `caffe.proto` and `batch_norm_layer.cpp`.
public struct CaffeModel: TensorSource {
  /// Names in the order of the file.
  public let keys: [String]
  /// `bvlc_alexnet.caffemodel (Caffe, AlexNet)`.
  public let provenance: String
  private let source: ByteSource
  private let tensors: [String: Entry]

  private struct Entry: Sendable {
    var blob: CaffeBlob
    var shape: Shape
    /// What the elements are multiplied by.
    var factor: Float
    /// Whether the file has `[in, out]`.
    var isTransposed: Bool
  }

  /// Reads names and shapes.
  ///
  /// - Throws: `format` with the place for broken files, `unsupported` naming what Lamina has not, `limit`,
  ///   `io`.
  public init(_ source: ByteSource, limits: Limits = Limits()) throws {
    self.source = source
    let bytes = try source.allBytes()
    let net = try CaffeDecoder(limits: limits).net(bytes, path: source.name)
    var keys: [String] = []
    var tensors: [String: Entry] = [:]
    var byteCount = 0
    for layer in net.layers where !layer.blobs.isEmpty {
      let path = "\(source.name): \(layer.name.escapedForDisplay())"
      for (part, entry) in try withErrorPath(path, { try Self.entries(of: layer, bytes) }) {
        let key = "\(layer.name).\(part)"
        guard tensors.updateValue(entry, forKey: key) == nil else {
          throw LaminaError(
            .format, "two tensors are named '\(key.escapedForDisplay())'", path: source.name)
        }
        keys.append(key)
        byteCount += entry.shape.count * 4
        try limits.checkMemory(byteCount, for: "\(source.name) up to '\(key.escapedForDisplay())'")
      }
    }
    guard keys.count <= limits.tensorsPerFile else {
      throw LaminaError(
        .limit, "expected at most \(limits.tensorsPerFile) tensors, found \(keys.count)",
        path: source.name)
    }
    guard !keys.isEmpty else {
      throw LaminaError(.format, "expected layers with weights, found none", path: source.name)
    }
    self.keys = keys
    self.tensors = tensors
    provenance =
      "\(source.name) (Caffe\(net.name.isEmpty ? "" : ", \(net.name.escapedForDisplay())"))"
  }

  /// Whether the first bytes are those of a `NetParameter`: its name, or a layer.
  static func isModel(_ source: ByteSource) throws -> Bool {
    let head = try source.bytes(0..<min(source.byteCount, 512))
    guard head.count >= 4 else { return false }
    if head.starts(with: [0xA2, 0x06]) { return true }
    if head[0] == 0x12 { return layerStarts.contains(head[2]) || layerStarts.contains(head[3]) }
    guard head[0] == 0x0A, head[1] < 0x80, Int(head[1]) + 3 < head.count else { return false }
    let next = head[Int(head[1]) + 2]
    return next == 0x12 || next == 0x1A || next == 0x22 || next == 0x28
      || next == 0x42 || head[(Int(head[1]) + 2)...].starts(with: [0xA2, 0x06])
  }

  /// Tags of the fields that a V1 layer may begin with: bottom, top, name.
  private static let layerStarts: [UInt8] = [0x12, 0x1A, 0x22]

  private static func entries(of layer: CaffeLayer, _ bytes: [UInt8]) throws -> [(
    String, Entry
  )] {
    func entry(_ index: Int, _ shape: Shape? = nil, factor: Float = 1, isTransposed: Bool = false)
      throws -> Entry
    {
      let blob = layer.blobs[index]
      return Entry(
        blob: blob, shape: try shape ?? Shape(vector(blob.dimensions)), factor: factor,
        isTransposed: isTransposed)
    }
    switch layer.kind {
    case "BatchNorm":
      guard layer.blobs.count == 3, layer.blobs[2].shape.count == 1 else {
        throw LaminaError(
          .format, "expected mean, variance and one factor, found \(layer.blobs.count) blobs")
      }
      let scale = layer.blobs[2].first(in: bytes)
      let factor = scale == 0 ? 0 : 1 / scale
      return [
        ("running_mean", try entry(0, factor: factor)),
        ("running_var", try entry(1, factor: factor)),
      ]
    case "InnerProduct":
      var matrix = layer.blobs[0].dimensions
      while matrix.count > 2, matrix[0] == 1 { matrix.removeFirst() }
      guard matrix.count == 2 else {
        throw LaminaError(.format, "expected weights of 2 axes, found \(layer.blobs[0].shape)")
      }
      if layer.isTransposed { matrix.swapAt(0, 1) }
      let weight = try entry(0, try Shape(matrix), isTransposed: layer.isTransposed)
      return [("weight", weight)] + (try rest(layer, entry(_:_:factor:isTransposed:)))
    case "Convolution", "Deconvolution":
      return [("weight", try entry(0, layer.blobs[0].shape))]
        + (try rest(layer, entry(_:_:factor:isTransposed:)))
    default:
      return [("weight", try entry(0))] + (try rest(layer, entry(_:_:factor:isTransposed:)))
    }
  }

  private static func rest(
    _ layer: CaffeLayer, _ entry: (Int, Shape?, Float, Bool) throws -> Entry
  ) throws -> [(String, Entry)] {
    try layer.blobs.indices.dropFirst().map { index in
      (index == 1 ? "bias" : "blob\(index)", try entry(index, nil, 1, false))
    }
  }

  /// `[1, 1, 1, n]` as `[n]`.
  private static func vector(_ dimensions: [Int]) -> [Int] {
    Array(dimensions.drop { $0 == 1 }).isEmpty
      ? [1] : (dimensions.count == 4 ? Array(dimensions.drop { $0 == 1 }) : dimensions)
  }

  /// Shape and type of a tensor, always `float32`.
  public func spec(_ key: String) throws -> TensorSpec {
    guard let entry = tensors[key] else { throw unknownKey(key) }
    return TensorSpec(entry.shape)
  }

  /// Reads the elements of a tensor; `double` data are rounded to `float32`.
  public func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    guard let entry = tensors[key] else { throw unknownKey(key) }
    let path = "\(source.name): \(key.escapedForDisplay())"
    guard target.count == entry.shape.count * 4 else {
      throw LaminaError(
        .argument, "expected a buffer of \(entry.shape.count * 4) bytes, found \(target.count)",
        path: path)
    }
    var filled = 0
    for range in entry.blob.ranges {
      if entry.blob.isDouble {
        var position = range.lowerBound
        while position < range.upperBound {
          let chunk = try source.bytes(position..<min(position + 1 << 16, range.upperBound))
          try chunk.withUnsafeBytes { chunk in
            for offset in stride(from: 0, to: chunk.count, by: 8) {
              let bits = chunk.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
              let number = Double(bitPattern: UInt64(littleEndian: bits))
              guard !number.isFinite || Float(number).isFinite else {
                throw LaminaError(
                  .weights, "expected numbers within float32, found \(number)", path: path)
              }
              target.storeBytes(of: Float(number), toByteOffset: filled, as: Float.self)
              filled += 4
            }
          }
          position += chunk.count
        }
      } else {
        try source.read(
          at: range.lowerBound,
          into: UnsafeMutableRawBufferPointer(rebasing: target[filled..<filled + range.count]))
        filled += range.count
      }
    }
    if entry.isTransposed {
      let stored = try Tensor(uninitialized: Shape([entry.shape[1], entry.shape[0]]))
      stored.withMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(target)) }
      stored.withBytes {
        PickleTensor(
          storage: 0, offset: 0, shape: entry.shape, strides: [1, entry.shape[0]]
        ).gather(from: $0, elementBytes: 4, into: target)
      }
    }
    if entry.factor != 1 {
      for offset in stride(from: 0, to: target.count, by: 4) {
        let number = target.load(fromByteOffset: offset, as: Float.self)
        target.storeBytes(of: number * entry.factor, toByteOffset: offset, as: Float.self)
      }
    }
  }
}
