import Lamina
import LaminaTestSupport
import Testing

/// What a well-formed protobuf may still do wrong as a model.
@Suite struct ONNXModelTests {
  static let relu = ONNX.node("Relu", ["x"], ["y"], name: "relu")
  static let input = ONNX.value("x", [1, 2])
  static let output = ONNX.value("y", [])

  // MARK: - Header

  @Test func noGraph() {
    expectError(.format, "expected a graph, found none", path: "model") {
      try ONNX.load(ONNX.model(nil))
    }
  }

  @Test func twoGraphs() {
    let graph = ONNX.graph([Self.relu], inputs: [Self.input], outputs: [Self.output])
    expectError(.format, "expected one graph, found a second") {
      try ONNX.load(ONNX.model(graph, extra: { $0.data(7, graph) }))
    }
  }

  @Test(arguments: [0, 9999, -1])
  func opsetOutOfRange(_ version: Int) {
    expectError(.unsupported, "expected opset 1 to 28, found \(version)", path: "model") {
      try ONNX.load(ONNX.model([Self.relu], opset: version))
    }
  }

  @Test func opsetMissing() {
    let graph = ONNX.graph([Self.relu], inputs: [Self.input], outputs: [Self.output])
    expectError(.format, "expected an opset version, found none", path: "model") {
      try ONNX.load(ONNX.model(graph, opset: nil))
    }
  }

  @Test func opsetTwice() {
    let graph = ONNX.graph([Self.relu], inputs: [Self.input], outputs: [Self.output])
    expectError(.format, "expected one opset version, found 2", path: "model") {
      try ONNX.load(ONNX.model(graph, extra: { $0.data(8, ONNX.opset(9, domain: "ai.onnx")) }))
    }
  }

  @Test(arguments: [0, 2, 15])
  func irVersion(_ version: Int) {
    let graph = ONNX.graph([Self.relu], inputs: [Self.input], outputs: [Self.output])
    expectError(.unsupported, "expected IR version 3 to 14, found \(version)", path: "model") {
      try ONNX.load(ONNX.model(graph, ir: version))
    }
  }

  @Test func irVersionMissing() {
    let graph = ONNX.graph([Self.relu], inputs: [Self.input], outputs: [Self.output])
    expectError(.format, "expected an IR version, found none", path: "model") {
      try ONNX.load(ONNX.model(graph, ir: nil))
    }
  }

  @Test func otherDomainsAreHarmlessUntilUsed() throws {
    let graph = ONNX.graph([Self.relu], inputs: [Self.input], outputs: [Self.output])
    let bytes = ONNX.model(graph, extra: { $0.data(8, ONNX.opset(1, domain: "com.example")) })
    #expect(try ONNX.load(bytes).model.graph.nodes.map(\.name) == ["relu"])
  }

  // MARK: - Names

  @Test func unknownInput() {
    expectError(
      .graph, "input 'z' is not a value of the graph", path: "node 'relu' (Relu)"
    ) { try ONNX.load(ONNX.model([ONNX.node("Relu", ["z"], ["y"], name: "relu")])) }
  }

  @Test func valueWrittenTwice() {
    expectError(.graph, "value 'y' is written twice", path: "node 'b' (Relu)") {
      try ONNX.load(
        ONNX.model([
          ONNX.node("Relu", ["x"], ["y"], name: "a"), ONNX.node("Relu", ["x"], ["y"], name: "b"),
        ]))
    }
  }

  @Test func nodeWritesAnInitializer() {
    expectError(.graph, "value 'y' is written twice", path: "node 'relu' (Relu)") {
      try ONNX.load(ONNX.model([Self.relu], initializers: [ONNX.floats("y", [1], [0])]))
    }
  }

  @Test func initializerTwice() {
    let tensor = ONNX.floats("w", [1], [0])
    expectError(.graph, "two initializers have this name", path: "tensor 'w'") {
      try ONNX.load(ONNX.model([Self.relu], initializers: [tensor, tensor]))
    }
  }

  @Test func initializerWithoutName() {
    expectError(.graph, "an initializer has no name", path: "tensor ''") {
      try ONNX.load(ONNX.model([Self.relu], initializers: [ONNX.floats("", [1], [0])]))
    }
  }

  @Test func inputTwice() {
    expectError(.graph, "two inputs have this name", path: "input 'x'") {
      try ONNX.load(
        ONNX.model(
          ONNX.graph([Self.relu], inputs: [Self.input, Self.input], outputs: [Self.output])))
    }
  }

  @Test func noOutputs() {
    expectError(.graph, "expected at least one output, found none", path: "model") {
      try ONNX.load(ONNX.model(ONNX.graph([Self.relu], inputs: [Self.input], outputs: [])))
    }
  }

  @Test func outputThatNobodyComputes() {
    expectError(.graph, "no node computes this output", path: "output 'z'") {
      try ONNX.load(
        ONNX.model(
          ONNX.graph([Self.relu], inputs: [Self.input], outputs: [ONNX.value("z", [])])))
    }
  }

