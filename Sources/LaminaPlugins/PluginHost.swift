import CLamina
import LaminaCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Receives what a plugin logs. Plugins hold it weakly.
public protocol PluginLogger: AnyObject, Sendable {
  /// Receives a line and how much it matters, `LAMINA_LOG_INFO` or `LAMINA_LOG_WARNING`, on any thread.
  func pluginLogs(_ level: Int, _ message: String)
}

/// The logs of all who loaded a plugin.
final class PluginLog: Sendable {
  private struct Entry {
    weak var logger: (any PluginLogger)?
  }

  private let entries = Mutex<[Entry]>([])

  func add(_ logger: any PluginLogger) {
    entries.withLock { entries in
      entries.removeAll { $0.logger == nil || $0.logger === logger }
      entries.append(Entry(logger: logger))
    }
  }

  func write(_ level: Int, _ message: String) {
    for logger in entries.withLock({ $0.compactMap(\.logger) }) {
      logger.pluginLogs(level, message)
    }
  }
}

/// What a plugin is handed: the table, and behind it what the table's functions find by its address.
private struct HostTable {
  var table: lamina_host
  var log: Unmanaged<PluginLog>
}

/// An immortal table for one plugin.
func makeHostTable(log: PluginLog) -> UnsafePointer<lamina_host> {
  var table = lamina_host()
  table.struct_size = UInt32(MemoryLayout<lamina_host>.size)
  table.abi_major = UInt32(LAMINA_PLUGIN_ABI_MAJOR)
  table.abi_minor = UInt32(LAMINA_PLUGIN_ABI_MINOR)
  table.version = UnsafePointer(strdup(laminaVersion))
  table.log = { host, level, message in
    guard let host, let text = pluginText(message) else { return }
    UnsafeRawPointer(host).assumingMemoryBound(to: HostTable.self).pointee.log
      .takeUnretainedValue().write(Int(level), text.escapedForDisplay(limit: 4096))
  }
  table.parallel_for = { threads, count, body, user in
    guard let body, let count = Int(exactly: count) else { return }
    nonisolated(unsafe) let user = user
    guard let pool = ThreadPool.borrowed(threads) else {
      for index in 0..<max(count, 0) { body(user, index) }
      return
    }
    pool.parallelFor(count) { body(user, $0) }
  }
  table.thread_count = { ThreadPool.borrowed($0)?.threadCount ?? 1 }
  table.attribute_count = { PluginAttributes.borrowed($0)?.names.count ?? 0 }
  table.attribute_name = { attributes, index in
    guard let names = PluginAttributes.borrowed(attributes)?.names, names.indices.contains(index)
    else { return nil }
    return names[index]
  }
  table.attribute_type = { attributes, name in
    guard let attributes = PluginAttributes.borrowed(attributes), let name = pluginText(name)
    else { return Int32(LAMINA_ATTRIBUTE_NONE) }
    return attributes.type(of: name)
  }
  table.attribute_int = { attributes, name, value, error in
    readAttribute(attributes, name, value, error) { _, reader, name in
      Int64(try reader.int(name, in: Int.min...Int.max))
    }
  }
  table.attribute_float = { attributes, name, value, error in
    readAttribute(attributes, name, value, error) { _, reader, name in
      switch reader.value(name) {
      case .float(let number): number
      default: Double(try reader.float(name))
      }
    }
  }
  table.attribute_bool = { attributes, name, value, error in
    readAttribute(attributes, name, value, error) { _, reader, name in
      try reader.bool(name) ? 1 : 0
    }
  }
  table.attribute_string = { attributes, name, value, error in
    readAttribute(attributes, name, value, error) { attributes, reader, name in
      attributes.keep(text: try reader.string(name))
    }
  }
  table.attribute_ints = { attributes, name, values, count, error in
    readAttributes(attributes, name, values, count, error) { reader, name in
      try reader.ints(name, in: Int.min...Int.max).map { Int64($0) }
    }
  }
  table.attribute_floats = { attributes, name, values, count, error in
    readAttributes(attributes, name, values, count, error) { reader, name in
      switch reader.value(name) {
      case .floats(let numbers): numbers
      default: try reader.floats(name).map(Double.init)
      }
    }
  }
  table.get_extension = { _, _ in nil }
  let place = UnsafeMutablePointer<HostTable>.allocate(capacity: 1)
  place.initialize(to: HostTable(table: table, log: Unmanaged.passRetained(log)))
  return UnsafeRawPointer(place).assumingMemoryBound(to: lamina_host.self)
}

