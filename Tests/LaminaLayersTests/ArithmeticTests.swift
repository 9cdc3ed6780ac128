import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Shapes that broadcast, and maps that may come in blocks of channels.
private let pairs: [[TestInput]] = [
  [[2, 3, 5, 7], [2, 3, 5, 7]], [[1, 32, 4, 5], [1, 32, 4, 5]], [[2, 3, 5, 7], [3, 1, 1]],
  [[2, 16, 5, 7], [2, 16, 1, 1]], [[1, 8, 3, 3], [1, 8, 1, 1]], [[2, 3, 5, 7], [7]],
  [[4, 1, 3], [5, 1]],
  [TestInput(.scalar), [2, 3]], [[6], TestInput(.scalar)], [[0, 3], [1, 3]],
  [[2, 1, 4, 1], [3, 1, 5]],
  [[1, 1], [1]], [[2, 1, 3, 33], [2, 40, 1, 33]], [[1, 40000], [2, 1]], [[70000], [1]],
]

/// The fold of `f` over all inputs, broadcast.
private func fold(
  _ f: @escaping @Sendable (Double, Double) -> Double
) -> NaiveReference {
  { call in
    [
      NaiveTensor(call.outputs[0].shape) { index in
        let values = call.inputs.map { $0.broadcast(at: index) }
        return values.dropFirst().reduce(values[0], f)
      }
    ]
  }
}

private func integers(_ a: [Double], _ b: [Double], _ type: ElementType, _ expected: [Double])
  -> LayerCase
{
  LayerCase(
    [:], [TestInput([8], type, a), TestInput([8], type, b)], expected: [NaiveTensor([8], expected)])
}

private let a8: [Double] = [-128, -128, 127, 7, -7, 7, -7, 0]
private let b8: [Double] = [-1, 0, 2, 2, 2, -2, -2, 0]

@Suite struct ArithmeticTests {
  private func check<L: Layer>(
    _ type: L.Type, isNary: Bool, integers: [LayerCase],
    _ f: @escaping @Sendable (Double, Double) -> Double
  ) {
    var cases = pairs.map { LayerCase([:], $0) }
    if isNary {
      cases += [
        LayerCase([:], [[2, 3, 5]]),
        LayerCase([:], [[2, 3, 5], [5], [2, 1, 1], TestInput(.scalar)]),
        LayerCase([:], [[5], [2, 1], [3, 1, 1]]),
        LayerCase([:], [[1, 8, 3, 3], [1, 8, 3, 3], [8, 1, 1]]),
      ]
    }
    LayerHarness.check(type, cases: cases, reference: fold(f))
    LayerHarness.check(type, cases: integers, reference: fold(f))
  }

  @Test func add() {
    check(
      Add.self, isNary: true,
      integers: [
        integers(a8, b8, .int8, [127, -128, -127, 9, -5, 5, -9, 0]),
        LayerCase(
          [:], [TestInput([2, 3], .int64, in: -9...9), TestInput([3], .int64, in: -9...9)]),
      ]
    ) { $0 + $1 }
  }

  @Test func subtract() {
    check(
      Subtract.self, isNary: false,
      integers: [
        integers(a8, b8, .int8, [-127, -128, 125, 5, -9, 9, -5, 0]),
        LayerCase(
          [:], [TestInput([2, 3], .int32, in: -9...9), TestInput([2, 1], .int32, in: -9...9)]),
      ]
    ) { $0 - $1 }
  }

  @Test func multiply() {
    check(
      Multiply.self, isNary: true,
      integers: [
        integers(a8, b8, .int8, [-128, 0, -2, 14, -14, -14, 14, 0]),
        LayerCase(
          [:], [TestInput([2, 3], .uint8, in: 0...9), TestInput([2, 1], .uint8, in: 0...9)]),
      ]
    ) { $0 * $1 }
  }

