import Lamina
import LaminaTestSupport
import Testing

/// How nodes and exporters' patterns become layers.
@Suite struct ONNXOperatorTests {
  /// Kinds of the graph's nodes in order.
  static func kinds(
    _ nodes: [[UInt8]], input: [Any] = [1, 2], initializers: [[UInt8]] = [], opset: Int = 17
  )
    throws -> [String]
  {
    try load(nodes, input: input, initializers: initializers, opset: opset).graph.nodes
      .map(\.definition.kind.name)
  }

  static func load(
    _ nodes: [[UInt8]], input: [Any] = [1, 2], initializers: [[UInt8]] = [], opset: Int = 17
  ) throws -> Model {
    try ONNX.load(
      ONNX.model(nodes, input: input, initializers: initializers, opset: opset)
    ).model
  }

  static func zeros(_ name: String, _ dimensions: Int...) -> [UInt8] {
    ONNX.floats(name, dimensions, [Float](repeating: 0, count: dimensions.reduce(1, *)))
  }

  // MARK: - Weights

  @Test func weightsBecomeParameters() throws {
    let model = try Self.load(
      [ONNX.node("Conv", ["x", "w", "b"], ["y"], name: "features.0")], input: [1, 3, 5, 5],
      initializers: [Self.zeros("w", 4, 3, 3, 3), Self.zeros("b", 4)])
    #expect(model.parameters.keys.sorted() == ["features.0.bias", "features.0.weight"])
    #expect(model.graph.nodes[0].definition.kind == "lamina.conv2d")
    #expect(model.graph.nodes[0].bindings.isEmpty)
    #expect(model.graph.name(of: model.graph.nodes[0].outputs[0]) == "y")
  }

  @Test func weightsThatAreAlsoInputsStayWeights() throws {
    let bytes = ONNX.model(
      ONNX.graph(
        [ONNX.node("Conv", ["x", "w"], ["y"], name: "c")],
        inputs: [ONNX.value("w", [4, 3, 1, 1]), ONNX.value("x", [1, 3, 5, 5])],
        outputs: [ONNX.value("y", [])], initializers: [Self.zeros("w", 4, 3, 1, 1)]), ir: 3)
    let model = try ONNX.load(bytes).model
    #expect(model.graph.inputs.map(\.name) == ["x"])
    #expect(model.parameters.keys.sorted() == ["c.weight"])
  }

  @Test func sharedWeightsAreStoredOnce() throws {
    let model = try Self.load(
      [
        ONNX.node("Conv", ["x", "w"], ["t"], name: "a"),
        ONNX.node("Conv", ["t", "w"], ["y"], name: "b"),
      ], input: [1, 3, 5, 5], initializers: [Self.zeros("w", 3, 3, 1, 1)])
    #expect(model.parameters.keys.sorted() == ["a.weight"])
    #expect(model.graph.nodes[1].bindings == ["weight": .tensor("a.weight")])
  }

  @Test func fedWeightsAreBound() throws {
    let bytes = ONNX.model(
      ONNX.graph(
        [ONNX.node("Conv", ["x", "w"], ["y"])],
        inputs: [ONNX.value("x", [1, 3, 5, 5]), ONNX.value("w", [4, 3, 1, 1])],
        outputs: [ONNX.value("y", [])]))
    let graph = try ONNX.load(bytes).model.graph
    let value = try graph.requireValue(named: "w")
    #expect(graph.nodes[0].bindings == ["weight": .value(value)])
  }

  @Test func weightsOfConstantOfShape() throws {
    let model = try Self.load(
      [
        ONNX.node("ConstantOfShape", ["s"], ["w"]),
        ONNX.node("Conv", ["x", "w"], ["y"], name: "c"),
      ],
      input: [1, 3, 5, 5], initializers: [ONNX.ints("s", [4, 3, 1, 1])])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.conv2d"])
    #expect(model.parameters["c.weight"]?.shape == [4, 3, 1, 1])
  }

  @Test func otherConstantsBecomeNodes() throws {
    let model = try Self.load(
      [ONNX.node("Add", ["x", "k"], ["y"])], initializers: [ONNX.floats("k", [2], [1, 2])])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.constant", "lamina.add"])
    #expect(model.parameters["k.value"]?.elements(as: Float.self) == [1, 2])
  }

