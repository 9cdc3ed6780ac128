import Lamina
import LaminaLayers
import LaminaTestSupport
import Testing

struct ShapeTests {
  /// The first input's elements under the inferred shape.
  private static let sameElements: NaiveReference = { call in
    [NaiveTensor(call.outputs[0].shape, call.inputs[0].elements)]
  }

  private func shape<L: Layer>(
    _ type: L.Type, _ attributes: Attributes = [:], _ inputs: [TestInput]
  ) throws -> Shape {
    try LayerHarness.infer(type, attributes, inputs)[0].shape
  }

  @Test func reshape() throws {
    LayerHarness.check(
      Reshape.self,
      cases: [
        LayerCase(["shape": [3, 2]], [[2, 3]]),
        LayerCase(["shape": [-1]], [[2, 3, 4]]),
        LayerCase(["shape": [0, -1]], [TestInput([2, 3, 4], .int64, in: -9...9)]),
        LayerCase(["shape": [2, 0, -1]], [[2, 3, 4]]),
        LayerCase(["shape": [0, 5], "allow_zero": true], [[5, 0]]),
        LayerCase(["shape": [0, 5]], [[0, 5]]),
        LayerCase([:], [TestInput([2, 3], .bool), .known([6, 1])]),
        LayerCase(["shape": .ints([])], [[1, 1]]),
      ], reference: Self.sameElements)
    #expect(try shape(Reshape.self, ["shape": [0, -1]], [[2, 3, 4]]) == [2, 12])
    #expect(try shape(Reshape.self, ["shape": [0, 5], "allow_zero": true], [[5, 0]]) == [0, 5])
    #expect(try shape(Reshape.self, ["shape": .ints([])], [[1, 1]]) == .scalar)
  }

  @Test func reshapeErrors() {
    func expect(
      _ message: String, _ attributes: Attributes, _ inputs: [TestInput],
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      expectError(.shape, message, sourceLocation: sourceLocation) {
        try LayerHarness.infer(Reshape.self, attributes, inputs)
      }
    }
    expect("expected at most one -1 in 'shape', found [-1, -1]", ["shape": [-1, -1]], [[2, 3]])
    expect(
      "expected an input of more than 2 axes for shape [1, 6, 0], found [2, 3]",
      ["shape": [1, 6, 0]], [[2, 3]])
    expect(
      "expected 6 elements of input [2, 3], found shape [4, 2]", ["shape": [4, 2]], [[2, 3]])
    expect(
      "expected an extent for -1 in shape [4, -1], found none for input [2, 3]",
      ["shape": [4, -1]], [[2, 3]])
    expect(
      "expected an extent for -1 in shape [0, -1], found none for input [0, 3]",
      ["shape": [0, -1]], [[0, 3]])
    expect(
      "expected 6 elements of input [2, 3], found shape [0, 3]",
      ["shape": [0, 3], "allow_zero": true], [[2, 3]])
    expect(
      "expected extents in 0...2147483647, found -2 in [-2, 3]", ["shape": [-2, 3]], [[2, 3]])
    expect(
      "expected at most 2^40 elements, found [2147483647, 2147483647]",
      ["shape": [2_147_483_647, 2_147_483_647]], [[2, 3]])
    expect(
      "expected a value known when planning for 'shape', found one computed at run time", [:],
      [[2, 3], TestInput([1], .int64, [6])])
    expect(
      "expected int64 or int32 for 'shape', found float32", [:],
      [[2, 3], TestInput([1], .float32, [6], known: true)])
    expect(
      "expected a vector for 'shape', found shape [1, 1]", [:],
      [[2, 3], TestInput([1, 1], .int64, [6], known: true)])
    expect(
      "expected 'shape' in -2147483647...2147483647, found 9223372036854774784", [:],
      [[2, 3], TestInput.known([Int.max - 1023])])
    expectError(.graph, "expected 'shape' as an attribute or as an input, found neither") {
      try LayerHarness.infer(Reshape.self, [:], [[2, 3]])
    }
    expectError(.graph, "expected 'shape' as an attribute or as an input, found both") {
      try LayerHarness.infer(Reshape.self, ["shape": [6]], [[2, 3], .known([6])])
    }
    expectError(
      .graph, "expected attribute 'shape' in -2147483647...2147483647, found 2147483648"
    ) { try LayerHarness.infer(Reshape.self, ["shape": [2_147_483_648]], [[2, 3]]) }
  }

