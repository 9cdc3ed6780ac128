import Lamina
import LaminaTestSupport
import Testing

/// The protobuf layer: what a file may do wrong before anything in it is a model.
@Suite struct ONNXWireTests {
  static let tiny = ONNX.model([ONNX.node("Relu", ["x"], ["y"])])

  @Test func empty() {
    expectError(.format, "expected a model, found 0 bytes", path: "model") { try ONNX.load([]) }
  }

  @Test func varintCut() {
    expectError(.format, "expected a varint, found the end", path: "model @ 2") {
      try ONNX.load([0x08, 0x80])
    }
  }

  @Test func varintOfElevenBytes() {
    expectError(.format, "a varint is longer than 64 bits", path: "model @ 1") {
      try ONNX.load([0x08] + [UInt8](repeating: 0x80, count: 10) + [1])
    }
  }

  @Test func lengthBeyondTheEnd() {
    expectError(.format, "expected 200 bytes of field 7, found 1", path: "model @ 2") {
      try ONNX.load([0x08, 8] + Proto.tag(7, 2) + Proto.varint(200) + [0])
    }
  }

  @Test(arguments: [UInt64(1) << 63, UInt64.max, UInt64(Int64.max)])
  func hugeLength(_ length: UInt64) {
    expectError(.format, "expected \(length) bytes of field 7, found 0", path: "model @ 0") {
      try ONNX.load(Proto.tag(7, 2) + Proto.varint(length))
    }
  }

  @Test(arguments: [3, 4, 6, 7])
  func wireTypes(_ wire: Int) {
    expectError(
      .format, "expected wire type 0, 1, 2 or 5 in field 1, found \(wire)", path: "model @ 0"
    ) { try ONNX.load(Proto.tag(1, wire)) }
  }

  @Test func fieldNumberZero() {
    expectError(.format, "expected a field number in 1...536870911, found 0", path: "model @ 0") {
      try ONNX.load([0x00, 0x01])
    }
  }

  @Test func fieldNumberTooLarge() {
    expectError(
      .format, "expected a field number in 1...536870911, found 536870912", path: "model @ 0"
    ) { try ONNX.load(Proto.varint(UInt64(536_870_912) << 3)) }
  }

  @Test func fieldOfAWrongWireType() {
    expectError(
      .format, "expected ModelProto.graph to be a byte string, found a varint", path: "model @ 2"
    ) { try ONNX.load([0x08, 8] + Proto.tag(7, 0) + [5]) }
    expectError(
      .format, "expected ModelProto.ir_version to be a varint, found 4 bytes", path: "model @ 0"
    ) { try ONNX.load(Proto.tag(1, 5) + [0, 0, 0, 0]) }
  }

  @Test func nameThatIsNotUTF8() {
    var node = Proto()
    node.data(4, [0xFF, 0xFE])
    expectError(.format, "NodeProto.op_type is not UTF-8", path: "model @ 6") {
      try ONNX.load(ONNX.model(ONNX.graph([node.bytes], inputs: [], outputs: []), opset: nil))
    }
  }

  @Test func unknownFieldsAreSkipped() throws {
    var graph = Proto()
    graph.int(500, 7)
    graph.string(501, "later")
    let bytes = ONNX.model(
      ONNX.graph(
        [ONNX.node("Relu", ["x"], ["y"])], inputs: [ONNX.value("x", [1, 2])],
        outputs: [ONNX.value("y", [])], extra: { $0.bytes += graph.bytes }),
      extra: { $0.bytes += graph.bytes + Proto.tag(900, 1) + [UInt8](repeating: 0, count: 8) })
    #expect(try ONNX.load(bytes).model.graph.nodes.count == 1)
  }

  @Test func trailingBytes() {
    expectError(.format, "expected a varint, found the end") {
      try ONNX.load(Self.tiny + [0x80])
    }
  }

  @Test(arguments: [101, 100_000])
  func deepNesting(_ depth: Int) {
    // Graph in attribute in node in graph …, built inside out with exact lengths.
    var inner: [UInt8] = []
    var prefixes: [[UInt8]] = []
    var count = 0
    for _ in 0..<depth {
      var attribute = Proto.tag(6, 2) + Proto.varint(UInt64(count))
      count += attribute.count
      attribute = Proto.tag(5, 2) + Proto.varint(UInt64(count)) + attribute
      let node = Proto.tag(5, 2) + Proto.varint(UInt64(count))
      count += node.count
      let graph = Proto.tag(1, 2) + Proto.varint(UInt64(count))
      count += graph.count
      prefixes.append(graph + attribute)
    }
    for prefix in prefixes.reversed() { inner += prefix }
    expectError(.format, "expected attribute '' to have a type in 1...14, found 0") {
      try ONNX.load(ONNX.model(inner, opset: nil))
    }
  }

