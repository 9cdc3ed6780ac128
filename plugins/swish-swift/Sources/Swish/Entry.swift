import LaminaPluginKit

private let plugin = ExportedPlugin(
  id: "com.example.swish", version: "1.0.0", vendor: "Example", layers: [Swish.self])

/// What the host calls first.
@_cdecl("lamina_plugin_entry")
public func entry(host: UnsafeRawPointer?, error: UnsafeMutableRawPointer?) -> UnsafeRawPointer? {
  plugin.enter(host, error)
}
