import CLamina
import LaminaCore
import LaminaImages
import LaminaLayers
import LaminaPlugins
import Synchronization

/// What `lamina_context` names.
final class ContextObject: HandleObject, @unchecked Sendable {
  static let kind = HandleKind.context
  let pool: ThreadPool
  let limits: Limits
  private let supply = Mutex(Supply())
  private let logger: lamina_log?
  private let logUser: UnsafeMutableRawPointer?
  private let texts = BorrowedTexts()

  /// The layers that models of the context may use.
  private struct Supply: @unchecked Sendable {
    var registry = LayerRegistry.standard
    var plugins: [Plugin] = []
    var layers: [lamina_layer_info] = []
  }

  var registry: LayerRegistry { supply.withLock { $0.registry } }
  var layers: [lamina_layer_info] { supply.withLock { $0.layers } }
  /// How pictures are decoded: by Lamina, and by the plugins.
  var decoding: ImageDecodingOptions {
    ImageDecodingOptions(decoders: supply.withLock { $0.plugins }.flatMap(\.imageDecoders))
  }

  init(_ options: lamina_context_options) throws {
    guard options.threads >= 0, options.threads <= ContextObject.threadLimit else {
      throw LaminaError(
        .argument, "expected 0...\(ContextObject.threadLimit) threads, found \(options.threads)")
    }
    limits = try Limits(options.limits)
    logger = options.log
    logUser = options.log_user
    pool = ThreadPool(threads: options.threads == 0 ? nil : Int(options.threads))
    let standard = LayerRegistry.standard
    let layers = try standard.kinds.map { try info(standard.definition(of: $0)) }
    supply.withLock { $0.layers = layers }
    for plugin in try Plugin.loadEnvironment(logger: self) { try add(plugin) }
  }

  private func info(_ definition: LayerDefinition) throws -> lamina_layer_info {
    lamina_layer_info(
      struct_size: 0, version: Int32(clamping: definition.version),
      kind: try texts.add(definition.kind.name), provider: try texts.add(definition.provider),
      minimum_inputs: definition.arity.lowerBound,
      maximum_inputs: definition.arity.upperBound == .max
        ? Int(bitPattern: UInt.max) : definition.arity.upperBound)
  }

  /// Adds the layers of a plugin, all or none; one that is there already is left alone.
  ///
  /// - Parameter replacing: whether its layers take the place of those of their kinds.
  /// - Throws: `argument` when a kind is taken, naming both providers.
  func add(_ plugin: Plugin, replacing: Bool = false) throws {
    try supply.withLock { supply in
      let isNew = !supply.plugins.contains { $0 === plugin }
      guard isNew || replacing else { return }
      let registry = try withErrorPath(plugin.path) {
        try supply.registry.adding(plugin, replacing: replacing)
      }
      let kinds = Set(plugin.layers.map(\.kind.name))
      let kept = supply.layers.filter { layer in
        layer.kind.map { !kinds.contains(String(cString: $0)) } ?? true
      }
      let layers = kept + (try plugin.layers.map(info))
      supply.layers = layers.sorted { a, b in
        guard let a = a.kind, let b = b.kind else { return false }
        return isBefore(a, b)
      }
      supply.registry = registry
      if isNew { supply.plugins.append(plugin) }
    }
  }

  /// Most threads of a context or session.
  static let threadLimit: Int32 = 256

  /// Hands a line to the caller's log.
  func log(_ level: Int, _ message: @autoclosure () -> String) {
    guard let logger else { return }
    message().escapedForDisplay(limit: 4096).withCString {
      logger(logUser, Int32(truncatingIfNeeded: level), $0)
    }
  }
}

extension ContextObject: PluginLogger {
  func pluginLogs(_ level: Int, _ message: String) { log(level, message) }
}

