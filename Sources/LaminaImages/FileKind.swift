/// What a file is, by its first bytes.
enum FileKind: Equatable {
  case jpeg
  case png
  /// A known kind that is not decoded.
  case other(String)
  case unknown

  /// Whether Lamina decodes it itself.
  var isDecoded: Bool { self == .jpeg || self == .png }

  private static let signatures: [(name: String, offset: Int, bytes: [UInt8])] = [
    ("AVIF", 4, Array("ftypavif".utf8)),
    ("BMP", 0, Array("BM".utf8)),
    ("GIF", 0, Array("GIF8".utf8)),
    ("gzip", 0, [0x1F, 0x8B]),
    ("HEIF", 4, Array("ftyphei".utf8)),
    ("HEIF", 4, Array("ftypmif1".utf8)),
    ("ICO", 0, [0, 0, 1, 0]),
    ("JPEG 2000", 4, Array("jP  ".utf8)),
    ("JPEG XL", 0, [0xFF, 0x0A]),
    ("JPEG XL", 4, Array("JXL ".utf8)),
    ("PDF", 0, Array("%PDF".utf8)),
    ("PSD", 0, Array("8BPS".utf8)),
    ("TIFF", 0, [0x49, 0x49, 0x2A, 0]),
    ("TIFF", 0, [0x4D, 0x4D, 0, 0x2A]),
    ("WebP", 8, Array("WEBP".utf8)),
    ("zip", 0, [0x50, 0x4B, 3, 4]),
  ]

  init(_ bytes: UnsafeRawBufferPointer) {
    func starts(with signature: some Collection<UInt8>, at offset: Int = 0) -> Bool {
      bytes.dropFirst(offset).starts(with: signature)
    }
    if starts(with: [0xFF, 0xD8]) {
      self = .jpeg
    } else if starts(with: [0x89, 0x50, 0x4E, 0x47]) {
      self = .png
    } else if let found = FileKind.signatures.first(where: { starts(with: $0.bytes, at: $0.offset) }
    ) {
      self = .other(found.name)
    } else {
      self = FileKind.markup(bytes).map(FileKind.other) ?? .unknown
    }
  }

  /// HTML, SVG or XML, behind white space and a byte order mark.
  private static func markup(_ bytes: UnsafeRawBufferPointer) -> String? {
    let skipped: Set<UInt8> = [0xEF, 0xBB, 0xBF, 0x20, 0x09, 0x0A, 0x0D]
    let start = bytes.prefix(1024).drop { skipped.contains($0) }.prefix(16)
    let text = String(decoding: start, as: UTF8.self).lowercased()
    if text.hasPrefix("<!doctype html") || text.hasPrefix("<html") { return "HTML" }
    if text.hasPrefix("<svg") { return "SVG" }
    return text.hasPrefix("<?xml") ? "XML" : nil
  }
}
