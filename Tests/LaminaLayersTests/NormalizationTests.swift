import Foundation
import Lamina
import LaminaTestSupport
import Testing

private func number(_ call: NaiveCall, _ name: String, _ fallback: Double) -> Double {
  switch call.attributes[name] {
  case .float(let value): value
  case .int(let value): Double(value)
  default: fallback
  }
}

/// (x − μ)/√(σ² + ε) over the elements that share a key, with μ and 1/√(σ² + ε) by key.
private func normalize(
  _ x: NaiveTensor, epsilon: Double, key: ([Int]) -> [Int]
) -> (y: NaiveTensor, statistics: [[Int]: (mean: Double, inverse: Double)]) {
  let groups = Dictionary(grouping: x.shape.indices, by: key)
  let statistics = groups.mapValues { indices in
    let values = indices.map { x[$0] }
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
    return (mean: mean, inverse: 1 / (variance + epsilon).squareRoot())
  }
  let y = NaiveTensor(x.shape) { index in
    guard let (mean, inverse) = statistics[key(index)] else { return .nan }
    return (x[index] - mean) * inverse
  }
  return (y, statistics)
}

private let maps: [TestInput] = [
  [2, 6, 5, 7], TestInput([1, 32, 8, 9], in: 3...5), [3, 4, 11], [2, 6], [1, 2, 3, 4, 5],
  [0, 6, 2, 2],
]

@Suite struct NormalizationTests {
  @Test func batchNorm() {
    let attributes: [Attributes] = [
      [:], ["epsilon": 1e-3, "momentum": 0.01], ["scale": false], ["center": false],
      ["scale": false, "center": false],
    ]
    LayerHarness.check(
      BatchNorm.self,
      cases: attributes.flatMap { attributes in
        maps.map { LayerCase(attributes, [$0], ranges: ["running_var": 0.25...4]) }
      }
    ) { call in
      let x = call.inputs[0]
      let epsilon = number(call, "epsilon", 1e-5)
      var parameters = call.parameters[...]
      let weight = call.attributes["scale"] == false ? nil : parameters.popFirst()
      let bias = call.attributes["center"] == false ? nil : parameters.popFirst()
      let statistics = Array(parameters)
      return [
        NaiveTensor(x.shape) { index in
          let c = index[1]
          let centred = x[index] - statistics[0][c]
          let scaled = centred / (statistics[1][c] + epsilon).squareRoot()
          return scaled * (weight?[c] ?? 1) + (bias?[c] ?? 0)
        }
      ]
    }
  }

