import LaminaCore

/// Decodes pictures of a kind that Lamina does not know itself. It is asked for no others.
public protocol ImageDecoder: Sendable {
  /// What it decodes, for messages: `WebP`.
  var name: String { get }
  /// How names of such files end, in lower case: `.webp`.
  var suffixes: [String] { get }
  /// Whether a file whose bytes these are is of its kind.
  func recognizes(_ bytes: UnsafeRawBufferPointer) -> Bool
  /// The picture, turned upright.
  ///
  /// - Throws: `image` when the bytes are broken, `limit` when the picture is larger than `limits` allow.
  func decode(_ bytes: UnsafeRawBufferPointer, limits: Limits) throws -> Image
}
