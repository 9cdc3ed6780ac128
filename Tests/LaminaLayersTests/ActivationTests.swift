import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Numbers at which activations bend, saturate or break.
private let special: [Double] = [
  0, -0.0, 0.5, -0.5, 1, -1, 3, -3, 3.0625, -3.125, 20, -20, 88, -88, 100, -100, 1e-30, -1e-30,
  .infinity, -.infinity, .nan,
]

/// Checks y = f(x) on maps, odd lengths, nothing at all and special numbers; at ±∞ where f says so.
private func check<L: Layer>(
  _ type: L.Type, _ attributes: [Attributes] = [[:]], tolerance: Double = 1e-6,
  sourceLocation: SourceLocation = #_sourceLocation,
  _ f: @escaping @Sendable (Double, (String, Double) -> Double) -> Double
) {
  let inputs: [TestInput] = [
    TestInput([2, 3, 5, 7], in: -5...5), TestInput([1, 16, 9, 5], in: -2...2),
    TestInput([0, 3, 2, 2]), TestInput([33], in: -12...12), TestInput(.scalar, .float32, [-1.5]),
    TestInput([21], .float32, special),
  ]
  LayerHarness.check(
    type,
    cases: attributes.flatMap { attributes in
      inputs.map { LayerCase(attributes, [$0], tolerance: tolerance) }
    },
    reference: { call in
      func attribute(_ name: String, _ fallback: Double) -> Double {
        if case .float(let value) = call.attributes[name] { return value }
        return fallback
      }
      return [call.inputs[0].map { f($0, attribute) }]
    }, sourceLocation: sourceLocation)
}

@Suite struct ActivationTests {
  @Test func relu() {
    check(ReLU.self) { x, _ in x.isNaN ? x : max(x, 0) }
    LayerHarness.check(
      ReLU.self,
      cases: [
        LayerCase(
          [:], [TestInput([4], .int8, [-128, -1, 0, 127])],
          expected: [NaiveTensor([4], [0, 0, 0, 127])]),
        LayerCase(
          [:], [TestInput([2], .uint64, [0, 9])], expected: [NaiveTensor([2], [0, 9])]),
      ])
  }

  @Test func clip() {
    check(Clip.self, [[:], ["min": -1.0], ["min": -2.0, "max": 1.5], ["min": 2.0, "max": -1.0]]) {
      x, attribute in
      let lower = attribute("min", -.infinity)
      let upper = attribute("max", .infinity)
      return x.isNaN ? x : min(max(x, lower), upper)
    }
    let x = TestInput([5], .float32, [-3, -1, 0, 1, 3])
    let integers = TestInput([5], .int32, [-3, -1, 0, 1, 3])
    LayerHarness.check(
      Clip.self,
      cases: [
        LayerCase(
          [:], [x, TestInput(.scalar, .float32, [-1]), TestInput([1], .float32, [2])],
          expected: [NaiveTensor([5], [-1, -1, 0, 1, 2])]),
        LayerCase(
          ["max": 1], [x, TestInput(.scalar, .float32, [-2])],
          expected: [NaiveTensor([5], [-2, -1, 0, 1, 1])]),
        LayerCase(
          ["min": -1.5, "max": 1e30], [integers],
          expected: [NaiveTensor([5], [-1, -1, 0, 1, 3])]),
        LayerCase(
          [:], [integers, TestInput(.scalar, .int32, [1]), TestInput(.scalar, .int32, [0])],
          expected: [NaiveTensor([5], [0, 0, 0, 0, 0])]),
      ])
    expectError(.shape, "expected 'min' to be one float32 number, found float32 [2]") {
      try LayerHarness.infer(Clip.self, [:], [[3], [2]])
    }
    expectError(.shape, "expected 'max' to be one float32 number, found int32 []") {
      try LayerHarness.infer(
        Clip.self, [:], [[3], TestInput(.scalar, .float32, [0]), TestInput(.scalar, .int32, [0])])
    }
  }

  @Test func leakyReLU() {
    check(LeakyReLU.self, [[:], ["alpha": 0.2], ["alpha": 1.5]]) { x, attribute in
      x < 0 ? attribute("alpha", 0.01) * x : x
    }
  }

  @Test func scale() {
    check(Scale.self, [["factor": 0.17], ["factor": -2.5]]) { x, attribute in
      attribute("factor", 0) * x
    }
  }

  @Test func elu() {
    check(ELU.self, [[:], ["alpha": 0.7]]) { x, attribute in
      x < 0 ? attribute("alpha", 1) * expm1(x) : x
    }
  }

  @Test func celu() {
    check(CELU.self, [[:], ["alpha": 2.5]]) { x, attribute in
      let alpha = attribute("alpha", 1)
      return x < 0 ? alpha * expm1(x / alpha) : x
    }
  }