  @Test func scaleAdd() {
    let maps: [(map: TestInput, scales: TestInput)] = [
      ([2, 3, 5, 7], [2, 3, 1, 1]), ([1, 32, 4, 5], [1, 32, 1, 1]),
      ([2, 20, 3, 3], [2, 20, 1, 1]), ([0, 4, 2, 2], [0, 4, 1, 1]),
    ]
    let attributes: [Attributes] = [
      [:], ["activation": "relu"],
      ["activation": "clip", "activation_min": -0.5, "activation_max": 0.5],
      ["activation": "clip", "activation_min": 0.25],
    ]
    LayerHarness.check(
      ScaleAdd.self,
      cases: maps.flatMap { map, scales in
        attributes.map { LayerCase($0, [map, scales, map], tolerance: 1e-6) }
      }
    ) { call in
      var reader = AttributeReader(call.attributes)
      let activation = try reader.string("activation", default: "none")
      let isReLU = activation == "relu"
      let low = try reader.float("activation_min", default: isReLU ? 0 : -.infinity)
      let high = try reader.float("activation_max", default: .infinity)
      let (x, s, r) = (call.inputs[0], call.inputs[1], call.inputs[2])
      return [
        NaiveTensor(x.shape) { index in
          min(max(x[index] * s[index[0], index[1], 0, 0] + r[index], Double(low)), Double(high))
        }
      ]
    }
    expectError(.shape, "expected 4 axes, found [2, 3, 4]") {
      try LayerHarness.infer(ScaleAdd.self, [:], [[2, 3, 4], [2, 3, 1], [2, 3, 4]])
    }
    expectError(.shape, "expected scales of float32 [2, 3, 1, 1], found float32 [1, 3, 1, 1]") {
      try LayerHarness.infer(ScaleAdd.self, [:], [[2, 3, 4, 4], [1, 3, 1, 1], [2, 3, 4, 4]])
    }
    expectError(.shape, "expected a residual of float32 [2, 3, 4, 4], found float32 [2, 3, 4, 1]") {
      try LayerHarness.infer(ScaleAdd.self, [:], [[2, 3, 4, 4], [2, 3, 1, 1], [2, 3, 4, 1]])
    }
  }

  @Test func divide() {
    var cases = pairs.map { inputs in
      var inputs = inputs
      inputs[1].range = 0.5...2
      return LayerCase([:], inputs)
    }
    cases.append(
      LayerCase(
        [:],
        [TestInput([4], .float32, [1, -1, 0, .nan]), TestInput([4], .float32, [0, 0, 0, 1])],
        expected: [NaiveTensor([4], [.infinity, -.infinity, .nan, .nan])]))
    cases.append(integers(a8, b8, .int8, [-128, 0, 63, 3, -3, -3, 3, 0]))
    LayerHarness.check(Divide.self, cases: cases, reference: fold { $0 / $1 })
  }

  @Test func maximumAndMinimum() {
    let numbers = [
      TestInput([3], .float32, [.nan, 1, -.infinity]),
      TestInput([3], .float32, [0, .nan, .infinity]),
    ]
    check(
      Maximum.self, isNary: true,
      integers: [
        LayerCase([:], [TestInput([9], .int16, in: -5...5), TestInput([1], .int16, [1])]),
        LayerCase([:], numbers, expected: [NaiveTensor([3], [.nan, .nan, .infinity])]),
      ]
    ) { max($0, $1) }
    check(
      Minimum.self, isNary: true,
      integers: [
        LayerCase([:], [TestInput([9], .uint32, in: 0...5), TestInput([1], .uint32, [1])]),
        LayerCase([:], numbers, expected: [NaiveTensor([3], [.nan, .nan, -.infinity])]),
      ]
    ) { min($0, $1) }
  }

  @Test func mean() {
    LayerHarness.check(
      Mean.self,
      cases: pairs.map { LayerCase([:], $0) } + [
        LayerCase([:], [[2, 3, 5]]), LayerCase([:], [[2, 3, 5], [5], [2, 1, 1]]),
      ]
    ) { call in
      let sum = try fold { $0 + $1 }(call)[0]
      return [sum.map { $0 / Double(call.inputs.count) }]
    }
    expectError(.shape, "expected float32 elements, found int32") {
      try LayerHarness.infer(Mean.self, [:], [TestInput([2], .int32)])
    }
  }

  @Test func modulo() {
    LayerHarness.check(
      Modulo.self,
      cases: [
        LayerCase(
          [:], [TestInput([8], .int8, a8), TestInput([8], .int8, b8)],
          expected: [NaiveTensor([8], [0, 0, 1, 1, 1, -1, -1, 0])]),
        LayerCase(
          ["fmod": true], [TestInput([8], .int8, a8), TestInput([8], .int8, b8)],
          expected: [NaiveTensor([8], [0, 0, 1, 1, -1, 1, -1, 0])]),
        LayerCase(
          [:], [TestInput([3], .uint64, [7, 8, 9]), TestInput(.scalar, .uint64, [4])],
          expected: [NaiveTensor([3], [3, 0, 1])]),
        LayerCase(
          ["fmod": true],
          [
            TestInput([4], .float32, [5.5, -5.5, 5.5, 1]), TestInput([4], .float32, [2, 2, -2, 0]),
          ],
          expected: [NaiveTensor([4], [1.5, -1.5, 1.5, .nan])]),
      ])
    expectError(.shape, "expected integer elements without fmod, found float32") {
      try LayerHarness.infer(Modulo.self, [:], [[2], [2]])
    }
  }