  @Test func nodeWithoutOutputs() {
    expectError(.graph, "expected an output, found none", path: "node '' (Relu)") {
      try ONNX.load(ONNX.model([ONNX.node("Relu", ["x"], []), Self.relu]))
    }
  }

  @Test func nodeWithoutOperator() {
    expectError(.graph, "expected an operator, found none", path: "node 'y' ()") {
      try ONNX.load(ONNX.model([ONNX.node("", ["x"], ["y"])]))
    }
  }

  @Test func allStructuralProblemsAtOnce() {
    expectError(
      .graph,
      "2 problems: node 'a' (Relu): input 'p' is not a value of the graph; node 'y' (Relu): input 'q' is not a value of the graph",
      path: "model"
    ) {
      try ONNX.load(
        ONNX.model([
          ONNX.node("Relu", ["p"], ["t"], name: "a"), ONNX.node("Relu", ["q"], ["y"]),
        ]))
    }
  }

  // MARK: - Order

  @Test func nodeThatFeedsItself() {
    expectError(.graph, "the graph has a cycle", path: "node 'a' (Add)") {
      try ONNX.load(ONNX.model([ONNX.node("Add", ["x", "y"], ["y"], name: "a")]))
    }
  }

  @Test func cycle() {
    expectError(.graph, "the graph has a cycle", path: "node 'a' (Add)") {
      try ONNX.load(
        ONNX.model([
          ONNX.node("Add", ["x", "r"], ["q"], name: "a"),
          ONNX.node("Relu", ["q"], ["r"], name: "b"),
          ONNX.node("Relu", ["r"], ["y"], name: "c"),
        ]))
    }
  }

  @Test func nodesInAnyOrder() throws {
    let model = try ONNX.load(
      ONNX.model([
        ONNX.node("Relu", ["t"], ["y"], name: "second"),
        ONNX.node("Relu", ["x"], ["t"], name: "first"),
      ])
    ).model
    #expect(model.graph.nodes.map(\.name) == ["first", "second"])
  }

  @Test func deadNodesAreDropped() throws {
    let (model, report) = try ONNX.load(
      ONNX.model([Self.relu, ONNX.node("Relu", ["x"], ["unused"], name: "dead")]))
    #expect(model.graph.nodes.map(\.name) == ["relu"])
    #expect(report.droppedNodeCount == 1)
  }

  @Test func chainOfManyNodes() throws {
    let count = 100_000
    let nodes = (0..<count).map { index in
      ONNX.node(
        "Relu", [index == 0 ? "x" : "v\(index)"], [index == count - 1 ? "y" : "v\(index + 1)"])
    }
    #expect(try ONNX.load(ONNX.model(nodes.reversed())).model.graph.nodes.count == count)
  }

  // MARK: - Types

  @Test(arguments: [(4, "sequence"), (5, "map"), (8, "sparse tensor"), (9, "optional")])
  func inputThatIsNoTensor(_ field: Int, _ name: String) {
    var type = Proto()
    type.data(field, [])
    var info = Proto()
    info.string(1, "x")
    info.data(2, type.bytes)
    expectError(
      .unsupported, "expected a tensor, found a value of type \(name)", path: "input 'x'"
    ) {
      try ONNX.load(
        ONNX.model(ONNX.graph([Self.relu], inputs: [info.bytes], outputs: [Self.output])))
    }
  }

  @Test(arguments: [
    (8, "STRING"), (14, "COMPLEX64"), (17, "FLOAT8E4M3FN"), (22, "INT4"), (0, "UNDEFINED"),
  ])
  func inputOfAnotherElementType(_ type: Int, _ name: String) {
    expectError(.unsupported, "element type \(name)", path: "input 'x'") {
      try ONNX.load(
        ONNX.model(
          ONNX.graph(
            [Self.relu], inputs: [ONNX.value("x", [1], type: type)], outputs: [Self.output])))
    }
  }

  @Test func inputWithoutShape() {
    var tensor = Proto()
    tensor.int(1, 1)
    var type = Proto()
    type.data(1, tensor.bytes)
    var info = Proto()
    info.string(1, "x")
    info.data(2, type.bytes)
    expectError(.unsupported, "expected a shape, found none", path: "input 'x'") {
      try ONNX.load(
        ONNX.model(ONNX.graph([Self.relu], inputs: [info.bytes], outputs: [Self.output])))
    }
  }

  @Test func inputOfNegativeExtent() {
    expectError(
      .shape, "expected an extent of at least 0 on axis 1, found -3", path: "input 'x'"
    ) { try ONNX.load(ONNX.model([Self.relu], input: [1, -3])) }
  }

  @Test func sparseInitializer() {
    expectError(.unsupported, "sparse initializers (1)", path: "model") {
      try ONNX.load(
        ONNX.model(
          ONNX.graph(
            [Self.relu], inputs: [Self.input], outputs: [Self.output], extra: { $0.data(15, []) })))
    }
  }

  // MARK: - Operators

