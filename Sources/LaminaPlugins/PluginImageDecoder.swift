import CLamina
import LaminaCore
import LaminaImages

/// The image decoder of a plugin, checked.
final class PluginImageDecoder: ImageDecoder, @unchecked Sendable {
  let name: String
  let suffixes: [String]
  private let plugin: String
  /// The immortal table, as the plugin's functions are handed it.
  private let pointer: UnsafePointer<lamina_image_decoder>
  private let table: lamina_image_decoder

  /// - Throws: `format` for every rule of `lamina_plugin.h` that the table breaks.
  init(_ pointer: UnsafePointer<lamina_image_decoder>, plugin: String) throws {
    self.plugin = plugin
    self.pointer = pointer
    let table = try readTable(
      pointer, lamina_image_decoder(), minimum: MemoryLayout<lamina_image_decoder>.size,
      "lamina_image_decoder")
    self.table = table
    name = try tableText(table.name, "the name of an image decoder")
    guard let list = table.suffixes else {
      throw LaminaError.broken("expected suffixes of an image decoder, found NULL")
    }
    var suffixes: [String] = []
    while let text = list[suffixes.count] {
      guard suffixes.count < Self.suffixLimit else {
        throw LaminaError.broken(
          "expected at most \(Self.suffixLimit) suffixes and a NULL behind them")
      }
      let suffix = try tableText(text, "a suffix")
      guard suffix.hasPrefix("."), suffix == suffix.lowercased() else {
        throw LaminaError.broken(
          "expected a suffix such as '.webp', found '\(suffix.escapedForDisplay())'")
      }
      suffixes.append(suffix)
    }
    self.suffixes = suffixes
    for (function, isMissing) in [
      ("recognizes", table.recognizes == nil), ("read_size", table.read_size == nil),
      ("decode", table.decode == nil), ("release", table.release == nil),
    ] where isMissing {
      throw LaminaError.broken("expected \(function) of an image decoder, found NULL")
    }
  }

  private static let suffixLimit = 64

  func recognizes(_ bytes: UnsafeRawBufferPointer) -> Bool {
    !bytes.isEmpty && table.recognizes?(pointer, bytes.bytes, bytes.count) ?? 0 != 0
  }

  func decode(_ bytes: UnsafeRawBufferPointer, limits: Limits) throws -> Image {
    var (width, height) = (UInt32(0), UInt32(0))
    try callPlugin("read_size", of: plugin) { error in
      table.read_size?(pointer, bytes.bytes, bytes.count, &width, &height, error)
        ?? lamina_status(LAMINA_ERROR_INTERNAL)
    }
    try Image.check(width: Int(width), height: Int(height), limits: limits, code: .image)
    var image = lamina_decoded_image()
    image.struct_size = UInt32(MemoryLayout<lamina_decoded_image>.size)
    try callPlugin("decode", of: plugin) { error in
      table.decode?(pointer, bytes.bytes, bytes.count, &image, error)
        ?? lamina_status(LAMINA_ERROR_INTERNAL)
    }
    // The plugin is given back what it made, whatever becomes of `image`.
    var made = image
    defer { table.release?(pointer, &made) }
    func broken(_ message: String) -> LaminaError {
      LaminaError.broken("decode of plugin '\(plugin)': \(message)")
    }
    guard image.width == width, image.height == height else {
      throw broken(
        "expected \(width) x \(height) pixels as read_size told, found \(image.width) x \(image.height)"
      )
    }
    guard [1, 3, 4].contains(image.channels) else {
      throw broken("expected 1, 3 or 4 channels, found \(image.channels)")
    }
    let channels = Int(image.channels)
    let rowBytes = UInt(bitPattern: image.row_bytes)
    guard rowBytes >= UInt(width) * UInt(channels), rowBytes <= 1 << 40 else {
      throw broken("expected at least \(Int(width) * channels) bytes a row, found \(rowBytes)")
    }
    guard let source = image.pixels else { throw broken("expected pixels, found NULL") }
    return try Image(width: Int(width), height: Int(height)) { target in
      for row in 0..<Int(height) {
        let (from, to) = (source + row * Int(rowBytes), target + row * 3 * Int(width))
        if channels == 3 {
          to.update(from: from, count: 3 * Int(width))
        } else {
          for column in 0..<Int(width) {
            for channel in 0..<3 {
              to[3 * column + channel] = from[channels * column + min(channel, channels - 1)]
            }
          }
        }
      }
    }
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var bytes: UnsafePointer<UInt8>? { assumingMemoryBound(to: UInt8.self).baseAddress }
}
