import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Keeps what a plugin logs.
private final class Lines: PluginLogger, @unchecked Sendable {
  private let lock = NSLock()
  private var lines: [String] = []

  var all: [String] { lock.withLock { lines } }
  func pluginLogs(_ level: Int, _ message: String) { lock.withLock { lines.append(message) } }
}

/// Decodes `TOY`, width, height, and grey pixels. It logs what it frees.
private let toy = """
  #include "lamina/lamina_plugin.h"
  #include <stdlib.h>
  #include <string.h>
  static const lamina_host *host;
  static int32_t recognizes(const lamina_image_decoder *d, const uint8_t *b, size_t n) {
    return n >= 5 && memcmp(b, "TOY", 3) == 0;
  }
  static lamina_status read_size(const lamina_image_decoder *d, const uint8_t *b, size_t n,
                                 uint32_t *width, uint32_t *height, lamina_error *e) {
    *width = b[3]; *height = b[4];
    if (b[3] == 255) *width = *height = 100000;
    return 0;
  }
  static lamina_status decode(const lamina_image_decoder *d, const uint8_t *b, size_t n,
                              lamina_decoded_image *i, lamina_error *e) {
    if (n != 5 + b[3] * b[4]) { strcpy(e->message, "broken toy"); return LAMINA_ERROR_IMAGE; }
    i->channels = 1; i->width = b[3]; i->height = b[4]; i->row_bytes = b[3];
    uint8_t *pixels = malloc(n); memcpy(pixels, b + 5, n - 5); i->pixels = pixels; i->owner = pixels;
    @CHANGE@
    return 0;
  }
  static void release(const lamina_image_decoder *d, lamina_decoded_image *i) {
    free(i->owner); host->log(host, LAMINA_LOG_INFO, "freed");
  }
  static const char *const suffixes[] = {@SUFFIX@, NULL};
  static const lamina_image_decoder decoder = {.struct_size = @SIZE@, .name = "Toy",
    .suffixes = suffixes, .recognizes = recognizes, .read_size = read_size, .decode = @DECODE@,
    .release = release};
  static const void *get_extension(const lamina_plugin *p, const char *id) {
    return strcmp(id, LAMINA_EXTENSION_IMAGE_DECODER) == 0 ? &decoder : NULL;
  }
  static const lamina_plugin plugin = {.struct_size = sizeof(lamina_plugin), .abi_major = 1,
    .id = "com.example.toy", .version = "1.0.0", .vendor = "Example",
    .get_extension = get_extension};
  const lamina_plugin *lamina_plugin_entry(const lamina_host *given, lamina_error *e) {
    host = given;
    return &plugin;
  }
  """

private func withPlugin(
  change: String = "", suffix: String = "\".toy\"", size: String = "sizeof(lamina_image_decoder)",
  decode: String = "decode", _ body: (Plugin, Lines) throws -> Void
) throws {
  try withTemporaryFolder { folder in
    let source = toy.replacing("@CHANGE@", with: change).replacing("@SUFFIX@", with: suffix)
      .replacing("@SIZE@", with: size).replacing("@DECODE@", with: decode)
    try source.write(toFile: "\(folder)/toy.c", atomically: true, encoding: .utf8)
    try PluginBuilder.build("\(folder)/toy.c", to: "\(folder)/toy.so")
    var options = PluginOptions()
    options.cacheFolder = "\(folder)/cache"
    let lines = Lines()
    try body(Plugin.load(path: "\(folder)/toy.so", options: options, logger: lines), lines)
  }
}

private func picture(_ width: UInt8, _ height: UInt8) -> [UInt8] {
  Array("TOY".utf8) + [width, height] + (0..<width * height).map { 10 &* $0 }
}

@Suite struct ImageDecoderTests {
  @Test func decodesWhatLaminaDoesNotKnow() throws {
    try withPlugin { plugin, lines in
      #expect(plugin.layers.isEmpty)
      #expect(plugin.imageDecoders.map(\.name) == ["Toy"])
      let options = ImageDecodingOptions(decoders: plugin.imageDecoders)
      let image = try Image.decode(picture(3, 2), options: options)
      #expect(image.width == 3 && image.height == 2)
      #expect(image.pixels == [0, 10, 20, 30, 40, 50].flatMap { [$0, $0, $0] })
      #expect(lines.all == ["freed"])
      expectError(.image, "broken toy") {
        try Image.decode(picture(3, 2).dropLast(), options: options)
      }
      expectError(.image, "expected at least 1 x 1 pixels, found 0 x 3") {
        try Image.decode(picture(0, 3), options: options)
      }
      #expect(throws: LaminaError.self) { try Image.decode(picture(255, 1), options: options) }
      var limits = Limits()
      limits.imagePixels = 5
      expectError(.limit, "expected at most 5 pixels, found 3 x 2") {
        try Image.decode(picture(3, 2), limits: limits, options: options)
      }
      #expect(lines.all == ["freed"])
      expectError(.image, "expected a JPEG or PNG picture, found 11 bytes of another kind") {
        try Image.decode(picture(3, 2))
      }
    }
  }

