import LaminaCore

/// What the segments before a JPEG's first scan say about its coding and orientation. It never fails: what is
/// broken is left for the decoder to report.
struct JPEGSegments {
  /// The first frame's marker, SOF0 … SOF15.
  private(set) var frame: UInt8?
  /// Bits of a sample.
  private(set) var precision: UInt8?
  /// From the first EXIF segment.
  private(set) var orientation = Orientation.upright

  init(_ bytes: UnsafeRawBufferPointer) {
    var offset = 2
    var exifFound = false
    while let marker = JPEGSegments.nextMarker(bytes, &offset) {
      switch marker {
      case 0x01, 0xD0...0xD8: continue
      case 0xD9, 0xDA: return
      default: break
      }
      guard offset + 2 <= bytes.count else { return }
      let length = Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
      guard length >= 2, length <= bytes.count - offset else { return }
      let content = UnsafeRawBufferPointer(rebasing: bytes[offset + 2..<offset + length])
      switch marker {
      case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB,
        0xCD...0xCF where frame == nil:
        frame = marker
        precision = content.first
      case 0xE1 where !exifFound && content.starts(with: Array("Exif\0\0".utf8)):
        exifFound = true
        orientation = Orientation(tiff: UnsafeRawBufferPointer(rebasing: content.dropFirst(6)))
      default: break
      }
      offset += length
    }
  }

  /// Steps over garbage and fill bytes behind the next marker, as decoders do.
  private static func nextMarker(_ bytes: UnsafeRawBufferPointer, _ offset: inout Int) -> UInt8? {
    while offset < bytes.count {
      guard bytes[offset] == 0xFF else {
        offset += 1
        continue
      }
      while offset < bytes.count, bytes[offset] == 0xFF { offset += 1 }
      guard offset < bytes.count else { return nil }
      offset += 1
      if bytes[offset - 1] != 0 { return bytes[offset - 1] }
    }
    return nil
  }

  /// - Throws: `unsupported` when the frame is not baseline or progressive with Huffman codes and 8 bits.
  func checkFrame() throws {
    let coding: String? =
      switch frame {
      case 0xC3: "lossless coding"
      case 0xC5, 0xC6, 0xC7: "hierarchical coding"
      case 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF: "arithmetic coding"
      default: nil
      }
    if let coding {
      throw LaminaError(
        .unsupported, "JPEG: expected baseline or progressive coding, found \(coding)")
    }
    if let precision, precision != 8 {
      throw LaminaError(.unsupported, "JPEG: expected 8 bits a sample, found \(precision)")
    }
  }
}