  @Test func tenMillionEmptyNodes() {
    let nodes: [UInt8] = (0..<200_000).flatMap { _ in [UInt8(0x0A), 0x00] }
    var limits = Limits()
    limits.nodes = 100_000
    expectError(.limit, "expected at most 100000 of GraphProto.node") {
      try ONNX.load(ONNX.model(nodes, opset: nil), limits: limits)
    }
  }

  @Test func tooManyDimensions() {
    let tensor = ONNX.tensor("w", [Int](repeating: 1, count: 33))
    expectError(.limit, "expected at most 32 values in TensorProto.dims") {
      try ONNX.load(
        ONNX.model(ONNX.graph([], inputs: [], outputs: [], initializers: [tensor]), opset: nil))
    }
  }

  @Test func packedDimensionsDoNotGrow() {
    // 10 MB of one-byte varints stop at the 33rd.
    var tensor = Proto()
    tensor.data(1, [UInt8](repeating: 1, count: 10_000_000))
    expectError(.limit, "expected at most 32 values in TensorProto.dims") {
      try ONNX.load(
        ONNX.model(
          ONNX.graph([], inputs: [], outputs: [], initializers: [tensor.bytes]), opset: nil))
    }
  }

  @Test func packedIntsDoNotGrow() {
    var attribute = Proto()
    attribute.string(1, "axes")
    attribute.data(8, [UInt8](repeating: 1, count: 2_000_000))
    attribute.int(20, 7)
    expectError(.limit, "expected at most 1048576 values in AttributeProto.ints") {
      try ONNX.load(ONNX.model([ONNX.node("Relu", ["x"], ["y"], raw: [attribute.bytes])]))
    }
  }

  @Test func truncationAtEveryByte() {
    let bytes = ONNX.model(
      [
        ONNX.node("Conv", ["x", "w", "b"], ["c"], name: "conv", ["pads": .ints([1, 1, 1, 1])]),
        ONNX.node("Relu", ["c"], ["y"]),
      ], input: [1, 1, 4, 4],
      initializers: [
        ONNX.floats("w", [1, 1, 3, 3], [Float](repeating: 1, count: 9)), ONNX.floats("b", [1], [0]),
      ])
    for count in 0..<bytes.count {
      // The opset comes first and the graph last, so no shorter file is a model.
      #expect(throws: LaminaError.self) { try ONNX.load(Array(bytes.prefix(count))) }
    }
    #expect(throws: Never.self) { try ONNX.load(bytes) }
  }

  /// Whatever the bytes say, the answer is a model or a `LaminaError`.
  static func loadAnything(_ bytes: [UInt8]) -> Bool {
    var limits = Limits()
    limits.memoryBytes = 64 << 20
    do {
      _ = try ONNX.load(bytes, limits: limits)
      return true
    } catch {
      return error is LaminaError
    }
  }

  static let seed = ONNX.model(
    [
      ONNX.node(
        "Conv", ["x", "w", "b"], ["c"], name: "conv",
        ["pads": .ints([1, 1, 1, 1]), "group": .int(1)]),
      ONNX.node("Clip", ["c", "low", ""], ["r"]),
      ONNX.node(
        "MaxPool", ["r"], ["p"], ["kernel_shape": .ints([2, 2]), "strides": .ints([2, 2])]),
      ONNX.node("Reshape", ["p", "shape"], ["f"]),
      ONNX.node("Gemm", ["f", "m"], ["g"], ["transB": .int(1), "alpha": .float(1)]),
      ONNX.node("Softmax", ["g"], ["y"], ["axis": .int(-1)]),
    ], input: ["batch", 1, 4, 4],
    initializers: [
      ONNX.floats("w", [2, 1, 3, 3], [Float](repeating: 0.5, count: 18)),
      ONNX.floats("b", [2], [0, 1]), ONNX.floats("low", [], [0]), ONNX.ints("shape", [0, -1]),
      ONNX.floats("m", [3, 8], [Float](repeating: 0.25, count: 24)),
    ])

  @Test func mutations() {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func random(_ bound: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state % UInt64(bound))
    }
    for _ in 0..<2_500 {
      var bytes = Self.seed
      for _ in 0...random(3) {
        let position = random(bytes.count)
        switch random(4) {
        case 0: bytes[position] ^= 1 << UInt8(random(8))
        case 1: bytes[position] = UInt8(random(256))
        case 2: bytes.remove(at: position)
        default: bytes.insert(UInt8(random(256)), at: position)
        }
      }
      #expect(Self.loadAnything(bytes))
    }
  }

  @Test(arguments: [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62, UInt64(1) << 63, .max])
  func sizeFields(_ value: UInt64) {
    let number = Proto.varint(value)
    for position in Self.seed.indices {
      let bytes = Array(Self.seed[..<position]) + number + Self.seed[(position + 1)...]
      #expect(Self.loadAnything(bytes))
    }
  }
}
