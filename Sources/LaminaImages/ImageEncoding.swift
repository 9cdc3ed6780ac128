import LaminaCore
import LaminaImageShim

extension Image {
  /// The picture as the bytes of a baseline JPEG.
  ///
  /// - Parameter quality: 1 to 100, as libjpeg counts it.
  /// - Throws: `argument` for another quality, `limit` for a side above 65500 pixels or when there is no memory.
  public func jpegBytes(quality: Int = 85) throws -> [UInt8] {
    guard 1...100 ~= quality else {
      throw LaminaError(.argument, "expected a quality in 1...100, found \(quality)")
    }
    guard max(width, height) <= 65_500 else {
      throw LaminaError(
        .limit, "expected at most 65500 pixels a side, found \(width) x \(height)")
    }
    var message = li_message()
    var status = LI_OK
    // No block of 8 × 8 coefficients takes twice the bytes of its samples; tables and markers come before them.
    let bytes = [UInt8](unsafeUninitializedCapacity: 4096 + 6 * (width + 16) * (height + 16)) {
      buffer, count in
      status = withPixels {
        li_jpeg_encode(
          $0.baseAddress, UInt32(width), UInt32(height), Int32(quality), buffer.baseAddress,
          buffer.count, &count, &message)
      }
    }
    guard status == LI_OK else {
      let text = withUnsafeBytes(of: &message.text) { buffer in
        String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
      }
      throw LaminaError(.limit, "JPEG: \(text)")
    }
    return bytes
  }

  /// The picture made smaller, with its proportions, so that no side is longer than `side`; itself when it is small
  /// enough already.
  ///
  /// - Throws: `argument` for a side below 1.
  public func fitted(within side: Int) throws -> Image {
    let longest = max(width, height)
    guard longest > side else { return self }
    func scaled(_ extent: Int) -> Int {
      max(Int((Double(extent) * Double(side) / Double(longest)).rounded()), min(side, 1))
    }
    return try resized(width: scaled(width), height: scaled(height))
  }
}
