import Lamina
import LaminaTestSupport
import Testing

@Suite struct ONNXExportTests {
  /// A graph of one input `x` and the layers in a row.
  private func model(
    _ shape: [Dimension], _ layers: (kind: LayerKind, attributes: Attributes)...,
    metadata: ModelMetadata = ModelMetadata()
  ) throws -> Model {
    var builder = GraphBuilder(name: "net", registry: .standard)
    var value = try builder.input("x", shape)
    for (index, layer) in layers.enumerated() {
      value = try builder.add(layer.kind, "layer\(index)", value, attributes: layer.attributes)
    }
    try builder.output(value, name: "y")
    return try Model(
      initializing: builder.graph, seed: 3, metadata: metadata, registry: .standard)
  }

  /// What the model gives, and what its export gives when it is imported again.
  private func check(_ model: Model, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let spec = try model.graph.inputs[0].defaultSpec()
    let random = CounterRandom(seed: 1)
    let numbers = (0..<spec.shape.count).map { random.uniform(UInt64($0)) * 2 - 1 }
    let input = try Tensor(spec.shape, numbers)
    let again = try ONNXImporter.load(
      bytes: ONNXExporter.bytes(of: model), registry: .standard
    ).model
    let expected = try Session(model: model).run([input])[0]
    let found = try Session(model: again).run([input])[0]
    #expect(found.spec == expected.spec, sourceLocation: sourceLocation)
    let pairs = zip(found.elements(as: Float.self), expected.elements(as: Float.self))
    #expect(pairs.allSatisfy { abs($0 - $1) <= 1e-5 }, sourceLocation: sourceLocation)
  }

  static let layers: [(LayerKind, Attributes)] = [
    ("lamina.adaptive_average_pool", ["output_size": .ints([1, 1])]),
    ("lamina.adaptive_average_pool", ["output_size": .ints([2, 3])]),
    ("lamina.adaptive_average_pool", ["output_size": .ints([4, 5])]),
    ("lamina.adaptive_max_pool", ["output_size": .ints([3, 3])]),
    (
      "lamina.average_pool",
      [
        "kernel_size": .ints([3, 3]), "strides": .ints([2, 2]), "padding": .ints([1, 1, 1, 1]),
        "count_include_pad": true,
      ]
    ),
    (
      "lamina.average_pool",
      ["kernel_size": .ints([3, 3]), "strides": .ints([2, 2]), "ceil_mode": true]
    ),
    ("lamina.batch_norm", [:]),
    ("lamina.batch_norm", ["scale": false, "epsilon": 1e-3]),
    ("lamina.celu", [:]),
    ("lamina.channel_shuffle", ["groups": 2]),
    ("lamina.clip", ["min": 0, "max": 6]),
    ("lamina.clip", ["min": 0.25]),
    (
      "lamina.conv2d",
      ["out_channels": 6, "kernel_size": .ints([3, 3]), "padding": "same_upper", "groups": 2]
    ),
    (
      "lamina.conv2d",
      ["out_channels": 6, "kernel_size": .ints([3, 3]), "activation": "relu", "bias": false]
    ),
    (
      "lamina.conv2d",
      [
        "out_channels": 6, "kernel_size": .ints([1, 1]), "activation": "clip", "activation_min": 0,
        "activation_max": 0.5,
      ]
    ),
    ("lamina.dense", ["out_features": 5]),
    ("lamina.dropout", ["rate": 0.5]),
    ("lamina.elu", ["alpha": 0.5]),
    ("lamina.flatten", [:]),
    ("lamina.gelu", [:]),
    ("lamina.gelu", ["approximate": "tanh"]),
    ("lamina.global_average_pool", [:]),
    ("lamina.global_max_pool", [:]),
    ("lamina.group_norm", ["groups": 2]),
    ("lamina.hard_sigmoid", [:]),
    ("lamina.hard_swish", [:]),
    ("lamina.instance_norm", [:]),
    ("lamina.leaky_relu", ["alpha": 0.2]),
    ("lamina.lrn", ["size": 3, "alpha": 0.5]),
    ("lamina.lrn", ["size": 3, "alpha": 0.5, "alpha_divided_by_size": false]),
    ("lamina.lrn", ["size": 3, "alpha": 0.5, "region": "within_channel"]),
    (
      "lamina.max_pool",
      ["kernel_size": .ints([3, 3]), "strides": .ints([2, 2]), "ceil_mode": true]
    ),
    ("lamina.max_pool", ["kernel_size": .ints([2, 2]), "padding": "same_lower"]),
    ("lamina.min_pool", ["kernel_size": .ints([2, 2])]),
    ("lamina.mish", [:]),
    ("lamina.pad", ["pads": .ints([0, 0, 1, 2, 0, 0, 3, 4])]),
    ("lamina.pad", ["pads": .ints([1, 2]), "axes": .ints([2]), "value": 2.5]),
    ("lamina.pad", ["pads": .ints([1, 2]), "axes": .ints([-1]), "mode": "reflect"]),
    ("lamina.prelu", [:]),
    ("lamina.prelu", ["shared": true]),
    ("lamina.reduce", ["operation": "mean", "axes": .ints([1]), "keep_dims": false]),
    ("lamina.reduce", ["operation": "sum", "axes": .ints([2, 3])]),
    ("lamina.relu", [:]),
    ("lamina.reshape", ["shape": .ints([0, 2, -1])]),
    ("lamina.scaled_tanh", [:]),
    ("lamina.selu", [:]),
    ("lamina.shrink", ["lambd": 0.25]),
    ("lamina.sigmoid", [:]),
    ("lamina.slice", ["starts": .ints([1]), "ends": .ints([3]), "axes": .ints([1])]),
    ("lamina.softmax", ["axis": 1]),
    ("lamina.log_softmax", [:]),
    ("lamina.softplus", [:]),
    ("lamina.softsign", [:]),
    ("lamina.space_to_depth", ["block_size": 3]),
    ("lamina.squeeze", ["axes": .ints([0])]),
    ("lamina.swish", ["alpha": 1.5]),
    ("lamina.tanh", [:]),
    ("lamina.thresholded_relu", ["alpha": 0.1]),
    ("lamina.tile", ["repeats": .ints([1, 2, 1, 1])]),
    ("lamina.transpose", ["permutation": .ints([0, 2, 3, 1])]),
    ("lamina.unary", ["function": "abs"]),
    ("lamina.unsqueeze", ["axes": .ints([2])]),
  ]

