import Lamina
import LaminaTestSupport
import Testing

/// A convolution's attributes, as the references read them.
private struct WindowAttributes {
  var kernel: [Int]
  var strides: [Int]
  var dilations: [Int]
  var begins: [Int]
  var groups: Int

  init(_ call: NaiveCall, isTransposed: Bool = false) throws {
    var reader = AttributeReader(call.attributes)
    let rank = call.inputs[0].shape.rank - 2
    let input = Array(call.inputs[0].shape.dimensions[2...])
    let output = Array(call.outputs[0].shape.dimensions[2...])
    kernel = try reader.ints("kernel_size", count: rank)
    strides = try reader.ints("strides", count: rank, default: input.map { _ in 1 })
    dilations = try reader.ints("dilations", count: rank, default: input.map { _ in 1 })
    groups = try reader.int("groups", default: 1)
    let (kernel, strides, dilations) = (kernel, strides, dilations)
    begins = [Int](repeating: 0, count: rank)
    let outputPadding = try reader.ints("output_padding", count: rank, default: begins)
    if case .string(let name) = reader.value("padding"), name != "valid" {
      begins = (0..<rank).map { axis in
        let span = (kernel[axis] - 1) * dilations[axis] + 1
        let (short, long) = isTransposed ? (input[axis], output[axis]) : (output[axis], input[axis])
        let padding = isTransposed ? outputPadding[axis] : 0
        let total = max(0, (short - 1) * strides[axis] + span + padding - long)
        return name == "same_upper" ? total / 2 : total - total / 2
      }
    } else if call.attributes["padding"] != "valid" {
      let none = [Int](repeating: 0, count: 2 * rank)
      begins = Array(try reader.ints("padding", count: 2 * rank, default: none)[..<rank])
    }
  }
}

private func convolve(_ call: NaiveCall) throws -> [NaiveTensor] {
  let window = try WindowAttributes(call)
  var reader = AttributeReader(call.attributes)
  let (input, weight) = (call.inputs[0], call.parameters[0])
  let bias = call.parameters.count > 1 ? call.parameters[1] : nil
  let shape = call.outputs[0].shape
  let filters = shape[1] / window.groups
  let channels = weight.shape[1]
  let taps = try Shape(window.kernel).indices
  let activation = try reader.string("activation", default: "none")
  let low = activation == "relu" ? 0 : try reader.float("activation_min", default: -.infinity)
  let high =
    activation == "relu" ? .infinity : try reader.float("activation_max", default: .infinity)
  return [
    NaiveTensor(shape) { index in
      var sum = bias?[index[1]] ?? 0
      if call.inputs.count > 1 { sum += call.inputs[1][index] }
      for channel in 0..<channels {
        for tap in taps {
          let place = tap.indices.map { axis in
            index[2 + axis] * window.strides[axis] - window.begins[axis]
              + tap[axis] * window.dilations[axis]
          }
          let from = [index[0], index[1] / filters * channels + channel] + place
          sum += weight[[index[1], channel] + tap] * input.value(at: from)
        }
      }
      return activation == "none" ? sum : min(max(sum, Double(low)), Double(high))
    }
  ]
}

private func convolveTransposed(_ call: NaiveCall) throws -> [NaiveTensor] {
  let window = try WindowAttributes(call, isTransposed: true)
  let (input, weight) = (call.inputs[0], call.parameters[0])
  let shape = call.outputs[0].shape
  let (filters, channels) = (weight.shape[1], input.shape[1] / window.groups)
  var result = NaiveTensor(shape) { call.parameters.count > 1 ? call.parameters[1][$0[1]] : 0 }
  let taps = try Shape(window.kernel).indices
  for from in input.shape.indices {
    for filter in 0..<filters {
      for tap in taps {
        let place = tap.indices.map { axis in
          from[2 + axis] * window.strides[axis] - window.begins[axis]
            + tap[axis] * window.dilations[axis]
        }
        guard zip(place, shape.dimensions[2...]).allSatisfy({ $0 >= 0 && $0 < $1 }) else {
          continue
        }
        let target = [from[0], from[1] / channels * filters + filter] + place
        result[target] += weight[[from[1], filter] + tap] * input[from]
      }
    }
  }
  return [result]
}