  @Test(arguments: [
    ("i->width = 4;", "expected 3 x 2 pixels as read_size told, found 4 x 2"),
    ("i->channels = 2;", "expected 1, 3 or 4 channels, found 2"),
    ("i->row_bytes = 2;", "expected at least 3 bytes a row, found 2"),
    ("i->row_bytes = -1;", "expected at least 3 bytes a row, found 18446744073709551615"),
    ("i->pixels = NULL;", "expected pixels, found NULL"),
  ])
  func whatItGivesIsCheckedAndFreed(change: String, message: String) throws {
    try withPlugin(change: change) { plugin, lines in
      expectError(.format, "decode of plugin 'com.example.toy': " + message) {
        try Image.decode(
          picture(3, 2), options: ImageDecodingOptions(decoders: plugin.imageDecoders))
      }
      #expect(lines.all == ["freed"])
    }
  }

  @Test func itsTableIsChecked() throws {
    func expect(_ message: String, _ load: (_ body: (Plugin, Lines) throws -> Void) throws -> Void)
    {
      expectError(.format, message) { try load { _, _ in } }
    }
    expect("expected struct_size of lamina_image_decoder in 64...4096, found 8") {
      try withPlugin(size: "8", $0)
    }
    expect("expected a suffix such as '.webp', found 'WEBP'") {
      try withPlugin(suffix: "\"WEBP\"", $0)
    }
    expect("expected decode of an image decoder, found NULL") { try withPlugin(decode: "NULL", $0) }
  }

  @Test func foldersHoldItsPictures() throws {
    try withPlugin { plugin, _ in
      try withTemporaryFolder { folder in
        for name in ["a", "b"] {
          try FileManager.default.createDirectory(
            atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
          try Data(picture(2, 2)).write(to: URL(filePath: "\(folder)/\(name)/1.TOY"))
        }
        let options = ImageDecodingOptions(decoders: plugin.imageDecoders)
        let images = try ImageFolder(path: folder, decoding: options)
        #expect(images.count == 2)
        #expect(try images.image(at: 1).width == 2)
        #expect(throws: LaminaError.self) { try ImageFolder(path: folder) }
      }
    }
  }

  /// 6 × 4 pixels: red by columns, green by rows, blue a chessboard.
  private static let webp =
    "UklGRjoAAABXRUJQVlA4TC0AAAAvBcAAABAIEMKECRNLEEASTjjjjDPOWFdA7n8ATNAML5VpuV7IRd30c53X+wEA"

  @Test(.enabled(if: PluginBuilder.hasWebP, "skipped: no libwebp (Debian: libwebp-dev)"))
  func theSampleDecodesWebP() throws {
    let library = try #require(try PluginBuilder.webp())
    try withTemporaryFolder { folder in
      var loading = PluginOptions()
      loading.cacheFolder = "\(folder)/cache"
      let plugin = try Plugin.load(path: library, options: loading)
      let options = ImageDecodingOptions(decoders: plugin.imageDecoders)
      let bytes = [UInt8](try #require(Data(base64Encoded: Self.webp)))
      let image = try Image.decode(bytes, options: options)
      let expected: [UInt8] = (0..<24).flatMap { position -> [UInt8] in
        let (x, y) = (position % 6, position / 6)
        return [UInt8(40 * x), UInt8(60 * y), (x + y) % 2 == 1 ? 200 : 10]
      }
      #expect(image.width == 6 && image.height == 4)
      #expect(image.pixels == expected)
      for count in 12..<bytes.count {
        #expect(throws: LaminaError.self) {
          try Image.decode(Array(bytes[..<count]), options: options)
        }
      }
      expectError(.unsupported, "expected a JPEG or PNG picture, found WebP") {
        try Image.decode(bytes)
      }
    }
  }
}