  @Test func constantsAreComputedAtImport() throws {
    let model = try Self.load(
      [
        ONNX.node("Add", ["k", "k"], ["t"]), ONNX.node("Unsqueeze", ["t", "zero"], ["u"]),
        ONNX.node("Mul", ["x", "u"], ["y"]),
      ], initializers: [ONNX.floats("k", [2], [1, 2]), ONNX.ints("zero", [0])])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.constant", "lamina.mul"])
    #expect(model.parameters["u.value"]?.elements(as: Float.self) == [2, 4])
    #expect(model.parameters["u.value"]?.shape == [1, 2])
  }

  @Test func weightsOfAnotherShape() {
    expectError(
      .weights, "expected weight to be float32 [4, 3, 1, 1], found float32 [4, 2, 1, 1]",
      path: "node 'y' (Conv)"
    ) {
      try Self.load(
        [ONNX.node("Conv", ["x", "w"], ["y"])], input: [1, 3, 5, 5],
        initializers: [Self.zeros("w", 4, 2, 1, 1)])
    }
  }

  // MARK: - Names and extents

  @Test func namesOfNodes() throws {
    let graph = try Self.load([
      ONNX.node("Relu", ["x"], ["a"], name: "twin"), ONNX.node("Relu", ["a"], ["b"], name: "twin"),
      ONNX.node("Relu", ["b"], ["c"]), ONNX.node("Relu", ["c"], ["y"], name: "/last/Relu"),
    ]).graph
    #expect(graph.nodes.map(\.name) == ["Relu_a", "Relu_b", "Relu_c", "/last/Relu"])
    #expect(graph.value(named: "b") == graph.nodes[1].outputs[0])
  }