  @Test func everythingUnsupportedAtOnce() {
    expectError(
      .unsupported,
      "4 problems: input 's': element type STRING; operator TopK of nodes 'k1', 'k2', 'k3' and 1 more; operator com.example.Fused of node 'f'; node 'pad' (Pad): attribute mode='mirror'",
      path: "model"
    ) {
      try ONNX.load(
        ONNX.model(
          ONNX.graph(
            (1...4).map { ONNX.node("TopK", ["x"], ["t\($0)"], name: "k\($0)") } + [
              ONNX.node("Sum", ["t1", "t2", "t3", "t4", "s"], ["u"]),
              ONNX.node("Fused", ["u"], ["v"], name: "f", domain: "com.example"),
              ONNX.node("Pad", ["v", "p"], ["y"], name: "pad", ["mode": .string("mirror")]),
            ], inputs: [Self.input, ONNX.value("s", [1], type: 8)], outputs: [Self.output],
            initializers: [ONNX.ints("p", [0, 0, 0, 0])])))
    }
  }

  @Test func subgraphsAreNotFollowed() {
    // Each body holds the next `If`; a function would call itself the same way.
    var body: [UInt8] = []
    for _ in 0..<1000 {
      body = ONNX.graph(
        [ONNX.node("If", ["c"], ["r"], ["then_branch": .graph(body)])], inputs: [], outputs: [])
    }
    expectError(.unsupported, "operator If of node 'y'", path: "model") {
      try ONNX.load(ONNX.model([ONNX.node("If", ["x"], ["y"], ["then_branch": .graph(body)])]))
    }
  }

  @Test func functions() {
    func function(_ name: String, calls: String) -> [UInt8] {
      var proto = Proto()
      proto.string(1, name)
      proto.data(7, ONNX.node(calls, ["x"], ["y"], domain: "own"))
      proto.string(10, "own")
      return proto.bytes
    }
    expectError(
      .unsupported, "operator own.A (a function of this file) of node 'y'", path: "model"
    ) {
      try ONNX.load(
        ONNX.model(
          ONNX.graph(
            [ONNX.node("A", ["x"], ["y"], domain: "own")], inputs: [Self.input],
            outputs: [Self.output]),
          extra: {
            $0.data(25, function("A", calls: "B"))
            $0.data(25, function("B", calls: "A"))
          }))
    }
  }

  @Test func tooManyInputs() {
    expectError(.graph, "expected 1 inputs, found 2", path: "node 'y' (Relu)") {
      try ONNX.load(ONNX.model([ONNX.node("Relu", ["x", "x"], ["y"])]))
    }
  }

  @Test func missingInput() {
    expectError(.graph, "expected input 0, found none", path: "node 'y' (Add)") {
      try ONNX.load(ONNX.model([ONNX.node("Add", ["", "x"], ["y"])]))
    }
  }

  @Test func outputThatIsNotSupported() {
    expectError(.unsupported, "output 1 'z'", path: "node 'y' (Relu)") {
      try ONNX.load(ONNX.model([ONNX.node("Relu", ["x"], ["y", "z"])]))
    }
  }

  // MARK: - Attributes

  @Test func attributeOfAnotherType() {
    expectError(
      .format, "expected attribute 'axis' to be INT, found INTS", path: "node 'y' (Flatten)"
    ) { try ONNX.load(ONNX.model([ONNX.node("Flatten", ["x"], ["y"], ["axis": .ints([1])])])) }
  }

  @Test func attributeThatDeniesItsType() {
    expectError(.format, "expected attribute 'axis' to hold INTS, found INT") {
      try ONNX.load(
        ONNX.model([
          ONNX.node("Flatten", ["x"], ["y"], raw: [ONNX.attribute("axis", .int(1), type: 7)])
        ]))
    }
  }

  @Test func attributeMissing() {
    expectError(.graph, "expected attribute 'axis', found none", path: "node 'y' (Concat)") {
      try ONNX.load(ONNX.model([ONNX.node("Concat", ["x", "x"], ["y"])]))
    }
  }

  @Test func attributeTwice() {
    expectError(.format, "attribute 'axis' is given twice", path: "node 'y' (Flatten)") {
      try ONNX.load(
        ONNX.model([ONNX.node("Flatten", ["x"], ["y"], ["axis": .int(1), "axis": .int(0)])]))
    }
  }

  @Test func unknownAttribute() {
    expectError(.unsupported, "unknown attribute 'slope'", path: "node 'y' (Relu)") {
      try ONNX.load(ONNX.model([ONNX.node("Relu", ["x"], ["y"], ["slope": .float(1)])]))
    }
  }

  @Test func attributeThatRefers() {
    var proto = Proto()
    proto.string(1, "axis")
    proto.int(20, 2)
    proto.string(21, "outer")
    expectError(.format, "attribute 'axis' refers to a function's attribute outside a function") {
      try ONNX.load(ONNX.model([ONNX.node("Flatten", ["x"], ["y"], raw: [proto.bytes])]))
    }
  }
}
