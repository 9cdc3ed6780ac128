import LaminaCore

/// The standard layers, sorted by kind.
public let standardLayers: [any Layer.Type] = []

/// The standard rewrites, in the order in which they run.
public let standardRewrites: [any GraphRewrite] = []

extension LayerRegistry {
  /// The standard layers and rewrites, supplied by `lamina`.
  public static let standard: LayerRegistry = {
    var registry = LayerRegistry()
    for layer in standardLayers { registry.replace(layer, provider: "lamina") }
    for rewrite in standardRewrites { registry.replace(rewrite: rewrite) }
    return registry
  }()
}
