import LaminaCore

/// An array of unsigned bytes in the IDX format of MNIST and Fashion-MNIST, plain or packed by gzip.
///
/// Big-endian: two zero bytes, the type 8, the number of axes, the extent of each as 32 bits, then the bytes
/// (LeCun, Cortes, Burges, The MNIST database, file formats).
public struct IDXFile: Sendable {
  /// Extents of the axes.
  public let shape: [Int]
  let bytes: [UInt8]
  let start: Int

  /// Reads a file.
  ///
  /// - Throws: `notFound`, `io`; `format` with the offset when the file is broken or has another length than its header
  ///   says; `unsupported` for elements that are not unsigned bytes; `limit`.
  public init(path: String, limits: Limits = Limits()) throws {
    let bytes = try GzipFile.bytes(path: path, maximumBytes: limits.weightFileBytes)
    try self.init(bytes, name: path.escapedForDisplay(limit: 512))
  }

  package init(_ bytes: [UInt8], name: String) throws {
    guard bytes.count >= 4, bytes[0] == 0, bytes[1] == 0 else {
      throw LaminaError(
        .format, "expected an IDX file, which begins with two zero bytes", path: "\(name) @ 0")
    }
    guard bytes[2] == 8 else {
      throw LaminaError(
        .unsupported, "expected unsigned bytes, type 8, found type \(bytes[2])", path: "\(name) @ 2"
      )
    }
    let rank = Int(bytes[3])
    guard (1...4).contains(rank) else {
      throw LaminaError(.format, "expected 1 to 4 axes, found \(rank)", path: "\(name) @ 3")
    }
    let start = 4 + 4 * rank
    guard bytes.count >= start else {
      throw LaminaError(
        .format, "expected \(start) bytes of header, found \(bytes.count)", path: "\(name) @ 4")
    }
    shape = (0..<rank).map { axis in
      bytes[(4 + 4 * axis)..<(8 + 4 * axis)].reduce(0) { $0 << 8 | Int($1) }
    }
    let count = shape.reduce(1) { $0.saturatingProduct($1) }
    guard count == bytes.count - start else {
      throw LaminaError(
        .format, "expected \(count) bytes for \(shape), found \(bytes.count - start)",
        path: "\(name) @ \(start)")
    }
    self.bytes = bytes
    self.start = start
  }
}

/// Grey pictures in memory with their labels: MNIST, Fashion-MNIST.
public struct IDXImages: LabeledImages {
  /// Names of the classes.
  public let classNames: [String]
  private let images: IDXFile
  private let labels: IDXFile
  private let name: String

  /// Pictures `[count, height, width]` and their labels `[count]`.
  ///
  /// - Parameter classNames: by default the numbers.
  /// - Throws: as `IDXFile`; `format` when the two files do not fit each other, or a label is none of `classNames`.
  public init(
    images path: String, labels labelPath: String, classNames: [String]? = nil,
    limits: Limits = Limits()
  ) throws {
    name = path
    images = try IDXFile(path: path, limits: limits)
    labels = try IDXFile(path: labelPath, limits: limits)
    let (shown, shownLabels) = (
      path.escapedForDisplay(limit: 512), labelPath.escapedForDisplay(limit: 512)
    )
    guard images.shape.count == 3 else {
      throw LaminaError(
        .format, "expected pictures of 3 axes, found \(images.shape)", path: shown)
    }
    guard labels.shape == [images.shape[0]] else {
      throw LaminaError(
        .format, "expected \(images.shape[0]) labels, found \(labels.shape)", path: shownLabels)
    }
    try Image.check(
      width: images.shape[2], height: images.shape[1], limits: limits, code: .format)
    let largest = Int(labels.bytes[labels.start...].max() ?? 0)
    let names = classNames ?? (0...max(largest, 9)).map(String.init)
    if let index = labels.bytes[labels.start...].firstIndex(where: { $0 >= names.count }) {
      throw LaminaError(
        .format, "expected labels below \(names.count), found \(labels.bytes[index])",
        path: "\(shownLabels) @ \(index)")
    }
    self.classNames = names
  }

  /// Number of pictures.
  public var count: Int { images.shape[0] }
  /// The class of a picture.
  public func label(of index: Int) -> Int { Int(labels.bytes[labels.start + index]) }
  /// File and number.
  public func name(of index: Int) -> String { "\(name)#\(index)" }
  /// The picture's bytes.
  public func content(of index: Int) throws -> [UInt8] { Array(images.bytes[range(of: index)]) }
  /// The picture, its three channels alike.
  public func image(at index: Int) throws -> Image {
    let range = range(of: index)
    return try Image(width: images.shape[2], height: images.shape[1]) { target in
      for (place, byte) in images.bytes[range].enumerated() {
        for channel in 0..<3 { target[3 * place + channel] = byte }
      }
    }
  }

  private func range(of index: Int) -> Range<Int> {
    let size = images.shape[1] * images.shape[2]
    return images.start + index * size..<images.start + (index + 1) * size
  }
}