  @Test(arguments: layers.indices) func everyLayerComesBack(index: Int) throws {
    let (kind, attributes) = Self.layers[index]
    try check(try model([.batch, 4, 6, 9], (kind, attributes)))
  }

  @Test func unsupportedLayersAreListedAtOnce() throws {
    let model = try model(
      [.batch, 4, 6, 6], ("lamina.lrn", ["size": 4]), ("lamina.relu", [:]),
      ("lamina.average_pool", ["kernel_size": .ints([2, 2]), "dilations": .ints([2, 2])]))
    #expect(
      outcome { _ = try ONNXExporter.bytes(of: model) }
        == "unsupported: 2 problems: layer0 (lamina.lrn): ONNX runtimes have no LRN over 4 channels: an even number; layer2 (lamina.average_pool): ONNX opset 17 has no dilated AveragePool"
    )
  }

  @Test func namesExtentsAndMetadataAreKept() throws {
    var metadata = ModelMetadata()
    metadata.labels = ["cat", "dog"]
    metadata.preprocessing = .torch()
    metadata.outputKind = .logits
    let model = try model(
      [.batch, 3, .symbol("height", default: 8), .symbol("width", default: 8)],
      ("lamina.conv2d", ["out_channels": 2, "kernel_size": .ints([3, 3])]),
      ("lamina.global_average_pool", [:]), ("lamina.flatten", [:]), metadata: metadata)
    let bytes = try ONNXExporter.bytes(of: model)
    #expect(try ONNXExporter.bytes(of: model) == bytes)
    let again = try ONNXImporter.load(bytes: bytes, registry: .standard).model
    #expect(again.graph.inputs.map(\.name) == ["x"])
    #expect(
      again.graph.inputs[0].dimensions.map(\.description) == ["batch", "3", "height", "width"])
    #expect(again.graph.outputs.map(\.name) == ["y"])
    for name in ["layer0", "layer1", "layer2"] { #expect(again.graph.value(named: name) != nil) }
    #expect(again.metadata.provenance["onnx.metadata.lamina.labels"] == #"["cat","dog"]"#)
    #expect(again.metadata.provenance["onnx.metadata.lamina.output"] == "logits")
  }

  @Test func adaptivePoolsFixHeightAndWidth() throws {
    let model = try model(
      [.batch, 3, .symbol("height", default: 8), .symbol("width", default: 8)],
      ("lamina.adaptive_average_pool", ["output_size": .ints([3, 3])]))
    let again = try ONNXImporter.load(
      bytes: ONNXExporter.bytes(of: model), registry: .standard
    ).model
    #expect(again.graph.inputs[0].dimensions.map(\.description) == ["batch", "3", "8", "8"])
    try check(model)
  }

  @Test func otherNamesAreRefused() {
    #expect(
      outcome { _ = try ExportFormat(path: "a.h5") }
        == "argument: expected a file named *.onnx, *.safetensors or *.npz, found 'a.h5'")
  }
}
