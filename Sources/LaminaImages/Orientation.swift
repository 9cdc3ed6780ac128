import LaminaCore

/// How a picture must be turned to stand upright: the values of EXIF's tag 0x0112.
enum Orientation: UInt16, CaseIterable {
  case upright = 1, mirrored, rotated180, flipped, transposed, rotated90, transversed, rotated270

  /// Reads the tag from a TIFF structure; `upright` when it is missing, broken or out of range.
  init(tiff bytes: UnsafeRawBufferPointer) {
    self = Orientation.tag(bytes).flatMap(Orientation.init) ?? .upright
  }

  private static func tag(_ bytes: UnsafeRawBufferPointer) -> UInt16? {
    let isLittle = bytes.starts(with: [0x49, 0x49])
    guard isLittle || bytes.starts(with: [0x4D, 0x4D]) else { return nil }
    func number<T: FixedWidthInteger>(_: T.Type, at offset: Int) -> T? {
      guard offset >= 0, offset <= bytes.count - MemoryLayout<T>.size else { return nil }
      let value = bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
      return isLittle ? T(littleEndian: value) : T(bigEndian: value)
    }
    guard number(UInt16.self, at: 2) == 42, let directory = number(UInt32.self, at: 4),
      let entries = number(UInt16.self, at: Int(directory))
    else { return nil }
    for entry in 0..<Int(entries) {
      let start = Int(directory) + 2 + 12 * entry
      guard let tag = number(UInt16.self, at: start) else { return nil }
      if tag == 0x0112 {
        return number(UInt16.self, at: start + 2) == 3 ? number(UInt16.self, at: start + 8) : nil
      }
    }
    return nil
  }

  /// Reads the tag from the `eXIf` chunk of a PNG.
  init(png bytes: UnsafeRawBufferPointer) {
    self = .upright
    var offset = 8
    while offset <= bytes.count - 12 {
      let stored = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
      let length = Int(UInt32(bigEndian: stored))
      guard length <= bytes.count - offset - 12 else { return }
      let content = UnsafeRawBufferPointer(rebasing: bytes[offset + 8..<offset + 8 + length])
      if bytes[offset + 4..<offset + 8].elementsEqual("eXIf".utf8) {
        self.init(tiff: content)
        return
      }
      offset += 12 + length
    }
  }
}

extension Image {
  /// The picture turned upright.
  ///
  /// - Throws: `limit` when there is no memory.
  func turned(_ orientation: Orientation) throws -> Image {
    let (w, h) = (width, height)
    // Where the first pixel of the result lies, and the steps in x and in y, all in pixels of the source.
    let (first, stepX, stepY): (Int, Int, Int) =
      switch orientation {
      case .upright: (0, 1, w)
      case .mirrored: (w - 1, -1, w)
      case .rotated180: (w * h - 1, -1, -w)
      case .flipped: (w * (h - 1), 1, -w)
      case .transposed: (0, w, 1)
      case .rotated90: (w * (h - 1), -w, 1)
      case .transversed: (w * h - 1, -w, -1)
      case .rotated270: (w - 1, w, -1)
      }
    if orientation == .upright { return self }
    let swapsSides = orientation.rawValue > 4
    let (columns, rows) = swapsSides ? (h, w) : (w, h)
    let source = view.base
    var result = try Image(width: columns, height: rows) {
      var target = $0
      for y in 0..<rows {
        var pixel = source + 3 * (first + y * stepY)
        for _ in 0..<columns {
          target[0] = pixel[0]
          target[1] = pixel[1]
          target[2] = pixel[2]
          target += 3
          pixel += 3 * stepX
        }
      }
    }
    result.warningCount = warningCount
    return result
  }
}
