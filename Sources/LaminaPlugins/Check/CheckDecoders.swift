import LaminaCore
import LaminaImages

/// How files begin that an image decoder may take for its own, and some that nobody should.
private let heads: [[UInt8]] = [
  [], Array("RIFF\u{40}\0\0\0WEBPVP8 ".utf8), Array("RIFF\u{40}\0\0\0WEBPVP8L".utf8),
  Array("RIFF\u{40}\0\0\0WEBPVP8X".utf8), Array("GIF89a".utf8), Array("BM".utf8),
  Array("II*\0".utf8), Array("MM\0*".utf8), [0x89, 0x50, 0x4E, 0x47, 13, 10, 26, 10],
  [0xFF, 0xD8, 0xFF, 0xE0], Array("\0\0\0\u{18}ftypavif".utf8), Array("P6 1 1 255\n".utf8),
]

/// Files of random bytes behind such heads lie before memory that nobody may touch.
@Sendable func decoderOtherFiles(_ file: PluginFile) throws {
  let plugin = try Plugin(entry: Plugin.entry(of: file))
  guard !plugin.imageDecoders.isEmpty else { throw DoesNotApply("there is no image decoder") }
  for decoder in plugin.imageDecoders {
    for (index, head) in heads.enumerated() {
      for size in [1, 2, 3, 11, 12, 16, 31, 72, 500, 4096] {
        let random = CounterRandom(seed: UInt64(index), name: "\(size)")
        let memory = try FencedMemory(byteCount: size, atEnd: true)
        for i in 0..<size {
          memory.bytes[i] =
            i < head.count ? head[i] : UInt8(truncatingIfNeeded: random.bits(UInt64(i)))
        }
        try withExtendedLifetime(memory) {
          let bytes = UnsafeRawBufferPointer(memory.bytes)
          let isIts = decoder.recognizes(bytes)
          guard decoder.recognizes(bytes) == isIts else {
            throw LaminaError(.format, "recognizes says another thing of the same bytes")
          }
          guard isIts else { return }
          do {
            _ = try decoder.decode(bytes, limits: Limits())
          } catch let error as LaminaError where !error.message.contains("of plugin") {}
        }
      }
    }
  }
}