  @Test func power() {
    let x = TestInput([2, 3, 5], in: -2...2)
    let positive = TestInput([2, 3, 5], in: 0.1...3)
    LayerHarness.check(
      Power.self,
      cases: [
        LayerCase([:], [positive, TestInput([5], in: -2...2)]),
        LayerCase([:], [x, TestInput(.scalar, .float32, [2])]),
        LayerCase([:], [x, TestInput([1], .int64, [3])]),
        LayerCase([:], [x, TestInput([3, 1], .int32, [0, 1, -2])]),
        LayerCase([:], [positive, TestInput([1], .float32, [0.5])]),
        LayerCase([:], [[0, 2], [1]]),
        LayerCase(
          [:], [TestInput([1], .float32, [3]), TestInput([2, 2], .float32, [1, 2, 3, 4])]),
      ], reference: fold { pow($0, $1) })
    LayerHarness.check(
      Power.self,
      cases: [
        LayerCase(
          [:],
          [
            TestInput([8], .int32, [2, -2, 1, -1, -1, 0, 3, 7]),
            TestInput([8], .int64, [10, 3, -5, -5, -4, -1, 21, -1]),
          ],
          expected: [NaiveTensor([8], [1024, -8, 1, -1, 1, 0, 1_870_418_611, 0])]),
        LayerCase(
          [:],
          [TestInput([4], .int8, [2, 9, 100, -8]), TestInput([4], .float32, [0.5, 0.5, 2, 0.5])],
          expected: [NaiveTensor([4], [1, 3, 127, 0])]),
        LayerCase(
          [:], [TestInput([2], .uint8, [255, 3]), TestInput([2], .uint8, [2, 5])],
          expected: [NaiveTensor([2], [1, 243])]),
      ])
  }

  @Test(arguments: ["equal", "less", "less_or_equal", "greater", "greater_or_equal"])
  func compare(_ operation: String) {
    func row(_ inputs: [TestInput]) -> LayerCase {
      LayerCase(["operation": .string(operation)], inputs)
    }
    var cases = [
      row([TestInput([3, 4], .int64, in: 0...2), TestInput([4], .int64, in: 0...2)]),
      row([TestInput([3, 4], .uint8, in: 0...2), TestInput(.scalar, .uint8, [1])]),
      row([[3, 4], [3, 1]]),
      row([
        TestInput([3], .float32, [.nan, 0, 1]), TestInput([3], .float32, [.nan, -0.0, .infinity]),
      ]),
      row([[0], [1]]),
    ]
    if operation == "equal" {
      cases.append(row([TestInput([5], .bool), TestInput([1], .bool, [1])]))
    }
    LayerHarness.check(
      Compare.self, cases: cases,
      reference: fold { a, b in
        switch operation {
        case "equal": a == b ? 1 : 0
        case "less": a < b ? 1 : 0
        case "less_or_equal": a <= b ? 1 : 0
        case "greater": a > b ? 1 : 0
        default: a >= b ? 1 : 0
        }
      })
  }

  @Test(arguments: ["and", "or", "xor"])
  func logical(_ operation: String) {
    LayerHarness.check(
      Logical.self,
      cases: [
        LayerCase(
          ["operation": .string(operation)], [TestInput([3, 9], .bool), TestInput([9], .bool)]),
        LayerCase(
          ["operation": .string(operation)], [TestInput([9], .bool), TestInput([9], .bool)]),
      ],
      reference: fold { a, b in
        switch operation {
        case "and": a * b
        case "or": max(a, b)
        default: a == b ? 0 : 1
        }
      })
  }

  private static let functions: [(String, ClosedRange<Double>, @Sendable (Double) -> Double)] = [
    ("exp", -10...5, { exp($0) }), ("log", 0.001...100, { log($0) }),
    ("sqrt", 0...100, { $0.squareRoot() }), ("reciprocal", 0.5...4, { 1 / $0 }),
    ("abs", -3...3, { abs($0) }), ("neg", -3...3, { -$0 }),
    ("floor", -3...3, { $0.rounded(.down) }),
    ("ceil", -3...3, { $0.rounded(.up) }), ("round", -3...3, { $0.rounded(.toNearestOrEven) }),
    ("sign", -3...3, { $0 == 0 ? 0 : $0 < 0 ? -1 : 1 }), ("erf", -3...3, { erf($0) }),
    ("sin", -9...9, { sin($0) }), ("cos", -9...9, { cos($0) }), ("tan", -1...1, { tan($0) }),
    ("asin", -1...1, { asin($0) }), ("acos", -1...1, { acos($0) }), ("atan", -9...9, { atan($0) }),
    ("sinh", -3...3, { sinh($0) }), ("cosh", -3...3, { cosh($0) }),
    ("asinh", -9...9, { asinh($0) }),
    ("acosh", 1...9, { acosh($0) }), ("atanh", -0.9...0.9, { atanh($0) }),
  ]

