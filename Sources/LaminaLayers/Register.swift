import LaminaCore

/// The standard layers, sorted by kind.
public let standardLayers: [any Layer.Type] = [
  Conv.self,
  Conv2D.self,
  ConvTranspose.self,
  Dense.self,
  Gemm.self,
  MatMul.self,
]

/// The standard rewrites, in the order in which they run.
public let standardRewrites: [any GraphRewrite] = [
  RemoveIdentities(),
  FoldBatchNorm(),
  FuseResidual(),
  FuseActivation(),
]

extension LayerRegistry {
  /// The standard layers and rewrites, supplied by `lamina`.
  public static let standard: LayerRegistry = {
    var registry = LayerRegistry()
    for layer in standardLayers { registry.replace(layer, provider: "lamina") }
    for rewrite in standardRewrites { registry.replace(rewrite: rewrite) }
    return registry
  }()
}