extension Limits {
  /// The caller's limits, or the defaults.
  fileprivate init(_ pointer: UnsafePointer<lamina_limits>?) throws {
    self.init()
    guard let pointer else { return }
    let given = try options(pointer, lamina_limits(), "limits")
    guard given.reserved == 0 else {
      throw LaminaError(.argument, "expected 0, found \(given.reserved)", path: "limits.reserved")
    }
    func take(_ value: UInt64, _ field: WritableKeyPath<Limits, Int>) {
      if value != 0 { self[keyPath: field] = Int(clamping: value) }
    }
    take(given.weight_file_bytes, \.weightFileBytes)
    take(given.image_file_bytes, \.imageFileBytes)
    take(given.image_pixels, \.imagePixels)
    take(given.memory_bytes, \.memoryBytes)
  }
}

/// `lamina_context_create` of `lamina.h`.
@_cdecl("lamina_context_create") @implementation
public func lamina_context_create(
  _ options: UnsafePointer<lamina_context_options>?,
  _ context: UnsafeMutablePointer<lamina_context>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try require(context, "context")
    let options = try options.map { try LaminaC.options($0, lamina_context_options(), "options") }
    context.pointee = try handles.insert(ContextObject(options ?? lamina_context_options()))
  }
}

/// `lamina_context_release` of `lamina.h`.
@_cdecl("lamina_context_release") @implementation
public func lamina_context_release(_ context: lamina_context) { handles.release(context, .context) }

/// `lamina_context_layer_count` of `lamina.h`.
@_cdecl("lamina_context_layer_count") @implementation
public func lamina_context_layer_count(
  _ context: lamina_context, _ count: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(context, ContextObject.self)
    try require(count, "count").pointee = object.layers.count
  }
}

/// `lamina_context_layer_info` of `lamina.h`.
@_cdecl("lamina_context_layer_info") @implementation
public func lamina_context_layer_info(
  _ context: lamina_context, _ index: Int, _ info: UnsafeMutablePointer<lamina_layer_info>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let layers = try handles.object(context, ContextObject.self).layers
    let info = try require(info, "info")
    try write(element(index, of: layers, "index"), to: info, "info")
  }
}

/// `lamina_context_load_plugin` of `lamina.h`.
@_cdecl("lamina_context_load_plugin") @implementation
public func lamina_context_load_plugin(
  _ context: lamina_context, _ path: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) { try loadPlugin(context, path, replacing: false) }
}

/// `lamina_context_replace_layers` of `lamina.h`.
@_cdecl("lamina_context_replace_layers") @implementation
public func lamina_context_replace_layers(
  _ context: lamina_context, _ path: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) { try loadPlugin(context, path, replacing: true) }
}

private func loadPlugin(
  _ context: lamina_context, _ path: UnsafePointer<CChar>?, replacing: Bool
) throws {
  let object = try handles.object(context, ContextObject.self)
  let plugin = try Plugin.load(path: text(path, "path"), logger: object)
  try object.add(plugin, replacing: replacing)
  object.log(LAMINA_LOG_INFO, "loaded plugin \(plugin.id) \(plugin.version)")
}

/// `lamina_context_register_plugin` of `lamina.h`.
@_cdecl("lamina_context_register_plugin") @implementation
public func lamina_context_register_plugin(
  _ context: lamina_context, _ entry: lamina_plugin_entry_function?, _ replace: Int32,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(context, ContextObject.self)
    guard let entry else {
      throw LaminaError(.argument, "expected a pointer, found NULL", path: "entry")
    }
    guard replace == 0 || replace == 1 else {
      throw LaminaError(.argument, "expected 0 or 1, found \(replace)", path: "replace")
    }
    try object.add(Plugin.load(entry: entry, logger: object), replacing: replace == 1)
  }
}

/// The element at a position the caller gives.
///
/// - Throws: `argument` when there is none.
func element<T>(_ index: Int, of elements: [T], _ name: StaticString) throws -> T {
  guard elements.indices.contains(index) else {
    throw LaminaError(
      .argument, "expected an index below \(elements.count), found \(UInt(bitPattern: index))",
      path: "\(name)")
  }
  return elements[index]
}