  @Test func symbolicExtents() throws {
    let graph = try Self.load(
      [ONNX.node("Conv", ["x", "w"], ["y"])], input: ["N", "", "height=H", ""],
      initializers: [Self.zeros("w", 4, 5, 1, 1)]
    ).graph
    #expect(
      graph.inputs[0].dimensions == [
        .symbol("N", default: 1), .symbol("x.1", default: 5), .symbol("height_H", default: 224),
        .symbol("x.3", default: 224),
      ])
  }

  @Test func halfInputsAndOutputs() throws {
    let bytes = ONNX.model(
      ONNX.graph(
        [ONNX.node("Add", ["x", "k"], ["y"])], inputs: [ONNX.value("x", [1], type: 10)],
        outputs: [ONNX.value("y", [1], type: 10)],
        initializers: [ONNX.tensor("k", [1], type: 10, raw: [0, 0x3C])]))
    let (model, report) = try ONNX.load(bytes)
    #expect(model.graph.inputs[0].type == .float32)
    #expect(report.convertedTypes.map(\.type) == [.float16])
    #expect(report.convertedTypes.map(\.count) == [2])
    #expect(report.text.contains("2 values and tensors of float16 became float32"))
  }

  // MARK: - Versions

  @Test func clipByVersion() throws {
    let old = try Self.load(
      [ONNX.node("Clip", ["x"], ["y"], ["min": .float(0), "max": .float(6)])], opset: 7)
    let new = try Self.load(
      [ONNX.node("Clip", ["x", "low", "high"], ["y"])],
      initializers: [ONNX.floats("low", [], [0]), ONNX.floats("high", [], [6])])
    for model in [old, new] {
      #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.clip"])
      #expect(model.graph.nodes[0].attributes["min"] == .float(0))
      #expect(model.graph.nodes[0].attributes["max"] == .float(6))
    }
  }

  @Test func softmaxByVersion() throws {
    func attributes(_ opset: Int) throws -> Attributes {
      try Self.load([ONNX.node("Softmax", ["x"], ["y"])], input: [1, 2, 1, 1], opset: opset)
        .graph.nodes[0].attributes
    }
    #expect(try attributes(12)["flatten"] == true)
    #expect(try attributes(12)["axis"] == 1)
    #expect(try attributes(13)["axis"] == -1)
    #expect(try attributes(13)["flatten"] != true)
  }

  @Test func axesByVersion() throws {
    let old = try Self.load([ONNX.node("Unsqueeze", ["x"], ["y"], ["axes": .ints([0])])], opset: 11)
    let new = try Self.load(
      [ONNX.node("Unsqueeze", ["x", "a"], ["y"])], initializers: [ONNX.ints("a", [0])])
    for model in [old, new] { #expect(model.graph.nodes[0].attributes["axes"] == .ints([0])) }
  }

  @Test func broadcastBeforeOpset7() throws {
    let model = try Self.load(
      [ONNX.node("Add", ["x", "k"], ["y"], ["broadcast": .int(1), "axis": .int(1)])],
      input: [1, 3, 2, 2], initializers: [Self.zeros("k", 3)], opset: 6)
    #expect(model.parameters.values.first?.shape == [3, 1, 1])
  }

  @Test func newerOpsetWarns() throws {
    let report = try ONNX.load(ONNX.model([ONNXModelTests.relu], opset: 27)).report
    #expect(
      report.warnings == ["opset 27 is newer than 25: its operators are read as those of 25"])
  }

  @Test func olderOpsetWarns() throws {
    let report = try ONNX.load(ONNX.model([ONNXModelTests.relu], opset: 6)).report
    #expect(report.warnings == ["opset 6 is older than 7: operators follow the rules of its time"])
  }

  // MARK: - Patterns

  @Test func viewBecomesFlatten() throws {
    let model = try Self.load(
      [
        ONNX.node("Shape", ["x"], ["s"]),
        ONNX.node("Gather", ["s", "zero"], ["n"], ["axis": .int(0)]),
        ONNX.node("Unsqueeze", ["n", "axes"], ["u"]),
        ONNX.node("Concat", ["u", "minus"], ["c"], ["axis": .int(0)]),
        ONNX.node("Reshape", ["x", "c"], ["y"]),
      ], input: ["N", 3, 2, 2],
      initializers: [
        ONNX.tensor("zero", [], type: 7, raw: [UInt8](repeating: 0, count: 8)),
        ONNX.ints("axes", [0]),
        ONNX.ints("minus", [-1]),
      ])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.flatten"])
    #expect(model.graph.nodes[0].attributes.isEmpty)
  }

  @Test func channelShuffleKeepsItsBatch() throws {
    let model = try Self.load(
      [
        ONNX.node("Shape", ["x"], ["s"]), ONNX.node("Slice", ["s", "zero", "one"], ["n"]),
        ONNX.node("Concat", ["n", "rest"], ["c"], ["axis": .int(0)]),
        ONNX.node("Reshape", ["x", "c"], ["y"]),
      ], input: ["N", 4, 2, 2],
      initializers: [
        ONNX.ints("zero", [0]), ONNX.ints("one", [1]), ONNX.ints("rest", [2, 2, 2, 2]),
      ])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.reshape"])
    #expect(model.graph.nodes[0].attributes["shape"] == .ints([0, 2, 2, 2, 2]))
  }

  @Test(arguments: [[2, 3], [-1, -2], [3, -2]])
  func meanOverThePicture(_ axes: [Int]) throws {
    #expect(
      try Self.kinds(
        [ONNX.node("ReduceMean", ["x", "a"], ["y"])], input: [1, 3, 4, 4],
        initializers: [ONNX.ints("a", axes)], opset: 18) == ["lamina.global_average_pool"])
  }

  @Test func meanOverOtherAxes() throws {
    #expect(
      try Self.kinds(
        [ONNX.node("ReduceMean", ["x"], ["y"], ["axes": .ints([1, 3])])], input: [1, 3, 4, 4])
        == ["lamina.reduce"])
  }

  @Test func linearBecomesDense() throws {
    let model = try Self.load(
      [ONNX.node("Gemm", ["x", "w", "b"], ["y"], name: "fc", ["transB": .int(1)])],
      input: ["N", 3],
      initializers: [ONNX.floats("w", [2, 3], [1, 2, 3, 4, 5, 6]), Self.zeros("b", 2)])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.dense"])
    #expect(model.parameters["fc.weight"]?.elements(as: Float.self) == [1, 2, 3, 4, 5, 6])
  }

  @Test func untransposedWeightsAreTransposed() throws {
    for type in ["Gemm", "MatMul"] {
      let model = try Self.load(
        [ONNX.node(type, ["x", "w"], ["y"], name: "fc")], input: [1, 3],
        initializers: [ONNX.floats("w", [3, 2], [1, 2, 3, 4, 5, 6])])
      #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.dense"])
      #expect(model.parameters["fc.weight"]?.elements(as: Float.self) == [1, 3, 5, 2, 4, 6])
    }
  }

  @Test func scaledGemmStays() throws {
    #expect(
      try Self.kinds(
        [ONNX.node("Gemm", ["x", "w"], ["y"], ["alpha": .float(0.5)])], input: [1, 3],
        initializers: [Self.zeros("w", 3, 2)]) == ["lamina.constant", "lamina.gemm"])
  }

  @Test func mapIntoGemmIsFlattened() throws {
    let (model, report) = try ONNX.load(
      ONNX.model(
        [ONNX.node("Gemm", ["x", "w"], ["y"], name: "fc", ["transB": .int(1)])],
        input: [1, 3, 2, 2],
        initializers: [Self.zeros("w", 5, 12)]))
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.flatten", "lamina.dense"])
    #expect(
      report.warnings == [
        "node 'fc' (Gemm) multiplies a tensor of shape [1, 3, 2, 2]: it is flattened to two axes"
      ])
  }

  static let swishConstants = [
    ONNX.floats("three", [], [3]), ONNX.floats("six", [], [6]), ONNX.floats("zero", [], [0]),
  ]

  @Test func hardSwish() throws {
    let clip = [
      ONNX.node("Add", ["x", "three"], ["a"]), ONNX.node("Clip", ["a", "zero", "six"], ["c"]),
    ]
    let inner =
      clip + [ONNX.node("Div", ["c", "six"], ["d"]), ONNX.node("Mul", ["x", "d"], ["y"])]
    let outer =
      clip + [ONNX.node("Mul", ["x", "c"], ["m"]), ONNX.node("Div", ["m", "six"], ["y"])]
    for nodes in [inner, outer] {
      #expect(try Self.kinds(nodes, initializers: Self.swishConstants) == ["lamina.hard_swish"])
    }
  }

  @Test func almostHardSwish() throws {
    let nodes = [
      ONNX.node("Add", ["x", "six"], ["a"]), ONNX.node("Clip", ["a", "zero", "six"], ["c"]),
      ONNX.node("Mul", ["x", "c"], ["m"]), ONNX.node("Div", ["m", "six"], ["y"]),
    ]
    let kinds = try Self.kinds(nodes, initializers: Self.swishConstants)
    #expect(kinds.suffix(4) == ["lamina.add", "lamina.clip", "lamina.mul", "lamina.div"])
  }

  @Test func decomposedResponseNormalization() throws {
    let model = try Self.load(
      [
        ONNX.node("Mul", ["x", "x"], ["sq"]), ONNX.node("Unsqueeze", ["sq", "one"], ["u"]),
        ONNX.node("Pad", ["u", "pads"], ["p"]),
        ONNX.node(
          "AveragePool", ["p"], ["a"],
          ["kernel_shape": .ints([5, 1, 1]), "strides": .ints([1, 1, 1])]),
        ONNX.node("Squeeze", ["a", "one"], ["s"]), ONNX.node("Mul", ["s", "alpha"], ["m"]),
        ONNX.node("Add", ["m", "k"], ["b"]), ONNX.node("Pow", ["b", "beta"], ["w"]),
        ONNX.node("Div", ["x", "w"], ["y"], name: "norm"),
      ], input: [1, 8, 3, 3],
      initializers: [
        ONNX.ints("one", [1]), ONNX.ints("pads", [0, 0, 2, 0, 0, 0, 0, 2, 0, 0]),
        ONNX.floats("alpha", [], [0.0001]), ONNX.floats("k", [], [2]),
        ONNX.floats("beta", [], [0.75]),
      ])
    #expect(model.graph.nodes.map(\.definition.kind) == ["lamina.lrn"])
    let attributes = model.graph.nodes[0].attributes
    #expect(attributes["size"] == 5)
    #expect(attributes["even_window"] == "torch")
  }

  @Test func sumIsAddition() throws {
    #expect(try Self.kinds([ONNX.node("Sum", ["x", "x", "x"], ["y"])]) == ["lamina.add"])
  }

  @Test func upsampleIsAsymmetric() throws {
    let model = try Self.load(
      [ONNX.node("Upsample", ["x", "s"], ["y"])], input: [1, 1, 2, 2],
      initializers: [ONNX.floats("s", [4], [1, 1, 2, 2])], opset: 9)
    #expect(model.graph.nodes[0].attributes["coordinates"] == "asymmetric")
  }

  @Test func oldBatchNormalization() throws {
    let constants = ["a", "b", "c", "d"].map { Self.zeros($0, 3) }
    let model = try Self.load(
      [
        ONNX.node(
          "BatchNormalization", ["x", "a", "b", "c", "d"], ["y"], name: "bn",
          [
            "is_test": .int(1), "consumed_inputs": .ints([0, 0, 0, 1, 1]), "momentum": .float(0.9),
          ])
      ], input: [1, 3, 2, 2], initializers: constants, opset: 6)
    #expect(
      model.parameters.keys.sorted() == [
        "bn.bias", "bn.running_mean", "bn.running_var", "bn.weight",
      ])
    expectError(
      .unsupported, "attribute training_mode=1: the training mode",
      path: "node 'y' (BatchNormalization)"
    ) {
      try Self.load(
        [
          ONNX.node(
            "BatchNormalization", ["x", "a", "b", "c", "d"], ["y"], ["training_mode": .int(1)])
        ], input: [1, 3, 2, 2], initializers: constants)
    }
  }

  // MARK: - What is said of the model

  @Test func outputKinds() throws {
    let softmax = ONNX.node("Softmax", ["x"], ["p"], ["axis": .int(1)])
    let flatten = ONNX.node("Flatten", ["p"], ["y"])
    #expect(
      try Self.load([softmax, flatten], input: [1, 4, 1, 1]).metadata.outputKind == .probabilities)
    #expect(try Self.load([ONNXModelTests.relu], input: [1, 4]).metadata.outputKind == .logits)
    #expect(try Self.load([ONNXModelTests.relu], input: [1, 4, 7, 7]).metadata.outputKind == nil)
  }

  @Test func report() throws {
    let (model, report) = try ONNX.load(
      ONNX.model(
        ONNX.graph(
          [
            ONNX.node("Conv", ["x", "w", "b"], ["t"], name: "conv"),
            ONNX.node("Relu", ["t"], ["y"]),
            ONNX.node("Relu", ["t"], ["z"]),
          ], inputs: [ONNX.value("x", ["N", 1, 3, 3])], outputs: [ONNX.value("y", [])],
          initializers: [Self.zeros("w", 2, 1, 3, 3), Self.zeros("b", 2)]),
        extra: {
          $0.string(2, "test")
          $0.string(3, "1.0")
        }))
    #expect(report.isBatchNormalizationFolded)
    #expect(model.metadata.provenance["onnx.producer"] == "test 1.0")
    #expect(model.metadata.provenance["onnx.opset"] == "17")
    #expect(
      report.text == """
        graph test, IR version 8, opset 17, written by test 1.0
        3 nodes became 2, 1 were dropped
        20 parameters in 2 tensors
        operators: Conv 1, Relu 1
        batch normalisation was folded into the convolutions by the exporter
        """)
    #expect(
      report.json.text()
        == #"{"ir_version":8,"opset":17,"producer":"test 1.0","graph":"test","file_nodes":3,"dropped_nodes":1,"nodes":2,"operators":{"Conv":1,"Relu":1},"parameter_tensors":2,"parameters":20,"converted_to_float32":{},"batch_norm_folded":true,"warnings":[]}"#
    )
  }

  // MARK: - Attributes out of range

  @Test(arguments: [
    ("strides", [0, 1]), ("strides", [-1, 1]), ("dilations", [0, 1]), ("dilations", [1 << 31, 1]),
    ("pads", [-1, 0, 0, 0]), ("kernel_shape", [3]), ("kernel_shape", [2, 2]), ("strides", [1]),
    ("dilations", [1, 1, 1]), ("pads", [1, 1]),
  ])
  func convolutionAttributes(_ name: String, _ values: [Int]) {
    #expect(throws: LaminaError.self) {
      try Self.load(
        [ONNX.node("Conv", ["x", "w"], ["y"], [name: .ints(values)])], input: [1, 3, 5, 5],
        initializers: [Self.zeros("w", 4, 3, 3, 3)])
    }
  }

  @Test(arguments: [0, -1, 2, Int.max])
  func convolutionGroups(_ group: Int) {
    #expect(throws: LaminaError.self) {
      try Self.load(
        [ONNX.node("Conv", ["x", "w"], ["y"], ["group": .int(group)])], input: [1, 3, 5, 5],
        initializers: [Self.zeros("w", 4, 3, 3, 3)])
    }
  }

  @Test func convolutionRanks() {
    expectError(
      .shape, "expected an input of 3 axes as the weights [4, 3, 3] have, found [1, 3, 5, 5]",
      path: "node 'y' (Conv)"
    ) {
      try Self.load(
        [ONNX.node("Conv", ["x", "w"], ["y"])], input: [1, 3, 5, 5],
        initializers: [Self.zeros("w", 4, 3, 3)])
    }
    expectError(
      .graph, "expected kernel_shape [3, 3] as the weights have, found [5, 5]",
      path: "node 'y' (Conv)"
    ) {
      try Self.load(
        [ONNX.node("Conv", ["x", "w"], ["y"], ["kernel_shape": .ints([5, 5])])],
        input: [1, 3, 5, 5],
        initializers: [Self.zeros("w", 4, 3, 3, 3)])
    }
  }

  @Test(arguments: [
    ("kernel_shape", [0, 2]), ("kernel_shape", [9, 9]), ("kernel_shape", []), ("kernel_shape", [2]),
    ("strides", [0, 1]),
  ])
  func poolAttributes(_ name: String, _ values: [Int]) {
    for type in ["MaxPool", "AveragePool"] {
      let attributes: KeyValuePairs<String, ONNX.Value> =
        name == "kernel_shape"
        ? [name: .ints(values)] : ["kernel_shape": .ints([2, 2]), name: .ints(values)]
      #expect(throws: LaminaError.self) {
        try Self.load([ONNX.node(type, ["x"], ["y"], attributes)], input: [1, 3, 5, 5])
      }
    }
  }

  @Test(arguments: [[-1, -1], [3, 3], [0, 0, 0], [Int.min], [-2, 4]])
  func reshapes(_ shape: [Int]) {
    #expect(throws: LaminaError.self) {
      try Self.load(
        [ONNX.node("Reshape", ["x", "s"], ["y"])], input: [1, 4],
        initializers: [ONNX.ints("s", shape)])
    }
  }

  @Test(arguments: [-3, 3, Int.max, Int.min])
  func axesOutOfRange(_ axis: Int) {
    for type in ["Flatten", "Softmax", "Concat"] {
      #expect(throws: LaminaError.self) {
        try Self.load([ONNX.node(type, ["x"], ["y"], ["axis": .int(axis)])], input: [1, 4])
      }
    }
    #expect(throws: LaminaError.self) {
      try Self.load(
        [ONNX.node("Squeeze", ["x", "a"], ["y"])], input: [1, 4],
        initializers: [ONNX.ints("a", [axis])])
    }
  }

  @Test func otherOperatorsOutOfRange() {
    func refuse(_ node: [UInt8], _ constants: [[UInt8]] = []) {
      #expect(throws: LaminaError.self) {
        try Self.load([node], input: [1, 4], initializers: constants)
      }
    }
    refuse(ONNX.node("Transpose", ["x"], ["y"], ["perm": .ints([0, 0])]))
    refuse(ONNX.node("Transpose", ["x"], ["y"], ["perm": .ints([0, 2])]))
    refuse(ONNX.node("Pad", ["x", "p"], ["y"]), [ONNX.ints("p", [0, -3, 0, -3])])
    refuse(ONNX.node("Pad", ["x", "p"], ["y"]), [ONNX.ints("p", [0, Int.max, 0, Int.max])])
    refuse(ONNX.node("Gather", ["x", "i"], ["y"], ["axis": .int(2)]), [ONNX.ints("i", [0])])
    refuse(
      ONNX.node("Slice", ["x", "s", "e", "a", "t"], ["y"]),
      [ONNX.ints("s", [0]), ONNX.ints("e", [1]), ONNX.ints("a", [1]), ONNX.ints("t", [0])])
    refuse(ONNX.node("Split", ["x", "s"], ["y"], ["axis": .int(1)]), [ONNX.ints("s", [3])])
    refuse(ONNX.node("Tile", ["x", "r"], ["y"]), [ONNX.ints("r", [1 << 31, 1 << 31])])
    refuse(ONNX.node("Expand", ["x", "s"], ["y"]), [ONNX.ints("s", [3, 5])])
    for scale in [0, Float.nan, 1e30, -1] {
      refuse(ONNX.node("Resize", ["x", "", "s"], ["y"]), [ONNX.floats("s", [2], [1, scale])])
    }
    refuse(ONNX.node("Gemm", ["x", "w"], ["y"]), [Self.zeros("w", 5, 2)])
    refuse(ONNX.node("MatMul", ["x", "w"], ["y"]), [Self.zeros("w", 5, 2)])
  }
}
