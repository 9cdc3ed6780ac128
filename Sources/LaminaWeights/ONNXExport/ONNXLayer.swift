import LaminaCore

/// How the layers become ONNX nodes, by kind.
enum ONNXLayer {
  typealias Conversion = @Sendable (inout ONNXExport, ExportedNode) throws -> Void

  /// The layers, one line each.
  static let all: [LayerKind: Conversion] = [
    "lamina.adaptive_average_pool": exportAdaptiveAveragePool,
    "lamina.adaptive_max_pool": exportAdaptiveMaxPool,
    "lamina.add": variadic("Add", "Sum"),
    "lamina.average_pool": exportAveragePool,
    "lamina.batch_norm": exportBatchNorm,
    "lamina.cast": exportCast,
    "lamina.celu": activation("Celu", ["alpha": 1]),
    "lamina.channel_shuffle": exportChannelShuffle,
    "lamina.clip": exportClip,
    "lamina.compare": exportCompare,
    "lamina.concat": exportConcat,
    "lamina.constant": exportConstant,
    "lamina.conv": exportConvolution,
    "lamina.conv2d": exportConvolution,
    "lamina.dense": exportDense,
    "lamina.depth_to_space": exportDepthToSpace,
    "lamina.div": simple("Div"),
    "lamina.dropout": exportDropout,
    "lamina.elu": activation("Elu", ["alpha": 1]),
    "lamina.expand": exportExpand,
    "lamina.flatten": exportFlatten,
    "lamina.gather": exportGather,
    "lamina.gelu": exportGELU,
    "lamina.gemm": exportGemm,
    "lamina.global_average_pool": simple("GlobalAveragePool"),
    "lamina.global_max_pool": simple("GlobalMaxPool"),
    "lamina.group_norm": exportGroupNorm,
    "lamina.hard_sigmoid": activation("HardSigmoid", ["alpha": 0.2, "beta": 0.5]),
    "lamina.hard_swish": simple("HardSwish"),
    "lamina.identity": simple("Identity"),
    "lamina.instance_norm": exportInstanceNorm,
    "lamina.layer_norm": exportLayerNorm,
    "lamina.leaky_relu": activation("LeakyRelu", ["alpha": 0.01]),
    "lamina.log_softmax": softmax("LogSoftmax"),
    "lamina.logical": exportLogical,
    "lamina.lrn": exportLocalResponseNorm,
    "lamina.matmul": simple("MatMul"),
    "lamina.max": variadic("Max", "Max"),
    "lamina.max_pool": exportMaxPool,
    "lamina.mean": variadic("Mean", "Mean"),
    "lamina.min": variadic("Min", "Min"),
    "lamina.min_pool": exportMinPool,
    "lamina.mish": exportMish,
    "lamina.mod": exportModulo,
    "lamina.mul": simple("Mul"),
    "lamina.pad": exportPad,
    "lamina.pow": simple("Pow"),
    "lamina.prelu": exportPReLU,
    "lamina.range": simple("Range"),
    "lamina.reduce": exportReduce,
    "lamina.relu": simple("Relu"),
    "lamina.reshape": exportReshape,
    "lamina.scale": exportScale,
    "lamina.scale_add": exportScaleAdd,
    "lamina.scaled_tanh": exportScaledTanh,
    "lamina.selu": activation("Selu", ["alpha": 1.6732632, "gamma": 1.050701]),
    "lamina.shape": exportShape,
    "lamina.shrink": activation("Shrink", ["bias": 0, "lambd": 0.5]),
    "lamina.sigmoid": simple("Sigmoid"),
    "lamina.size": simple("Size"),
    "lamina.slice": exportSlice,
    "lamina.softmax": softmax("Softmax"),
    "lamina.softplus": simple("Softplus"),
    "lamina.softsign": simple("Softsign"),
    "lamina.space_to_depth": exportSpaceToDepth,
    "lamina.split": exportSplit,
    "lamina.squeeze": exportAxes("Squeeze"),
    "lamina.sub": simple("Sub"),
    "lamina.swish": exportSwish,
    "lamina.tanh": simple("Tanh"),
    "lamina.thresholded_relu": activation("ThresholdedRelu", ["alpha": 1]),
    "lamina.tile": exportTile,
    "lamina.transpose": exportTranspose,
    "lamina.unary": exportUnary,
    "lamina.unsqueeze": exportAxes("Unsqueeze"),
    "lamina.where": simple("Where"),
  ]
}

/// An operator without attributes.
func simple(_ type: String) -> ONNXLayer.Conversion {
  { export, node in export.finish(type, node.inputs, of: node) }
}

/// An operator of two inputs with another name for more.
func variadic(_ pair: String, _ many: String) -> ONNXLayer.Conversion {
  { export, node in
    let type = node.inputs.count == 1 ? "Identity" : node.inputs.count == 2 ? pair : many
    export.finish(type, node.inputs, of: node)
  }
}