@Suite struct Conv2DTests {
  @Test func matchesTheDefinition() {
    LayerHarness.check(
      Conv2D.self,
      cases: [
        LayerCase(["out_channels": 5, "kernel_size": 1], [[2, 3, 4, 7]]),
        LayerCase(["out_channels": 20, "kernel_size": 1, "bias": false], [[1, 17, 7, 7]]),
        LayerCase(["out_channels": 4, "kernel_size": 3, "padding": 1], [[1, 3, 8, 8]]),
        LayerCase(
          [
            "out_channels": 4, "kernel_size": [3, 2], "strides": [2, 3], "padding": [0, 1, 2, 3],
          ],
          [[2, 3, 9, 10]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": 3, "dilations": [2, 3], "padding": [2, 3, 1, 0]],
          [[1, 2, 9, 10]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": [4, 3], "strides": 2, "padding": "same_upper"],
          [[1, 2, 9, 10]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": [4, 3], "strides": 2, "padding": "same_lower"],
          [[1, 2, 9, 10]]),
        LayerCase(["out_channels": 4, "kernel_size": 3, "padding": "valid"], [[1, 2, 9, 10]]),
        LayerCase(["out_channels": 6, "kernel_size": 3, "groups": 2], [[2, 4, 5, 6]]),
        LayerCase(
          ["out_channels": 8, "kernel_size": 3, "groups": 4, "padding": 1], [[2, 4, 5, 6]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": 5, "groups": 4, "padding": 2, "strides": 2],
          [[1, 4, 11, 13]]),
        LayerCase(["out_channels": 3, "kernel_size": 3, "padding": 1], [[0, 2, 5, 5]]),
        LayerCase(["out_channels": 3, "kernel_size": 3, "padding": 2], [[1, 2, 0, 5]]),
      ], reference: convolve)
  }

  @Test func fastAlgorithmsStayClose() {
    LayerHarness.check(
      Conv2D.self,
      cases: [
        LayerCase(
          ["out_channels": 20, "kernel_size": 3, "padding": 1, "activation": "relu"],
          [[1, 18, 14, 15]], preparedTolerance: 4e-5, gradientStep: 0x1p-12)
      ], reference: convolve)
  }

  @Test func sumsAndActivationsInTheEpilogue() {
    LayerHarness.check(
      Conv2D.self,
      cases: [
        LayerCase(
          ["out_channels": 4, "kernel_size": 3, "padding": 1, "activation": "relu"], [[1, 3, 8, 8]]),
        LayerCase(
          [
            "out_channels": 4, "kernel_size": 3, "padding": 1, "activation": "clip",
            "activation_min": -0.5, "activation_max": 0.5,
          ], [[1, 3, 8, 8]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": 1, "residual": true, "activation": "relu"],
          [[2, 3, 5, 5], [2, 4, 5, 5]]),
        LayerCase(
          ["out_channels": 3, "kernel_size": 3, "groups": 3, "residual": true],
          [[2, 3, 5, 5], [2, 3, 3, 3]]),
      ], reference: convolve)
  }

  @Test func wrongAttributesAreRefused() {
    func expect(_ message: String, _ changes: Attributes) {
      var attributes: Attributes = ["out_channels": 4, "kernel_size": 3]
      for name in changes.names { attributes[name] = changes[name] }
      expectError(.graph, message) {
        try LayerHarness.infer(Conv2D.self, attributes, [[1, 2, 8, 8]])
      }
    }
    expect("expected attribute 'strides' in 1...65535, found 0", ["strides": 0])
    expect("expected attribute 'strides' in 1...65535, found -2", ["strides": [1, -2]])
    expect(
      "expected attribute 'dilations' in 1...65535, found 2147483648", ["dilations": 2_147_483_648])
    expect("expected 2 integers in attribute 'dilations', found 3", ["dilations": [1, 1, 1]])
    expect("expected 2 integers in attribute 'kernel_size', found 1", ["kernel_size": [3]])
    expect("expected attribute 'kernel_size' in 1...65535, found 0", ["kernel_size": 0])
    expect("expected attribute 'padding' in 0...65535, found -1", ["padding": [0, -1, 0, 0]])
    expect("expected 4 integers in attribute 'padding', found 2", ["padding": [1, 1]])
    expect(
      "expected attribute 'padding' to be one of same_upper, same_lower, valid, found 'same'",
      ["padding": "same"])
    expect("expected attribute 'groups' in 1...2147483647, found 0", ["groups": 0])
    expect("expected 'out_channels' divisible by 3 groups, found 4", ["groups": 3])
    expect("expected attribute 'out_channels' in 1...2147483647, found 0", ["out_channels": 0])
  }

  @Test func wrongInputsAreRefused() {
    func expect(_ message: String, _ changes: Attributes, _ inputs: [TestInput]) {
      var attributes: Attributes = ["out_channels": 4, "kernel_size": 3]
      for name in changes.names { attributes[name] = changes[name] }
      expectError(.shape, message) { try LayerHarness.infer(Conv2D.self, attributes, inputs) }
    }
    expect("expected 4 axes, found [1, 2, 8]", [:], [[1, 2, 8]])
    expect("expected float32, found int32", [:], [TestInput([1, 2, 8, 8], .int32)])
    expect("expected at least 1 channel, found [1, 0, 8, 8]", [:], [[1, 0, 8, 8]])
    expect("expected channels divisible by 2 groups, found 3", ["groups": 2], [[1, 3, 8, 8]])
    expect("expected a padded input of at least [3, 3], found [3, 2]", [:], [[1, 2, 3, 2]])
    expect(
      "expected a padded input of at least [131069, 131069], found [8, 8]",
      ["dilations": 65534], [[1, 2, 8, 8]])
    expect(
      "expected at most 2^40 elements, found [1, 2147483647, 131072, 131072]",
      ["out_channels": 2_147_483_647, "kernel_size": 1, "padding": 65535], [[1, 1, 2, 2]])
    expect(
      "expected a residual of float32 [1, 4, 6, 6], found float32 [1, 4, 6, 5]",
      ["residual": true], [[1, 2, 8, 8], [1, 4, 6, 5]])
  }

  @Test func aResidualNeedsASecondInput() {
    expectError(.graph, "expected 2 inputs, found 1") {
      try LayerHarness.infer(
        Conv2D.self, ["out_channels": 4, "kernel_size": 3, "residual": true], [[1, 2, 8, 8]])
    }
    expectError(.graph, "expected 1 inputs, found 2") {
      try LayerHarness.infer(
        Conv2D.self, ["out_channels": 4, "kernel_size": 3], [[1, 2, 8, 8], [1, 4, 6, 6]])
    }
  }
}

@Suite struct ConvTests {
  @Test func matchesTheDefinition() {
    LayerHarness.check(
      Conv.self,
      cases: [
        LayerCase(["out_channels": 5, "kernel_size": [3]], [[2, 3, 14]]),
        LayerCase(
          [
            "out_channels": 6, "kernel_size": [3], "strides": [2], "dilations": [2], "groups": 3,
            "padding": [1, 2],
          ], [[2, 3, 14]]),
        LayerCase(["out_channels": 5, "kernel_size": [4], "padding": "same_lower"], [[2, 3, 14]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": [3, 3], "padding": [1, 1, 1, 1]], [[1, 3, 6, 6]]),
        LayerCase(["out_channels": 4, "kernel_size": [2, 3, 3]], [[2, 3, 4, 5, 6]]),
        LayerCase(
          [
            "out_channels": 4, "kernel_size": [3, 2, 3], "strides": [2, 1, 2],
            "dilations": [1, 2, 1], "padding": [2, 0, 1, 1, 1, 0], "groups": 2, "bias": false,
          ], [[2, 4, 5, 6, 7]]),
        LayerCase(
          ["out_channels": 3, "kernel_size": [3, 3, 3], "groups": 3, "padding": "same_upper"],
          [[1, 3, 4, 4, 4]]),
      ], reference: convolve)
  }

  @Test func wrongUseIsRefused() {
    expectError(.graph, "expected 1 to 3 integers in attribute 'kernel_size', found 4") {
      try LayerHarness.infer(
        Conv.self, ["out_channels": 1, "kernel_size": [1, 1, 1, 1]], [[1, 1, 1, 1]])
    }
    expectError(.shape, "expected 3 axes, found [1, 2, 8, 8]") {
      try LayerHarness.infer(Conv.self, ["out_channels": 1, "kernel_size": [3]], [[1, 2, 8, 8]])
    }
    expectError(.shape, "expected a padded input of at least [3], found [2]") {
      try LayerHarness.infer(Conv.self, ["out_channels": 1, "kernel_size": [3]], [[1, 2, 2]])
    }
  }
}

@Suite struct ConvTransposeTests {
  @Test func matchesTheDefinition() {
    LayerHarness.check(
      ConvTranspose.self,
      cases: [
        LayerCase(["out_channels": 3, "kernel_size": [3]], [[2, 4, 6]]),
        LayerCase(["out_channels": 3, "kernel_size": [3, 3]], [[1, 2, 3, 4]]),
        LayerCase(
          ["out_channels": 4, "kernel_size": [3, 2], "strides": [3, 2], "groups": 2],
          [[2, 4, 3, 4]]),
        LayerCase(
          [
            "out_channels": 2, "kernel_size": [3, 3], "strides": [2, 2], "padding": [1, 0, 1, 2],
            "output_padding": [1, 1], "bias": false,
          ], [[1, 3, 3, 4]]),
        LayerCase(
          ["out_channels": 2, "kernel_size": [2, 2], "dilations": [2, 3]], [[1, 1, 3, 3]]),
        LayerCase(
          ["out_channels": 2, "kernel_size": [3, 3], "strides": [2, 2], "padding": "same_upper"],
          [[1, 1, 3, 3]]),
        LayerCase(
          ["out_channels": 2, "kernel_size": [3, 3], "strides": [2, 2], "padding": "same_lower"],
          [[1, 1, 3, 3]]),
        LayerCase(
          ["out_channels": 2, "kernel_size": [3, 3, 2], "strides": [1, 2, 2]], [[1, 2, 2, 3, 3]]),
      ], reference: convolveTransposed)
  }

  @Test func outputShapesBeyondTheNaturalOneEndInZeros() throws {
    let attributes: Attributes = [
      "out_channels": 1, "kernel_size": [3], "strides": [2], "output_shape": [9], "bias": false,
    ]
    LayerHarness.check(
      ConvTranspose.self,
      cases: [
        LayerCase(
          attributes, [TestInput([1, 1, 3], .float32, [1, 2, 3])],
          parameters: ["weight": [1, 1, 1]],
          expected: [NaiveTensor([1, 1, 9], [1, 1, 3, 2, 5, 3, 3, 0, 0])])
      ])
  }

  @Test func wrongUseIsRefused() {
    expectError(.shape, "expected an output of at least 1 position, found [-1]") {
      try LayerHarness.infer(
        ConvTranspose.self, ["out_channels": 1, "kernel_size": [3], "padding": [2, 2]], [[1, 1, 1]])
    }
    expectError(.shape, "expected channels divisible by 2 groups, found 3") {
      try LayerHarness.infer(
        ConvTranspose.self, ["out_channels": 2, "kernel_size": [3], "groups": 2], [[1, 3, 5]])
    }
    expectError(.graph, "expected attribute 'output_padding' in 0...65535, found -1") {
      try LayerHarness.infer(
        ConvTranspose.self, ["out_channels": 2, "kernel_size": [3], "output_padding": -1],
        [[1, 3, 5]])
    }
    expectError(.graph, "expected 1 integers in attribute 'output_shape', found 2") {
      try LayerHarness.infer(
        ConvTranspose.self, ["out_channels": 2, "kernel_size": [3], "output_shape": [4, 4]],
        [[1, 3, 5]])
    }
  }
}

/// op(a) · op(b) of matrices.
private func product(
  _ a: NaiveTensor, _ b: NaiveTensor, _ transposeA: Bool = false, _ transposeB: Bool = false
) throws -> NaiveTensor {
  let (m, k) = transposeA ? (a.shape[1], a.shape[0]) : (a.shape[0], a.shape[1])
  let n = b.shape[transposeB ? 0 : 1]
  return NaiveTensor(try Shape([m, n])) { index in
    (0..<k).reduce(0) { sum, l in
      sum + (transposeA ? a[l, index[0]] : a[index[0], l])
        * (transposeB ? b[index[1], l] : b[l, index[1]])
    }
  }
}

@Suite struct DenseTests {
  @Test func matchesTheDefinition() {
    LayerHarness.check(
      Dense.self,
      cases: [
        LayerCase(["out_features": 10], [[1, 40]]),
        LayerCase(["out_features": 33, "bias": false], [[5, 17]]),
        LayerCase(["out_features": 3], [[7]]),
        LayerCase(["out_features": 3], [[2, 3, 4, 5]]),
        LayerCase(["out_features": 40], [[37, 70]]),
        LayerCase(["out_features": 1], [[6, 9]]),
        LayerCase(["out_features": 3], [[0, 5]]),
        LayerCase(["out_features": 3], [[2, 0]]),
      ]
    ) { call in
      let (input, weight) = (call.inputs[0], call.parameters[0])
      let features = weight.shape[1]
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          let output = index[index.count - 1]
          let start = call.parameters.count > 1 ? call.parameters[1][output] : 0
          return (0..<features).reduce(start) {
            $0 + input[index.dropLast() + [$1]] * weight[output, $1]
          }
        }
      ]
    }
  }

  @Test func wrongUseIsRefused() {
    expectError(.shape, "expected at least 1 axis, found a scalar") {
      try LayerHarness.infer(Dense.self, ["out_features": 3], [[]])
    }
    expectError(.shape, "expected float32, found int64") {
      try LayerHarness.infer(Dense.self, ["out_features": 3], [TestInput([4], .int64)])
    }
    expectError(.graph, "expected attribute 'out_features' in 1...2147483647, found 0") {
      try LayerHarness.infer(Dense.self, ["out_features": 0], [[4]])
    }
  }
}

@Suite struct GemmTests {
  @Test func matchesTheDefinition() {
    var cases: [LayerCase] = []
    for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
      let a: TestInput = transposeA ? [7, 5] : [5, 7]
      for isKnown in [false, true] {
        var b: TestInput = transposeB ? [9, 7] : [7, 9]
        if isKnown {
          b = TestInput(b.shape, .float32, (0..<63).map { Double($0 % 11) / 11 }, known: true)
        }
        let attributes: Attributes = [
          "alpha": 0.5, "beta": 2, "transpose_a": .bool(transposeA),
          "transpose_b": .bool(transposeB),
        ]
        cases.append(LayerCase(attributes, [a, b]))
        for c in [[], [9], [1], [1, 9], [5, 1], [5, 9]] as [TestInput] {
          cases.append(LayerCase(attributes, [a, b, c]))
        }
      }
    }
    LayerHarness.check(Gemm.self, cases: cases) { call in
      var reader = AttributeReader(call.attributes)
      let result = try product(
        call.inputs[0], call.inputs[1], try reader.bool("transpose_a"),
        try reader.bool("transpose_b"))
      return [
        NaiveTensor(result.shape) { index in
          let c = call.inputs.count > 2 ? call.inputs[2].broadcast(at: index) : 0
          return 0.5 * result[index] + 2 * c
        }
      ]
    }
  }

  @Test func wrongUseIsRefused() {
    expectError(.shape, "expected equal inner extents, found 7 and 9") {
      try LayerHarness.infer(Gemm.self, [:], [[5, 7], [9, 7]])
    }
    expectError(.shape, "expected 2 matrices, found [5, 7, 1] and [7, 9]") {
      try LayerHarness.infer(Gemm.self, [:], [[5, 7, 1], [7, 9]])
    }
    expectError(.shape, "expected a third input that broadcasts to [5, 9], found [5]") {
      try LayerHarness.infer(Gemm.self, [:], [[5, 7], [7, 9], [5]])
    }
    expectError(.shape, "expected float32, found int32") {
      try LayerHarness.infer(Gemm.self, [:], [TestInput([5, 7], .int32), [7, 9]])
    }
  }
}

@Suite struct MatMulTests {
  private static let known = TestInput(
    [4, 6], .float32, (0..<24).map { Double($0) / 24 }, known: true)

  @Test func matchesTheDefinition() {
    LayerHarness.check(
      MatMul.self,
      cases: [
        LayerCase([:], [[3, 4], [4, 6]]),
        LayerCase([:], [[3, 4], Self.known]),
        LayerCase([:], [[2, 3, 4], Self.known]),
        LayerCase([:], [[4], Self.known]),
        LayerCase([:], [[4], [4]]),
        LayerCase([:], [[3, 4], [4]]),
        LayerCase([:], [[4], [2, 4, 6]]),
        LayerCase([:], [[2, 3, 4], [4, 6]]),
        LayerCase([:], [[2, 3, 4], [2, 4, 6]]),
        LayerCase([:], [[3, 4], [5, 4, 6]]),
        LayerCase([:], [[2, 1, 3, 4], [5, 4, 6]]),
        LayerCase([:], [[0, 4], [4, 6]]),
        LayerCase([:], [[3, 0], [0, 6]]),
        LayerCase(
          [:], [TestInput([3, 4], .int32, in: -9...9), TestInput([4, 6], .int32, in: -9...9)]),
        LayerCase(
          [:], [TestInput([2, 3, 4], .int64, in: -9...9), TestInput([4], .int64, in: -9...9)]),
        LayerCase(
          [:], [TestInput([3, 4], .uint8, in: 0...7), TestInput([4, 6], .uint8, in: 0...7)]),
        LayerCase([:], [TestInput([3, 4], .float64), TestInput([4, 6], .float64)]),
      ]
    ) { call in
      let (a, b) = (call.inputs[0], call.inputs[1])
      let depth = a.shape[a.shape.rank - 1]
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          var rest = index
          let column = b.shape.rank > 1 ? [rest.removeLast()] : []
          let row = a.shape.rank > 1 ? [rest.removeLast()] : []
          return (0..<depth).reduce(0) { sum, l in
            sum + a.broadcast(at: rest + row + [l]) * b.broadcast(at: rest + [l] + column)
          }
        }
      ]
    }
  }

  @Test func wrongUseIsRefused() {
    expectError(.shape, "expected equal inner extents, found 4 and 5") {
      try LayerHarness.infer(MatMul.self, [:], [[3, 4], [5, 6]])
    }
    expectError(.shape, "expected shapes that broadcast, found [2] and [3]") {
      try LayerHarness.infer(MatMul.self, [:], [[2, 3, 4], [3, 4, 6]])
    }
    expectError(.shape, "expected at least 1 axis, found [] and [4]") {
      try LayerHarness.infer(MatMul.self, [:], [[], [4]])
    }
    expectError(.shape, "expected equal element types, found float32 and int32") {
      try LayerHarness.infer(MatMul.self, [:], [[3, 4], TestInput([4, 6], .int32)])
    }
    expectError(.shape, "expected float32, float64 or integers, found bool") {
      try LayerHarness.infer(
        MatMul.self, [:], [TestInput([3, 4], .bool), TestInput([4, 6], .bool)])
    }
  }
}