  @Test func flatten() throws {
    LayerHarness.check(
      Flatten.self,
      cases: [
        LayerCase([[2, 3, 4, 5]]), LayerCase(["axis": 0], [[2, 3]]),
        LayerCase(["axis": 2], [[2, 3]]),
        LayerCase(["axis": -1], [TestInput([2, 3, 4], .uint8, in: 0...255)]),
        LayerCase(["axis": 0], [TestInput(.scalar)]), LayerCase([[0, 3, 4]]),
      ], reference: Self.sameElements)
    #expect(try shape(Flatten.self, [:], [[2, 3, 4, 5]]) == [2, 60])
    #expect(try shape(Flatten.self, ["axis": 0], [[2, 3]]) == [1, 6])
    #expect(try shape(Flatten.self, ["axis": 2], [[2, 3]]) == [6, 1])
    #expect(try shape(Flatten.self, ["axis": -1], [[2, 3, 4]]) == [6, 4])
    #expect(try shape(Flatten.self, ["axis": 0], [TestInput(.scalar)]) == [1, 1])
    expectError(.shape, "expected an axis in -2...2, found 3") {
      try LayerHarness.infer(Flatten.self, ["axis": 3], [[2, 3]])
    }
    expectError(.shape, "expected an axis in -2...2, found -3") {
      try LayerHarness.infer(Flatten.self, ["axis": -3], [[2, 3]])
    }
    expectError(.shape, "expected an axis in 0...0, found 1") {
      try LayerHarness.infer(Flatten.self, [:], [TestInput(.scalar)])
    }
  }

  @Test func squeeze() throws {
    LayerHarness.check(
      Squeeze.self,
      cases: [
        LayerCase([[1, 3, 1, 5]]), LayerCase(["axes": [0]], [[1, 3, 1, 5]]),
        LayerCase(["axes": [-2]], [[1, 3, 1, 5]]), LayerCase([[2, 1], .known([1])]),
      ], reference: Self.sameElements)
    #expect(try shape(Squeeze.self, [:], [[1, 3, 1, 5]]) == [3, 5])
    #expect(try shape(Squeeze.self, ["axes": [-2]], [[1, 3, 1, 5]]) == [1, 3, 5])
    expectError(.shape, "expected extent 1 on axis 1 to squeeze, found shape [1, 3]") {
      try LayerHarness.infer(Squeeze.self, ["axes": [0, 1]], [[1, 3]])
    }
    expectError(.shape, "expected distinct axes, found [0, -2]") {
      try LayerHarness.infer(Squeeze.self, ["axes": [0, -2]], [[1, 3]])
    }
    expectError(.shape, "expected an axis in -2...1, found 2") {
      try LayerHarness.infer(Squeeze.self, ["axes": [2]], [[1, 3]])
    }
  }

  @Test func unsqueeze() throws {
    LayerHarness.check(
      Unsqueeze.self,
      cases: [
        LayerCase(["axes": [0]], [[3, 4]]), LayerCase(["axes": [-1, 0]], [[3, 4]]),
        LayerCase([TestInput(.scalar), .known([0])]), LayerCase([[2], .known([0, 2])]),
      ], reference: Self.sameElements)
    #expect(try shape(Unsqueeze.self, ["axes": [-1, 0]], [[3, 4]]) == [1, 3, 4, 1])
    #expect(try shape(Unsqueeze.self, ["axes": [1, 2]], [[3, 4]]) == [3, 1, 1, 4])
    expectError(.shape, "expected distinct axes, found [1, 1]") {
      try LayerHarness.infer(Unsqueeze.self, ["axes": [1, 1]], [[3, 4]])
    }
    expectError(.shape, "expected an axis in -3...2, found 3") {
      try LayerHarness.infer(Unsqueeze.self, ["axes": [3]], [[3, 4]])
    }
    expectError(.shape, "expected at most 8 axes, found 9") {
      try LayerHarness.infer(Unsqueeze.self, ["axes": [0, 1, 2, 3, 4, 5, 6]], [[3, 4]])
    }
  }

  @Test func identity() {
    LayerHarness.check(
      Identity.self, cases: [LayerCase([[2, 3]]), LayerCase([TestInput([3], .float16)])],
      reference: Self.sameElements)
  }

