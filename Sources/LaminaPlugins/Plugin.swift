import CLamina
import LaminaCore
import LaminaImages

/// Layers and image decoders that somebody else's code supplies through the tables of `lamina_plugin.h`. Its code stays loaded until
/// the process ends.
public final class Plugin: Sendable {
  /// Name under the vendor's domain: `com.example.mish`. The provider of its layers.
  public let id: String
  /// Version of the plugin.
  public let version: String
  /// Who made it.
  public let vendor: String
  /// The interface it was made for: its major version, and the oldest minor one that will do.
  public let interface: (major: Int, minor: Int)
  /// The file it was loaded from; empty for tables of the program's own.
  public let path: String
  /// What it supplies, in the order of its table.
  public let layers: [LayerDefinition]
  /// What it decodes beside JPEG and PNG.
  public let imageDecoders: [any ImageDecoder]
  /// The same as the host reads them.
  let classes: [PluginLayerClass]
  let log: PluginLog

  /// The function that a plugin exports.
  package typealias Entry =
    @convention(c) (UnsafePointer<lamina_host>?, UnsafeMutablePointer<lamina_error>?)
    -> UnsafePointer<lamina_plugin>?

  /// Reads the tables that `entry` returns.
  ///
  /// - Throws: what the plugin says when it returns none; `unsupported` when it was made for another version of the
  ///   interface; `format` for every rule of `lamina_plugin.h` that the tables break.
  package init(entry: Entry, path: String = "", logger: (any PluginLogger)? = nil) throws {
    log = PluginLog()
    self.path = path
    if let logger { log.add(logger) }
    var error = lamina_error()
    error.struct_size = UInt32(MemoryLayout<lamina_error>.size)
    guard let pointer = entry(makeHostTable(log: log), &error) else {
      throw LaminaError(
        LaminaError.Code(rawValue: error.code) ?? .format,
        error.text ?? "lamina_plugin_entry returned NULL and gave no reason")
    }
    let table = try readTable(
      pointer, lamina_plugin(), minimum: MemoryLayout<lamina_plugin>.offset(of: \.id) ?? 0,
      "lamina_plugin")
    let (major, minor) = (Int(LAMINA_PLUGIN_ABI_MAJOR), Int(LAMINA_PLUGIN_ABI_MINOR))
    guard table.abi_major == major else {
      throw LaminaError(
        .unsupported,
        "expected a plugin for interface \(major), found one for interface \(table.abi_major)")
    }
    guard table.abi_minor_required <= minor else {
      throw LaminaError(
        .unsupported,
        "expected a plugin for interface \(major).\(minor) or older, found one that needs "
          + "\(major).\(table.abi_minor_required)")
    }
    interface = (major, Int(table.abi_minor_required))
    let needed = MemoryLayout<lamina_plugin>.offset(of: \.get_extension) ?? 0
    guard table.struct_size >= needed else {
      throw LaminaError.broken(
        "expected struct_size of lamina_plugin in \(needed)...4096, found \(table.struct_size)")
    }
    let id = try tableName(table.id, "id")
    self.id = id
    let version = try tableText(table.version, "version")
    self.version = version
    vendor = try tableText(table.vendor, "vendor")
    let decoder = table.get_extension?(pointer, LAMINA_EXTENSION_IMAGE_DECODER)
    imageDecoders =
      try decoder.map {
        [
          try PluginImageDecoder(
            $0.assumingMemoryBound(to: lamina_image_decoder.self), plugin: id)
        ]
      } ?? []
    let count = UInt(bitPattern: table.class_count)
    guard count >= 1 || decoder != nil, count <= 4096 else {
      throw LaminaError.broken("expected 1 to 4096 layer classes, found \(count)")
    }
    let classes = table.classes
    guard classes != nil || count == 0 else {
      throw LaminaError.broken("expected \(count) layer classes, found NULL")
    }
    var kinds: Set<LayerKind> = []
    self.classes = try (0..<Int(count)).map { index in
      guard let pointer = classes?[index] else {
        throw LaminaError.broken("expected a layer class at \(index), found NULL")
      }
      let layerClass = try withErrorPath("class \(index)") {
        try PluginLayerClass(pointer, plugin: id, version: version)
      }
      guard kinds.insert(layerClass.kind).inserted else {
        throw LaminaError.broken("two layer classes are '\(layerClass.kind)'")
      }
      return layerClass
    }
    layers = self.classes.map(\.definition)
  }
}

extension LayerRegistry {
  /// The registry with all layers of a plugin.
  ///
  /// - Parameter replacing: whether a layer of the plugin takes the place of one of its kind.
  /// - Throws: `argument` when a kind is taken, naming both providers; nothing is added then.
  public func adding(_ plugin: Plugin, replacing: Bool = false) throws -> LayerRegistry {
    var result = self
    for layer in plugin.layers {
      if replacing { result.replace(layer) } else { try result.register(layer) }
    }
    return result
  }

  /// The registry with the layers of several plugins, each plugin once.
  ///
  /// - Throws: as for one.
  public func adding(_ plugins: [Plugin]) throws -> LayerRegistry {
    var result = self
    var added: [Plugin] = []
    for plugin in plugins where !added.contains(where: { $0 === plugin }) {
      result = try withErrorPath(plugin.path) { try result.adding(plugin) }
      added.append(plugin)
    }
    return result
  }
}
