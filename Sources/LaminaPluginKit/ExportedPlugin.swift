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

/// Swift layers as a plugin of `lamina_plugin.h`. A shared library becomes one by its layers and these lines:
///
/// ```swift
/// private let plugin = ExportedPlugin(
///   id: "com.example.swish", version: "1.0.0", vendor: "Example", layers: [Swish.self])
///
/// @_cdecl("lamina_plugin_entry")
/// public func entry(host: UnsafeRawPointer?, error: UnsafeMutableRawPointer?) -> UnsafeRawPointer? {
///   plugin.enter(host, error)
/// }
/// ```
///
/// The host runs a layer's `forward` and `backward` on plain NCHW; `prepare` does not cross the boundary.
public final class ExportedPlugin: Sendable {
  nonisolated(unsafe) private let table: UnsafePointer<lamina_plugin>
  private let host = GuestHost()

  /// A plugin with these layers, sorted or not.
  ///
  /// - Parameters:
  ///   - id: name under the vendor's domain, `com.example.swish`.
  ///   - version: of the plugin, `1.0.0`.
  ///   - vendor: who made it.
  public init(id: String, version: String, vendor: String, layers: [any Layer.Type]) {
    let classes = UnsafeMutablePointer<UnsafePointer<lamina_layer_class>?>.allocate(
      capacity: layers.count)
    for (index, layer) in layers.enumerated() {
      (classes + index).initialize(to: makeLayerClass(layer, host))
    }
    let table = UnsafeMutablePointer<lamina_plugin>.allocate(capacity: 1)
    table.initialize(
      to: lamina_plugin(
        struct_size: UInt32(MemoryLayout<lamina_plugin>.size),
        abi_major: UInt32(LAMINA_PLUGIN_ABI_MAJOR), abi_minor_required: 0, reserved: 0,
        id: immortal(id), version: immortal(version), vendor: immortal(vendor),
        class_count: layers.count, classes: UnsafePointer(classes), get_extension: nil))
    self.table = UnsafePointer(table)
  }

  /// What `lamina_plugin_entry` returns to `host`: the plugin's table, or NULL with a reason in `error`.
  public func enter(
    _ host: UnsafeRawPointer?, _ error: UnsafeMutableRawPointer?
  ) -> UnsafeRawPointer? {
    guard let host else {
      LaminaError(.argument, "expected a host, found NULL").write(to: error)
      return nil
    }
    self.host.set(host.assumingMemoryBound(to: lamina_host.self))
    return UnsafeRawPointer(table)
  }
}

/// A C text that is never freed.
private func immortal(_ text: String) -> UnsafePointer<CChar>? {
  strdup(text).map { UnsafePointer($0) }
}

/// The host that loaded the plugin. Hosts are immortal and alike, so that the first one serves for all.
final class GuestHost: Sendable {
  private let address = Atomic<UInt>(0)

  func set(_ host: UnsafePointer<lamina_host>) {
    _ = address.compareExchange(
      expected: 0, desired: UInt(bitPattern: host), ordering: .acquiringAndReleasing)
  }

  /// - Throws: `state` before `lamina_plugin_entry` was called.
  func table() throws -> UnsafePointer<lamina_host> {
    guard
      let host = UnsafePointer<lamina_host>(bitPattern: address.load(ordering: .acquiring))
    else { throw LaminaError(.state, "expected a call of lamina_plugin_entry before") }
    return host
  }
}