  /// Outputs, gradients and running statistics of a training step against the formulas in double.
  @Test(arguments: [true, false]) func batchNormTraining(unbiased: Bool) throws {
    var reader = AttributeReader(["momentum": 0.25, "epsilon": 1e-3, "unbiased": .bool(unbiased)])
    let layer = try BatchNorm(attributes: &reader)
    let x = try Tensor(random: [4, 3, 5, 7], in: -1...3, seed: 1)
    let dy = try Tensor(random: [4, 3, 5, 7], seed: 2)
    let parameters = try [
      Tensor(random: [3], seed: 3), Tensor(random: [3], seed: 4), Tensor(random: [3], seed: 5),
      Tensor(random: [3], in: 1...2, seed: 6),
    ]
    let (y, dx) = (try Tensor(zeros: x.shape), try Tensor(zeros: x.shape))
    let (dweight, dbias) = (try Tensor(zeros: [3]), try Tensor(zeros: [3]))
    let updates = try [Tensor(zeros: [3]), Tensor(zeros: [3])]
    let specs = [x.spec]
    func memory(_ byteCount: Int) throws -> (AlignedBuffer, UnsafeMutableRawBufferPointer) {
      let buffer = try AlignedBuffer(byteCount: byteCount)
      return (buffer, UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: byteCount))
    }
    let saved = try memory(layer.savedBytes(for: specs))
    let scratch = try memory(layer.scratchBytes(for: specs, threads: 2))
    let pool = ThreadPool(threads: 2)
    func view(_ tensor: Tensor) -> MutableTensorView {
      MutableTensorView(
        tensor.shape, .float32, UnsafeMutableRawPointer(mutating: tensor.view.baseAddress))
    }
    try withExtendedLifetime((saved, scratch)) {
      try layer.forward(
        ForwardCall(
          inputs: [x.view], parameters: parameters.map(\.view), outputs: [view(y)],
          scratch: scratch.1, pool: pool, isTraining: true, saved: saved.1,
          bufferUpdates: [nil, nil] + updates.map(view)))
      try layer.backward(
        BackwardCall(
          outputGradients: [dy.view], inputs: [x.view], outputs: [nil],
          parameters: parameters.map(\.view), inputGradients: [view(dx)],
          parameterGradients: [view(dweight), view(dbias), nil, nil], saved: saved.1,
          scratch: scratch.1, pool: pool))
    }
    let (normalized, statistics) = normalize(x.naive, epsilon: 1e-3) { [$0[1]] }
    let p = parameters.map(\.naive)
    let count = 4.0 * 5 * 7
    var (sums, products) = ([0.0, 0, 0], [0.0, 0, 0])
    for index in x.shape.indices {
      sums[index[1]] += dy.naive[index]
      products[index[1]] += dy.naive[index] * normalized[index]
    }
    func expectEqual(_ found: Tensor, _ name: String, _ want: ([Int]) -> Double) {
      let want = NaiveTensor(found.shape, want)
      let worst = largestDifference(found.naive.elements, want.elements)
      #expect(worst.value <= 1e-5, "\(name) at \(worst.index)")
    }
    expectEqual(y, "y") { normalized[$0] * p[0][$0[1]] + p[1][$0[1]] }
    expectEqual(dweight, "dweight") { products[$0[0]] }
    expectEqual(dbias, "dbias") { sums[$0[0]] }
    let (dyValues, found) = (dy.naive, statistics)
    expectEqual(dx, "dx") { index in
      let c = index[1]
      let centred = dyValues[index] - sums[c] / count - normalized[index] * products[c] / count
      return p[0][c] * (found[[c]]?.inverse ?? .nan) * centred
    }
    expectEqual(updates[0], "mean") {
      0.75 * p[2][$0[0]] + 0.25 * (statistics[[$0[0]]]?.mean ?? .nan)
    }
    expectEqual(updates[1], "variance") {
      let inverse = statistics[[$0[0]]]?.inverse ?? .nan
      let variance = (1 / (inverse * inverse) - 1e-3) * (unbiased ? count / (count - 1) : 1)
      return 0.75 * p[3][$0[0]] + 0.25 * variance
    }
  }

  @Test func batchNormParameters() throws {
    var reader = AttributeReader([:])
    let parameters = try BatchNorm(attributes: &reader).parameters(for: [TensorSpec([2, 7, 4, 4])])
    #expect(parameters.map(\.name) == ["weight", "bias", "running_mean", "running_var"])
    #expect(parameters.map(\.role) == [.weight, .weight, .buffer, .buffer])
    #expect(parameters.map(\.initializer) == [.ones, .zeros, .zeros, .ones])
    #expect(parameters.allSatisfy { $0.spec == TensorSpec([7]) })
    expectError(.shape, "expected at least 2 axes, found [3]") {
      try LayerHarness.infer(BatchNorm.self, [:], [[3]])
    }
    expectError(.graph, "expected attribute 'epsilon' of at least 0, found -0.5") {
      try LayerHarness.infer(BatchNorm.self, ["epsilon": -0.5], [[3, 4]])
    }
    expectError(.graph, "expected attribute 'epsilon' of at least 0, found nan") {
      try LayerHarness.infer(BatchNorm.self, ["epsilon": "nan"], [[3, 4]])
    }
  }

  @Test func batchNormOfNoVariance() {
    LayerHarness.check(
      BatchNorm.self,
      cases: [
        LayerCase(
          ["epsilon": 0, "scale": false, "center": false],
          [TestInput([1, 3], .float32, [1, 1, -1])],
          parameters: ["running_mean": [0, 0, 0], "running_var": [4, -1, 0]],
          expected: [NaiveTensor([1, 3], [0.5, .nan, .nan])])
      ])
  }

  @Test func instanceNorm() {
    LayerHarness.check(
      InstanceNorm.self,
      cases: maps.dropLast().flatMap { [LayerCase([:], [$0]), LayerCase(["epsilon": 0.1], [$0])] }
        + [LayerCase([:], [[0, 6, 2, 2]])]
    ) { call in
      let y = normalize(call.inputs[0], epsilon: number(call, "epsilon", 1e-5)) { [$0[0], $0[1]] }.y
      return [
        NaiveTensor(y.shape) { y[$0] * call.parameters[0][$0[1]] + call.parameters[1][$0[1]] }
      ]
    }
  }

  @Test func groupNorm() {
    let cases = [
      LayerCase(["groups": 2], [[2, 6, 5, 7]]), LayerCase(["groups": 6], [[2, 6, 5, 7]]),
      LayerCase(["groups": 1], [TestInput([2, 4, 3, 3], in: 9...10)], tolerance: 1e-4),
      LayerCase(["groups": 3, "epsilon": 1e-2], [[2, 6]]),
      LayerCase(["groups": 4], [[1, 64, 5, 5]]),
      LayerCase(["groups": 2], [[0, 4, 2]]),
    ]
    LayerHarness.check(GroupNorm.self, cases: cases) { call in
      let x = call.inputs[0]
      let channels = x.shape[1] / Int(number(call, "groups", 1))
      let y = normalize(x, epsilon: number(call, "epsilon", 1e-5)) { [$0[0], $0[1] / channels] }.y
      return [
        NaiveTensor(y.shape) { y[$0] * call.parameters[0][$0[1]] + call.parameters[1][$0[1]] }
      ]
    }
    expectError(.shape, "expected channels in 4 equal groups, found 6") {
      try LayerHarness.infer(GroupNorm.self, ["groups": 4], [[1, 6, 2, 2]])
    }
    expectError(.graph, "expected attribute 'groups' in 1...2147483647, found 0") {
      try LayerHarness.infer(GroupNorm.self, ["groups": 0], [[1, 6, 2, 2]])
    }
    expectError(.graph, "expected attribute 'groups' (an integer), found none") {
      try LayerHarness.infer(GroupNorm.self, [:], [[1, 6, 2, 2]])
    }
  }

  @Test func layerNorm() {
    let cases = [
      LayerCase([:], [[2, 3, 37]]), LayerCase(["axis": 1], [[3, 4, 5]]),
      LayerCase(["axis": -2, "statistics": true], [[2, 3, 4, 5]]),
      LayerCase(["axis": 0, "statistics": true, "scale": false], [[6, 7]]),
      LayerCase(["center": false, "epsilon": 0.01], [[5, 130]]),
      LayerCase(
        ["axis": 2, "statistics": true], [TestInput([2, 2, 3, 3], in: 7...9)], tolerance: 1e-4),
      LayerCase(["statistics": true], [[0, 4]]),
    ]
    LayerHarness.check(LayerNorm.self, cases: cases) { call in
      let x = call.inputs[0]
      let axis = try x.shape.axis(Int(number(call, "axis", -1)))
      let (y, statistics) = normalize(x, epsilon: number(call, "epsilon", 1e-5)) {
        Array($0.prefix(axis))
      }
      var parameters = call.parameters[...]
      let weight = call.attributes["scale"] == false ? nil : parameters.popFirst()
      let bias = call.attributes["center"] == false ? nil : parameters.popFirst()
      let outputs = [
        NaiveTensor(x.shape) { index in
          let own = Array(index[axis...])
          return y[index] * (weight?[own] ?? 1) + (bias?[own] ?? 0)
        }
      ]
      guard call.outputs.count == 3 else { return outputs }
      let shape = call.outputs[1].shape
      return outputs + [
        NaiveTensor(shape) { statistics[Array($0.prefix(axis))]?.mean ?? .nan },
        NaiveTensor(shape) { statistics[Array($0.prefix(axis))]?.inverse ?? .nan },
      ]
    }
    expectError(.shape, "expected an axis in -2...1, found 2") {
      try LayerHarness.infer(LayerNorm.self, ["axis": 2], [[3, 4]])
    }
    expectError(.shape, "expected an axis in -2...1, found -3") {
      try LayerHarness.infer(LayerNorm.self, ["axis": -3], [[3, 4]])
    }
  }

  @Test func localResponseNorm() {
    let attributes: [Attributes] = [
      ["size": 5], ["size": 3, "alpha": 0.5, "beta": 0.5, "k": 2],
      ["size": 4, "alpha": 0.9, "beta": 1, "k": 0.5],
      ["size": 4, "alpha": 0.9, "even_window": "torch", "k": 0.5],
      ["size": 1, "alpha": 2, "beta": 1.3],
      ["size": 5, "alpha": 0.3, "alpha_divided_by_size": false],
      ["size": 40, "alpha": 3, "beta": 0.25],
      ["size": 3, "alpha": 0.7, "region": "within_channel"],
      [
        "size": 4, "alpha": 0.7, "region": "within_channel", "alpha_divided_by_size": false,
        "beta": 0.6,
      ],
      ["size": 4, "alpha": 0.7, "region": "within_channel", "even_window": "torch"],
    ]
    let inputs: [TestInput] = [
      TestInput([2, 7, 5, 9], in: -4...4), TestInput([1, 33, 3, 3], in: -20...20), [0, 3, 2, 2],
    ]
    LayerHarness.check(
      LocalResponseNorm.self,
      cases: attributes.flatMap { attributes in inputs.map { LayerCase(attributes, [$0]) } }
        + [LayerCase(["size": 3, "alpha": 1], [[4, 9]]), LayerCase(["size": 3], [[1, 9, 70]])]
    ) { call in
      let x = call.inputs[0]
      let size = Int(number(call, "size", 0))
      let isWithin = call.attributes["region"] == "within_channel"
      let half = Double(size - 1) / 2
      let before = Int(
        call.attributes["even_window"] == "torch" ? half.rounded(.up) : half.rounded(.down))
      let offsets = (0..<size).map { $0 - before }
      let neighbours = isWithin ? size * size : size
      let isDivided = call.attributes["alpha_divided_by_size"] != false
      let alpha = number(call, "alpha", 1e-4) / (isDivided ? Double(neighbours) : 1)
      return [
        NaiveTensor(x.shape) { index in
          var sum = 0.0
          for i in offsets {
            for j in isWithin ? offsets : [0] {
              var place = index
              if isWithin {
                place[2] += i
                place[3] += j
              } else {
                place[1] += i
              }
              let value = x.value(at: place)
              sum += value * value
            }
          }
          return x[index] / pow(number(call, "k", 1) + alpha * sum, number(call, "beta", 0.75))
        }
      ]
    }
    expectError(.graph, "expected attribute 'size' in 1...2147483647, found 0") {
      try LayerHarness.infer(LocalResponseNorm.self, ["size": 0], [[1, 2, 3, 3]])
    }
    expectError(.shape, "expected 4 axes, found [1, 2, 3]") {
      try LayerHarness.infer(
        LocalResponseNorm.self, ["size": 3, "region": "within_channel"], [[1, 2, 3]])
    }
  }
}
