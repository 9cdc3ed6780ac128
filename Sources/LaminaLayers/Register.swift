import LaminaCore

/// The standard layers, sorted by kind.
public let standardLayers: [any Layer.Type] = [
  Cast.self,
  ChannelShuffle.self,
  Concat.self,
  Constant.self,
  ConstantOfShape.self,
  Conv.self,
  Conv2D.self,
  ConvTranspose.self,
  Dense.self,
  DepthToSpace.self,
  Dropout.self,
  Expand.self,
  Flatten.self,
  Gather.self,
  Gemm.self,
  Identity.self,
  MatMul.self,
  Pad.self,
  NumberRange.self,
  Reshape.self,
  ShapeOf.self,
  SizeOf.self,
  Slice.self,
  SpaceToDepth.self,
  Split.self,
  Squeeze.self,
  Tile.self,
  Transpose.self,
  Unsqueeze.self,
  Where.self,
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
