import CLamina
import LaminaCore
import LaminaLayers

/// What `lamina_context` names.
final class ContextObject: HandleObject, @unchecked Sendable {
  static let kind = HandleKind.context
  let registry: LayerRegistry
  let pool: ThreadPool
  let limits: Limits
  let layers: [lamina_layer_info]
  private let logger: lamina_log?
  private let logUser: UnsafeMutableRawPointer?
  private let texts = BorrowedTexts()

  init(_ options: lamina_context_options) throws {
    guard options.threads >= 0, options.threads <= ContextObject.threadLimit else {
      throw LaminaError(
        .argument, "expected 0...\(ContextObject.threadLimit) threads, found \(options.threads)")
    }
    limits = try Limits(options.limits)
    registry = LayerRegistry.standard
    logger = options.log
    logUser = options.log_user
    layers = try registry.kinds.map { [registry, texts] kind in
      let definition = try registry.definition(of: kind)
      return lamina_layer_info(
        struct_size: 0, version: Int32(clamping: definition.version),
        kind: try texts.add(kind.name), provider: try texts.add(definition.provider),
        minimum_inputs: definition.arity.lowerBound,
        maximum_inputs: definition.arity.upperBound == .max
          ? Int(bitPattern: UInt.max) : definition.arity.upperBound)
    }
    pool = ThreadPool(threads: options.threads == 0 ? nil : Int(options.threads))
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