/// A text of a plugin; nil when it is NULL, not UTF-8 or longer than 65,535 bytes.
func pluginText(_ pointer: UnsafePointer<CChar>?) -> String? {
  guard let pointer else { return nil }
  let length = strnlen(pointer, 65_536)
  guard length < 65_536 else { return nil }
  return String(validating: UnsafeRawBufferPointer(start: pointer, count: length), as: UTF8.self)
}

extension ThreadPool {
  /// The pool of a call, as a plugin names it.
  static func borrowed(_ threads: OpaquePointer?) -> ThreadPool? {
    threads.map { Unmanaged<ThreadPool>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() }
  }

  /// What a plugin is to name the pool by while it lives.
  var lent: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }
}

/// The attributes of a node in the form in which a plugin reads them, for one call of `create`.
final class PluginAttributes {
  let attributes: Attributes
  private(set) var names: [UnsafePointer<CChar>] = []
  private var memory: [UnsafeMutableRawPointer] = []

  init(_ attributes: Attributes) {
    self.attributes = attributes
    names = attributes.names.compactMap { keep(text: $0) }
  }

  deinit { for block in memory { free(block) } }

  static func borrowed(_ pointer: OpaquePointer?) -> PluginAttributes? {
    pointer.map {
      Unmanaged<PluginAttributes>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue()
    }
  }

  var lent: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

  func type(of name: String) -> Int32 {
    switch attributes[name] {
    case nil: Int32(LAMINA_ATTRIBUTE_NONE)
    case .int: Int32(LAMINA_ATTRIBUTE_INT)
    case .float: Int32(LAMINA_ATTRIBUTE_FLOAT)
    case .bool: Int32(LAMINA_ATTRIBUTE_BOOL)
    case .string: Int32(LAMINA_ATTRIBUTE_STRING)
    case .ints: Int32(LAMINA_ATTRIBUTE_INTS)
    case .floats: Int32(LAMINA_ATTRIBUTE_FLOATS)
    }
  }

  /// A copy of a text that lives as long as `self`.
  func keep(text: String) -> UnsafePointer<CChar>? {
    guard let copy = strdup(text) else { return nil }
    memory.append(UnsafeMutableRawPointer(copy))
    return UnsafePointer(copy)
  }

  /// A copy of numbers that lives as long as `self`.
  func keep<T: BitwiseCopyable>(_ values: [T]) -> UnsafePointer<T>? {
    guard let copy = malloc(max(values.count * MemoryLayout<T>.stride, 1)) else { return nil }
    memory.append(copy)
    values.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { copy.copyMemory(from: base, byteCount: bytes.count) }
    }
    return UnsafePointer(copy.assumingMemoryBound(to: T.self))
  }
}

/// Reads one attribute of a plugin's layer into the plugin's memory, which stays as it is when there is none.
private func readAttribute<T>(
  _ attributes: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: UnsafeMutablePointer<T>?,
  _ error: UnsafeMutablePointer<lamina_error>?,
  _ read: (PluginAttributes, inout AttributeReader, String) throws -> T
) -> lamina_status {
  perform(error) {
    guard let attributes = PluginAttributes.borrowed(attributes), let name = pluginText(name),
      let value
    else { throw LaminaError(.argument, "expected attributes, a name and a place, found NULL") }
    var reader = AttributeReader(attributes.attributes)
    guard reader.has(name) else { return }
    value.pointee = try read(attributes, &reader, name)
  }
}

private func readAttributes<T: BitwiseCopyable>(
  _ attributes: OpaquePointer?, _ name: UnsafePointer<CChar>?,
  _ values: UnsafeMutablePointer<UnsafePointer<T>?>?, _ count: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<lamina_error>?,
  _ read: (inout AttributeReader, String) throws -> [T]
) -> lamina_status {
  readAttribute(attributes, name, values, error) { attributes, reader, name in
    guard let count else { throw LaminaError(.argument, "expected a place, found NULL") }
    let list = try read(&reader, name)
    guard let copy = attributes.keep(list) else {
      throw LaminaError(.limit, "no memory for \(list.count) numbers")
    }
    count.pointee = list.count
    return copy
  }
}