  @Test func selu() {
    check(SELU.self, [[:], ["alpha": 1.5, "gamma": 2.0]]) { x, attribute in
      attribute("gamma", 1.05070102) * (x > 0 ? x : attribute("alpha", 1.67326319) * expm1(x))
    }
  }

  @Test func sigmoid() { check(Sigmoid.self) { x, _ in 1 / (1 + exp(-x)) } }

  @Test func hyperbolicTangent() {
    check(Tanh.self) { x, _ in tanh(x) }
    check(ScaledTanh.self, [[:], ["amplitude": 2.0, "slope": 0.5]]) { x, attribute in
      attribute("amplitude", 1.7159) * tanh(attribute("slope", 2.0 / 3) * x)
    }
  }

  @Test func softplus() { check(Softplus.self) { x, _ in x > 50 ? x : log1p(exp(x)) } }

  @Test func softsign() { check(Softsign.self) { x, _ in x / (1 + abs(x)) } }

  @Test func hardSigmoid() {
    check(HardSigmoid.self, [[:], ["alpha": 0.1666666716, "beta": 0.4]]) { x, attribute in
      x.isNaN ? x : max(0, min(1, attribute("alpha", 0.2) * x + attribute("beta", 0.5)))
    }
  }

  @Test func hardSwish() {
    check(HardSwish.self) { x, _ in x.isNaN ? x : x * max(0, min(1, x / 6 + 0.5)) }
  }

  @Test func mish() { check(Mish.self) { x, _ in x * tanh(x > 50 ? x : log1p(exp(x))) } }

  @Test func gelu() {
    check(GELU.self) { x, _ in 0.5 * x * (1 + erf(x / 2.squareRoot())) }
    check(GELU.self, [["approximate": "tanh"]]) { x, _ in
      0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
    expectError(.graph, "expected attribute 'approximate' to be one of none, tanh, found 'erf'") {
      try LayerHarness.infer(GELU.self, ["approximate": "erf"], [[1]])
    }
  }

  @Test func swish() {
    check(Swish.self, [[:], ["alpha": 1.7]]) { x, attribute in
      x / (1 + exp(-attribute("alpha", 1) * x))
    }
  }

  @Test func thresholdedReLU() {
    check(ThresholdedReLU.self, [[:], ["alpha": -0.5]]) { x, attribute in
      x <= attribute("alpha", 1) ? 0 : x
    }
  }

  @Test func shrink() {
    check(Shrink.self, [[:], ["bias": 0.25, "lambd": 1.5]]) { x, attribute in
      let (bias, lambd) = (attribute("bias", 0), attribute("lambd", 0.5))
      return x < -lambd ? x + bias : x > lambd ? x - bias : x * 0
    }
  }

  @Test func prelu() {
    let reference: NaiveReference = { call in
      let x = call.inputs[0]
      let slopes = call.inputs.count == 2 ? call.inputs[1] : call.parameters[0]
      return [
        NaiveTensor(x.shape) { index in
          let slope =
            call.inputs.count == 2
            ? slopes.broadcast(at: index)
            : slopes.elements[slopes.shape.count == 1 ? 0 : index[1]]
          return x[index] < 0 ? slope * x[index] : x[index]
        }
      ]
    }
    LayerHarness.check(
      PReLU.self,
      cases: [
        LayerCase([:], [[2, 3, 5, 7]]), LayerCase([:], [[2, 17]]), LayerCase([:], [[0, 3, 4]]),
        LayerCase(["shared": true], [[2, 3, 5]]), LayerCase(["shared": true], [[9]]),
        LayerCase([:], [[2, 3, 4, 5], [3, 1, 1]]), LayerCase([:], [[2, 3, 4, 5], [5]]),
        LayerCase([:], [[2, 3], [2, 3]]), LayerCase([:], [[2, 3], TestInput(.scalar)]),
      ], reference: reference)
    expectError(.shape, "expected at least 2 axes, found [3]") {
      try LayerHarness.infer(PReLU.self, [:], [[3]])
    }
    expectError(.shape, "expected a slope that broadcasts to [3, 1], found [4]") {
      try LayerHarness.infer(PReLU.self, [:], [[3, 1], [4]])
    }
  }

  @Test(arguments: [
    LayerDefinition(Sigmoid.self, provider: "test"), LayerDefinition(PReLU.self, provider: "test"),
    LayerDefinition(HardSwish.self, provider: "test"),
  ])
  func floatsOnly(_ definition: LayerDefinition) {
    expectError(.shape, "expected float32 elements, found int64") {
      var reader = AttributeReader([:])
      return try definition.make(&reader).outputs(for: [TensorSpec([1, 2], .int64)])
    }
  }

  @Test func numbersOnly() {
    expectError(.shape, "expected float32 or integer elements, found bool") {
      try LayerHarness.infer(ReLU.self, [:], [TestInput([2], .bool)])
    }
  }
}