  @Test func dropoutKeepsItsInput() {
    LayerHarness.check(
      Dropout.self, cases: [LayerCase([[2, 3]]), LayerCase(["rate": 0.25], [[2, 3]])],
      reference: Self.sameElements)
    LayerHarness.check(Dropout.self, cases: [LayerCase(["mask": true], [[2, 3]])]) { call in
      [call.inputs[0], call.inputs[0].map { _ in 1 }]
    }
    expectError(.graph, "expected attribute 'rate' in 0...1, found 1.5") {
      try LayerHarness.infer(Dropout.self, ["rate": 1.5], [[2, 3]])
    }
    expectError(.graph, "expected attribute 'rate' in 0...1, found nan") {
      try LayerHarness.infer(Dropout.self, ["rate": "nan"], [[2, 3]])
    }
  }

  @Test func dropoutTrains() throws {
    let (layer, _) = try LayerRegistry.standard.makeLayer(
      "lamina.dropout", ["rate": 0.25, "mask": true])
    let x = try Tensor(random: [10_000], in: 1...2)
    func run(seed: UInt64) throws -> (y: [Float], mask: [Bool]) {
      let (y, mask) = (try Tensor(zeros: [10_000]), try Tensor(zeros: [10_000], .bool))
      let outputs = [y, mask].map { tensor in
        tensor.withMutableBytes { MutableTensorView(tensor.shape, tensor.type, $0.baseAddress!) }
      }
      try layer.forward(
        ForwardCall(
          inputs: [x.view], parameters: [], outputs: outputs,
          scratch: UnsafeMutableRawBufferPointer(start: nil, count: 0),
          pool: ThreadPool(threads: 1),
          isTraining: true, seed: seed))
      return (y.elements(), mask.elements())
    }
    let (y, mask) = try run(seed: 3)
    for (input, (output, isKept)) in zip(x.elements(as: Float.self), zip(y, mask)) {
      #expect(output == (isKept ? input * (1 / 0.75) : 0))
    }
    let kept = mask.filter { $0 }.count
    #expect((7300...7700).contains(kept))
    #expect(try run(seed: 3).mask == mask)
    #expect(try run(seed: 4).mask != mask)
  }

