import LaminaCore

/// The numbers that stand for black and white in an array of pictures.
public enum ValueRange: String, Sendable, CaseIterable {
  /// 0…255.
  case bytes
  /// 0…1.
  case unit
  /// −1…1.
  case symmetric

  /// Black and white.
  public var bounds: (black: Float, white: Float) {
    switch self {
    case .bytes: (0, 255)
    case .unit: (0, 1)
    case .symmetric: (-1, 1)
    }
  }
}

/// Pictures of an array `[count, height, width]`, `[count, height, width, channels]` or `[count, channels, height,
/// width]` with one or three channels, of bytes or of floats in a stated range, with their labels.
public struct ImageArray: LabeledImages {
  /// Names of the classes.
  public let classNames: [String]
  private let labels: [Int]
  private let images: [UInt8]
  private let width: Int
  private let height: Int
  private let name: String

  /// - Parameters:
  ///   - range: what the numbers mean; bytes are always 0…255.
  ///   - name: of the file, for messages.
  /// - Throws: `shape` for another shape; `argument` when a number lies outside the range, saying which range would
  ///   hold it, for another number of labels, or a label that is none of `classNames`; `limit`.
  public init(
    _ array: Tensor, range: ValueRange, labels: [Int], classNames: [String], name: String = "array",
    limits: Limits = Limits()
  ) throws {
    let extents = array.shape.dimensions
    let isPlanar =
      extents.count == 4 && [1, 3].contains(extents[1]) && ![1, 3].contains(extents[3])
    let channels: Int
    switch extents.count {
    case 3: (height, width, channels) = (extents[1], extents[2], 1)
    case 4 where isPlanar: (height, width, channels) = (extents[2], extents[3], extents[1])
    case 4 where [1, 3].contains(extents[3]):
      (height, width, channels) = (extents[1], extents[2], extents[3])
    default:
      throw LaminaError(
        .shape, "expected pictures of one or three channels, found \(array.shape)", path: name)
    }
    try Image.check(width: width, height: height, limits: limits, code: .shape)
    guard labels.count == extents[0] else {
      throw LaminaError(
        .argument, "expected \(extents[0]) labels, found \(labels.count)", path: name)
    }
    if let index = labels.firstIndex(where: { !classNames.indices.contains($0) }) {
      throw LaminaError(
        .argument,
        "expected labels in 0...\(classNames.count - 1), found \(labels[index]) at \(index)",
        path: name)
    }
    self.labels = labels
    self.classNames = classNames
    self.name = name
    let bytes: [UInt8]
    switch array.type {
    case .uint8: bytes = array.elements(as: UInt8.self)
    case .float32: bytes = try Self.bytes(array.elements(as: Float.self), range, name)
    default:
      throw LaminaError(
        .shape, "expected uint8 or float32, found \(array.type.rawValue)", path: name)
    }
    let pixels = width * height
    try limits.checkMemory(3 * pixels * extents[0], for: "the pictures")
    images = [UInt8](unsafeUninitializedCapacity: 3 * pixels * extents[0]) { target, count in
      for image in 0..<extents[0] {
        for pixel in 0..<pixels {
          for channel in 0..<3 {
            let source = channels == 1 ? 0 : channel
            let place = isPlanar ? source * pixels + pixel : pixel * channels + source
            target[3 * (image * pixels + pixel) + channel] =
              bytes[image * channels * pixels + place]
          }
        }
      }
      count = target.count
    }
  }

  /// The bytes that floats of a range stand for, rounded.
  private static func bytes(_ floats: [Float], _ range: ValueRange, _ name: String) throws
    -> [UInt8]
  {
    let (black, white) = range.bounds
    let (least, most) = floats.reduce((Float.infinity, -Float.infinity)) {
      (min($0.0, $1), max($0.1, $1))
    }
    guard floats.allSatisfy(\.isFinite), least >= black, most <= white else {
      let other = ValueRange.allCases.first { least >= $0.bounds.black && most <= $0.bounds.white }
      let hint = other.map { ": they fit the range '\($0.rawValue)'" } ?? ""
      throw LaminaError(
        .argument,
        "expected numbers in \(black)...\(white) for the range '\(range.rawValue)', found \(least)...\(most)\(hint)",
        path: name)
    }
    // A picture of 0…255 has values above 1, unless it is nearly black throughout.
    if range == .bytes, most <= 1, floats.contains(where: { $0 != $0.rounded() }) {
      throw LaminaError(
        .argument,
        "expected numbers in 0...255 for the range 'bytes', found none above 1: they fit the range 'unit'",
        path: name)
    }
    let scale = 255 / (white - black)
    return floats.map { UInt8((($0 - black) * scale).rounded()) }
  }

  /// Number of pictures.
  public var count: Int { labels.count }
  /// The class of a picture.
  public func label(of index: Int) -> Int { labels[index] }
  /// File and number.
  public func name(of index: Int) -> String { "\(name)#\(index)" }
  /// The picture's bytes.
  public func content(of index: Int) throws -> [UInt8] {
    Array(images[3 * width * height * index..<3 * width * height * (index + 1)])
  }
  /// The picture.
  public func image(at index: Int) throws -> Image {
    try Image(width: width, height: height, pixels: content(of: index))
  }
}
