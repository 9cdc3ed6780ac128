import LaminaCore

/// A picture: 8-bit RGB, row by row from the top, pixel by pixel from the left.
public struct Image: Sendable {
  /// Columns.
  public let width: Int
  /// Rows.
  public let height: Int
  /// What the decoder complained about; 0 for a picture that was decoded strictly, or not decoded.
  public internal(set) var warningCount = 0
  private let storage: AlignedBuffer

  /// A picture of positive, checked sides whose `3 · width · height` bytes `fill` writes.
  ///
  /// - Throws: `limit` when there is no memory, and what `fill` throws.
  package init(
    width: Int, height: Int, fill: (UnsafeMutablePointer<UInt8>) throws -> Void
  ) throws {
    self.width = width
    self.height = height
    storage = try AlignedBuffer(byteCount: 3 * width * height)
    try fill(storage.baseAddress.assumingMemoryBound(to: UInt8.self))
  }

  /// A picture with the given pixels, three bytes each.
  ///
  /// - Throws: `argument` when the sides are impossible or the number of bytes is not `3 · width · height`,
  ///   `limit` when the picture is larger than `Limits` allow.
  public init(width: Int, height: Int, pixels: [UInt8]) throws {
    try Image.check(width: width, height: height, byteCount: pixels.count)
    try self.init(width: width, height: height) { $0.update(from: pixels, count: pixels.count) }
  }

  /// The pixels, three bytes each.
  public var pixels: [UInt8] { withPixels { Array($0) } }

  /// The pixels, three bytes each, to read.
  public func withPixels<R>(_ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R {
    let start = UnsafePointer(storage.baseAddress.assumingMemoryBound(to: UInt8.self))
    return try body(UnsafeBufferPointer(start: start, count: 3 * width * height))
  }

  /// A view that is valid while the picture lives.
  var view: PixelView {
    PixelView(
      base: UnsafePointer(storage.baseAddress.assumingMemoryBound(to: UInt8.self)), width: width,
      height: height, rowBytes: 3 * width)
  }

  /// - Throws: `argument` when a side is smaller than 1 or `byteCount` is not `3 · width · height`, `limit`
  ///   when the picture is larger than `Limits` allow.
  static func check(width: Int, height: Int, byteCount: Int) throws {
    try check(width: width, height: height, limits: Limits(), code: .argument)
    guard byteCount == 3 * width * height else {
      throw LaminaError(
        .argument,
        "expected \(3 * width * height) bytes for \(width) x \(height) pixels, found \(byteCount)")
    }
  }

  /// - Throws: `code` when a side is smaller than 1, `limit` when a side or the number of pixels is too large.
  package static func check(
    width: Int, height: Int, limits: Limits, code: LaminaError.Code
  ) throws {
    guard width > 0, height > 0 else {
      throw LaminaError(code, "expected at least 1 x 1 pixels, found \(width) x \(height)")
    }
    guard width <= limits.imageSide, height <= limits.imageSide else {
      throw LaminaError(
        .limit, "expected at most \(limits.imageSide) pixels a side, found \(width) x \(height)")
    }
    let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
    guard !overflow, pixels <= min(limits.imagePixels, Int.max / 3) else {
      throw LaminaError(
        .limit, "expected at most \(limits.imagePixels) pixels, found \(width) x \(height)")
    }
    try limits.checkMemory(3 * pixels, for: "a picture of \(width) x \(height) pixels")
  }
}

/// Borrowed RGB pixels: a picture, or a rectangle of one.
struct PixelView {
  let base: UnsafePointer<UInt8>
  let width: Int
  let height: Int
  let rowBytes: Int

  /// A view of `3 · width · height` bytes.
  ///
  /// - Throws: `argument` when the sides are impossible or the number of bytes differs, `limit` when the
  ///   picture is larger than `Limits` allow.
  init(_ bytes: UnsafeRawBufferPointer, width: Int, height: Int) throws {
    try Image.check(width: width, height: height, byteCount: bytes.count)
    guard let base = bytes.assumingMemoryBound(to: UInt8.self).baseAddress else {
      throw LaminaError(.argument, "expected pixels, found none")
    }
    self.init(base: base, width: width, height: height, rowBytes: 3 * width)
  }

  init(base: UnsafePointer<UInt8>, width: Int, height: Int, rowBytes: Int) {
    self.base = base
    self.width = width
    self.height = height
    self.rowBytes = rowBytes
  }

  func row(_ y: Int) -> UnsafePointer<UInt8> { base + y * rowBytes }

  /// The part of the view in `rectangle`, which lies within it.
  func cropped(to rectangle: Rectangle) -> PixelView {
    PixelView(
      base: row(rectangle.y) + 3 * rectangle.x, width: rectangle.width, height: rectangle.height,
      rowBytes: rowBytes)
  }
}

/// A rectangle of pixels, from its upper left corner.
struct Rectangle: Hashable {
  var x = 0
  var y = 0
  var width: Int
  var height: Int
}