  @Test func shapeOf() throws {
    LayerHarness.check(
      ShapeOf.self,
      cases: [
        LayerCase([[2, 3, 5]], expected: [NaiveTensor([3], [2, 3, 5])]),
        LayerCase(["start": 1], [[2, 3, 5]], expected: [NaiveTensor([2], [3, 5])]),
        LayerCase(["start": -1], [[2, 3, 5]], expected: [NaiveTensor([1], [5])]),
        LayerCase(["end": -1], [[2, 3, 5]], expected: [NaiveTensor([2], [2, 3])]),
        LayerCase(["start": -9, "end": 9], [[2, 3]], expected: [NaiveTensor([2], [2, 3])]),
        LayerCase(["start": 2, "end": 1], [[2, 3]], expected: [NaiveTensor([0], [])]),
        LayerCase([TestInput(.scalar)], expected: [NaiveTensor([0], [])]),
      ])
    #expect(
      try LayerHarness.infer(ShapeOf.self, [:], [[2, 3]])[0].value?.elements() == [2, 3] as [Int64])
  }

  @Test func sizeOf() throws {
    LayerHarness.check(
      SizeOf.self,
      cases: [
        LayerCase([[2, 3, 5]], expected: [NaiveTensor(.scalar, [30])]),
        LayerCase([TestInput([0, 7], .bool)], expected: [NaiveTensor(.scalar, [0])]),
        LayerCase([TestInput(.scalar)], expected: [NaiveTensor(.scalar, [1])]),
      ])
    #expect(
      try LayerHarness.infer(SizeOf.self, [:], [[2, 3]])[0].value?.elements() == [6] as [Int64])
  }

  @Test func constant() {
    LayerHarness.check(
      Constant.self,
      cases: [
        LayerCase(["shape": [2, 2]], [], parameters: ["value": [1, 2, 3, 4]]),
        LayerCase(["shape": .ints([]), "type": "int64"], [], parameters: ["value": [7]]),
      ]
    ) { $0.parameters }
    expectError(.shape, "expected extents in 0...2147483647, found -1 in [-1]") {
      try LayerHarness.infer(Constant.self, ["shape": [-1]], [])
    }
    expectError(.graph, "expected attribute 'shape' (a list of integers), found none") {
      try LayerHarness.infer(Constant.self, [:], [])
    }
  }

  @Test func constantOfShape() {
    LayerHarness.check(
      ConstantOfShape.self,
      cases: [
        LayerCase(["shape": [2, 3]], [], expected: [NaiveTensor([2, 3])]),
        LayerCase(["value": 1.5], [.known([2])], expected: [NaiveTensor([2], [1.5, 1.5])]),
        LayerCase(
          ["value": -3, "type": "int8"], [.known([2])], expected: [NaiveTensor([2], [-3, -3])]),
        LayerCase(
          ["value": 4_294_967_297, "type": "int64"], [.known([1])],
          expected: [NaiveTensor([1], [4_294_967_297])]),
        LayerCase(
          ["value": true, "type": "bool"], [.known([1])], expected: [NaiveTensor([1], [1])]),
        LayerCase(
          ["value": 0.333, "type": "float16"], [.known([1])],
          expected: [NaiveTensor([1], [Double(Float16(0.333))])]),
        LayerCase(["value": "-inf"], [.known([1])], expected: [NaiveTensor([1], [-.infinity])]),
        LayerCase(["value": 1], [.known([])], expected: [NaiveTensor(.scalar, [1])]),
      ])
    expectError(.shape, "expected extents in 0...2147483647, found -1 in [2, -1]") {
      try LayerHarness.infer(ConstantOfShape.self, ["shape": [2, -1]], [])
    }
    expectError(.graph, "expected 'shape' as an attribute or as an input, found neither") {
      try LayerHarness.infer(ConstantOfShape.self, [:], [])
    }
    expectError(.graph, "expected attribute 'value' to be a number, found a list of integers") {
      try LayerHarness.infer(ConstantOfShape.self, ["shape": [1], "value": [1, 2]], [])
    }
  }

  @Test func numberRange() throws {
    func row(
      _ type: ElementType, _ numbers: [Double], _ expected: [Double]
    ) throws -> LayerCase {
      LayerCase(
        numbers.map { TestInput(.scalar, type, [$0], known: true) },
        expected: [NaiveTensor(try Shape([expected.count]), expected)])
    }
    LayerHarness.check(
      NumberRange.self,
      cases: [
        try row(.float32, [0, 1, 0.25], [0, 0.25, 0.5, 0.75]),
        try row(.float32, [1, 5, 2], [1, 3]),
        try row(.float64, [2, -1, -1], [2, 1, 0]),
        try row(.int64, [10, 4, -2], [10, 8, 6]),
        try row(.int64, [10, 3, -2], [10, 8, 6, 4]),
        try row(.int32, [0, 3, 1], [0, 1, 2]), try row(.int16, [3, 0, 1], []),
        try row(.int8, [-128, 127, 100], [-128, -28, 72]),
        try row(.uint8, [250, 255, 3], [250, 253]), try row(.uint64, [0, 2, 1], [0, 1]),
      ])
    func inputs(_ type: ElementType, _ numbers: [Double]) -> [TestInput] {
      numbers.map { TestInput(.scalar, type, [$0], known: true) }
    }
    func expect(_ message: String, _ inputs: [TestInput]) {
      expectError(.shape, message) { try LayerHarness.infer(NumberRange.self, [:], inputs) }
    }
    expect("expected a delta other than 0, found 0", inputs(.int64, [0, 3, 0]))
    expect("expected a delta other than 0, found 0", inputs(.float32, [0, 3, 0]))
    expect(
      "expected finite numbers, found start inf, limit inf, delta 1.0",
      inputs(.float32, [.infinity, .infinity, 1]))
    expect(
      "expected at most 2147483647 numbers in the range, found more",
      inputs(.float32, [0, 1e30, 1]))
    expect(
      "expected at most 2147483647 numbers in the range, found more",
      inputs(.int64, [-9e18, 9e18, 1]))
    expect("expected float32, float64 or integers, found bool", inputs(.bool, [0, 1, 1]))
    expect(
      "expected int64 for 'delta', found int32",
      inputs(.int64, [0, 1]) + inputs(.int32, [1]))
    expect(
      "expected one number for 'start', found shape [2]",
      [TestInput([2], .int64, [1, 2], known: true)] + inputs(.int64, [3, 1]))
    expect(
      "expected a value known when planning for 'limit', found one computed at run time",
      inputs(.int64, [0]) + [TestInput(.scalar, .int64, [4])] + inputs(.int64, [1]))
  }
}
