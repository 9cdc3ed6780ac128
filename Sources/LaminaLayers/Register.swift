import LaminaCore

/// The standard layers, sorted by kind.
public let standardLayers: [any Layer.Type] = [
  AdaptiveAveragePool.self,
  AdaptiveMaxPool.self,
  Add.self,
  AveragePool.self,
  BatchNorm.self,
  CELU.self,
  Clip.self,
  Compare.self,
  Conv.self,
  Conv2D.self,
  ConvTranspose.self,
  Dense.self,
  Divide.self,
  ELU.self,
  GELU.self,
  Gemm.self,
  GlobalAveragePool.self,
  GlobalLpPool.self,
  GlobalMaxPool.self,
  GroupNorm.self,
  HardSigmoid.self,
  HardSwish.self,
  InstanceNorm.self,
  LayerNorm.self,
  LeakyReLU.self,
  LogSoftmax.self,
  Logical.self,
  LpPool.self,
  LocalResponseNorm.self,
  MatMul.self,
  Maximum.self,
  MaxPool.self,
  Mean.self,
  Minimum.self,
  MinPool.self,
  Mish.self,
  Modulo.self,
  Multiply.self,
  Power.self,
  PReLU.self,
  Reduce.self,
  ReLU.self,
  ScaledTanh.self,
  SELU.self,
  Shrink.self,
  Sigmoid.self,
  Softmax.self,
  Softplus.self,
  Softsign.self,
  Subtract.self,
  Swish.self,
  Tanh.self,
  ThresholdedReLU.self,
  Unary.self,
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
