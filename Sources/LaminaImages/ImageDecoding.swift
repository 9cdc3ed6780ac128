import LaminaCore
import LaminaImageShim

/// How pictures are decoded.
public struct ImageDecodingOptions: Sendable {
  /// Refuses a picture that the decoder complains about (data that end early, extraneous bytes, wrong
  /// checksums), naming the complaint. Otherwise such a picture is accepted as far as it could be decoded.
  public var strict: Bool
  /// Turns the picture upright by its EXIF orientation.
  public var applyOrientation: Bool
  /// Decoders of other kinds than JPEG and PNG; the first one that recognizes a picture decodes it.
  public var decoders: [any ImageDecoder]

  /// By default the first two are on, and there are no other decoders.
  public init(
    strict: Bool = true, applyOrientation: Bool = true, decoders: [any ImageDecoder] = []
  ) {
    self.strict = strict
    self.applyOrientation = applyOrientation
    self.decoders = decoders
  }
}

extension Image {
  /// Decodes the picture in the file at `path`.
  ///
  /// - Throws: what `decode` and `FileReader` throw, with the path.
  public static func load(
    path: String, limits: Limits = Limits(), options: ImageDecodingOptions = ImageDecodingOptions()
  ) throws -> Image {
    let bytes = try FileReader(path: path, maximumBytes: limits.imageFileBytes).allBytes()
    return try withErrorPath(path.escapedForDisplay(limit: 512)) {
      try decode(bytes, limits: limits, options: options)
    }
  }

  /// Decodes a JPEG or PNG, or another kind by one of the decoders of `options`; the content decides which, not a name.
  ///
  /// JPEG: baseline and progressive, 8 bits, grey, YCbCr, RGB, CMYK and YCCK. The last two are taken as
  /// inverted and become RGB by `K·(1 − C)`. PNG: every colour type and depth, interlaced or not; an animation
  /// gives its first picture. As Pillow's `convert("RGB")` does, alpha and transparency are dropped (the
  /// colour beneath stays) and gamma and colour profiles are not applied. 16 bits lose their low byte; Pillow
  /// does that for colour, but clips 16-bit grey at 255.
  ///
  /// - Throws: `image` when the data are broken or of no known kind, `unsupported` when they are another kind
  ///   of file or of JPEG, `limit` when the picture is larger than `limits` allow.
  public static func decode(
    _ bytes: [UInt8], limits: Limits = Limits(),
    options: ImageDecodingOptions = ImageDecodingOptions()
  ) throws -> Image {
    try bytes.withUnsafeBytes { try decode($0, limits: limits, options: options) }
  }

  /// Decodes a picture in borrowed memory.
  public static func decode(
    _ bytes: UnsafeRawBufferPointer, limits: Limits = Limits(),
    options: ImageDecodingOptions = ImageDecodingOptions()
  ) throws -> Image {
    guard bytes.count <= limits.imageFileBytes else {
      throw LaminaError(
        .limit, "expected at most \(limits.imageFileBytes) bytes, found \(bytes.count)")
    }
    let kind = FileKind(bytes)
    if !kind.isDecoded, let decoder = options.decoders.first(where: { $0.recognizes(bytes) }) {
      return try decoder.decode(bytes, limits: limits)
    }
    let codec = try Codec(kind, byteCount: bytes.count)
    var orientation = Orientation.upright
    switch codec {
    case .jpeg:
      let segments = JPEGSegments(bytes)
      try segments.checkFrame()
      orientation = segments.orientation
    case .png: orientation = Orientation(png: bytes)
    }
    let image = try codec.decode(bytes, limits: limits, strict: options.strict)
    return options.applyOrientation ? try image.turned(orientation) : image
  }
}

private enum Codec {
  case jpeg, png

  init(_ kind: FileKind, byteCount: Int) throws {
    switch kind {
    case .jpeg: self = .jpeg
    case .png: self = .png
    case .other(let name):
      throw LaminaError(.unsupported, "expected a JPEG or PNG picture, found \(name)")
    case .unknown:
      throw LaminaError(
        .image, "expected a JPEG or PNG picture, found \(byteCount) bytes of another kind")
    }
  }

  private var name: String { self == .jpeg ? "JPEG" : "PNG" }

  func decode(_ bytes: UnsafeRawBufferPointer, limits: Limits, strict: Bool) throws -> Image {
    let start = bytes.assumingMemoryBound(to: UInt8.self).baseAddress
    let options = li_options(
      strict: strict, maximum_scans: Int32(exactly: limits.jpegScans) ?? .max,
      maximum_memory: limits.memoryBytes)
    var header = li_header()
    var message = li_message()
    let readHeader = self == .jpeg ? li_jpeg_header : li_png_header
    try check(readHeader(start, bytes.count, options, &header, &message), message)
    let width = Int(header.width)
    let height = Int(header.height)
    try Image.check(width: width, height: height, limits: limits, code: .image)
    try checkSize(header, byteCount: bytes.count)
    var warnings: Int32 = 0
    var image = try Image(width: width, height: height) { pixels in
      let decode = self == .jpeg ? li_jpeg_decode : li_png_decode
      try check(
        decode(start, bytes.count, options, header, pixels, &warnings, &message), message)
    }
    image.warningCount = Int(warnings)
    return image
  }

  /// Deflate packs at most 1032 bytes into one: a file too small for its rows is refused before the picture's
  /// memory is taken.
  private func checkSize(_ header: li_header, byteCount: Int) throws {
    let needed = header.row_bytes.multipliedFullWidth(by: UInt64(header.height))
    guard needed.high > 0 || needed.low / 1032 > UInt64(byteCount) else { return }
    throw LaminaError(
      .image,
      "broken \(name): expected more than \(byteCount) bytes for \(header.width) x \(header.height) pixels"
    )
  }

  private func check(_ status: li_status, _ message: li_message) throws {
    guard status != LI_OK else { return }
    var message = message
    let text = withUnsafeBytes(of: &message.text) { buffer in
      String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
    }
    switch status {
    case LI_UNSUPPORTED: throw LaminaError(.unsupported, "\(name): \(text)")
    case LI_LIMIT: throw LaminaError(.limit, "\(name): \(text)")
    default: throw LaminaError(.image, "broken \(name): \(text)")
    }
  }
}