  @Test func unary() {
    for (name, range, f) in Self.functions {
      LayerHarness.check(
        Unary.self,
        cases: [
          LayerCase(
            ["function": .string(name)], [TestInput([2, 16, 5, 3], in: range)], tolerance: 1e-6),
          LayerCase(["function": .string(name)], [TestInput([0, 3], in: range)]),
          LayerCase(["function": .string(name)], [TestInput(.scalar, in: range)], tolerance: 1e-6),
        ]
      ) { [$0.inputs[0].map(f)] }
    }
  }

  @Test func unaryEdges() {
    func row(_ function: String, _ type: ElementType, _ x: [Double], _ y: [Double]) throws
      -> LayerCase
    {
      LayerCase(
        ["function": .string(function)], [TestInput(try Shape([x.count]), type, x)],
        expected: [NaiveTensor(try Shape([y.count]), y)])
    }
    #expect(throws: Never.self) {
      LayerHarness.check(
        Unary.self,
        cases: [
          try row("round", .float32, [0.5, 1.5, 2.5, -0.5, -1.5, 2.4999998], [0, 2, 2, 0, -2, 2]),
          try row(
            "log", .float32, [0, -1, .infinity, .nan, 1e-44],
            [-.infinity, .nan, .infinity, .nan, log(Double(Float(1e-44)))]),
          try row("sqrt", .float32, [-1, 0, .infinity], [.nan, 0, .infinity]),
          try row(
            "exp", .float32, [-.infinity, .infinity, .nan, 89, -104, 88.72],
            [0, .infinity, .nan, .infinity, 0, exp(Double(Float(88.72)))]),
          try row("sign", .float32, [.nan, -.infinity, 0], [.nan, -1, 0]),
          try row("reciprocal", .float32, [0, .infinity], [.infinity, 0]),
          try row("abs", .int8, [-128, -1, 5], [-128, 1, 5]),
          try row("neg", .int16, [-32768, 3], [-32768, -3]),
          try row("neg", .uint8, [1, 0], [255, 0]),
          try row("sign", .int64, [-9, 0, 4], [-1, 0, 1]),
          try row("bitwise_not", .uint8, [0, 15], [255, 240]),
          try row("bitwise_not", .int32, [0, -1], [-1, 0]), try row("not", .bool, [0, 1], [1, 0]),
          try row("is_nan", .float32, [0, .nan, .infinity], [0, 1, 0]),
          try row("is_inf", .float32, [0, .nan, .infinity, -.infinity], [0, 0, 1, 1]),
        ])
    }
    expectError(.shape, "expected integer elements, found float32") {
      try LayerHarness.infer(Unary.self, ["function": "bitwise_not"], [[2]])
    }
    expectError(.shape, "expected bool elements, found float32") {
      try LayerHarness.infer(Unary.self, ["function": "not"], [[2]])
    }
    expectError(.shape, "expected float32 elements, found int32") {
      try LayerHarness.infer(Unary.self, ["function": "exp"], [TestInput([2], .int32)])
    }
    expectError(
      .graph,
      "expected attribute 'function' (one of exp, log, sqrt, reciprocal, abs, neg, floor, ceil, round, sign, erf, sin, cos, tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh, not, is_nan, is_inf, bitwise_not), found none"
    ) {
      try LayerHarness.infer(Unary.self, [:], [[2]])
    }
  }

  @Test func shapesAndTypesMustFit() {
    expectError(.shape, "expected shapes that broadcast, found [2, 3] and [2]") {
      try LayerHarness.infer(Add.self, [:], [[2, 3], [2]])
    }
    expectError(.shape, "expected elements of one type, found float32 and int64") {
      try LayerHarness.infer(Divide.self, [:], [[2], TestInput([2], .int64)])
    }
    expectError(.shape, "expected float32 or integer elements, found float64") {
      try LayerHarness.infer(
        Subtract.self, [:], [TestInput([2], .float64), TestInput([2], .float64)])
    }
    expectError(.shape, "expected float32 or integer elements, found bool") {
      try LayerHarness.infer(
        Compare.self, ["operation": "less"], [TestInput([2], .bool), TestInput([2], .bool)])
    }
    expectError(.shape, "expected bool elements, found uint8") {
      try LayerHarness.infer(
        Logical.self, ["operation": "or"],
        [TestInput([2], .bool), TestInput([2], .uint8, in: 0...9)])
    }
  }
}
