import Foundation
import Lamina
import LaminaTestSupport
import Testing

private func reduce(_ operation: String, _ values: [Double]) -> Double {
  let count = Double(values.count)
  switch operation {
  case "mean": return values.reduce(0, +) / count
  case "sum": return values.reduce(0, +)
  case "max": return values.contains { $0.isNaN } ? .nan : values.max() ?? -.infinity
  case "min": return values.contains { $0.isNaN } ? .nan : values.min() ?? .infinity
  case "prod": return values.reduce(1, *)
  case "l1": return values.map(abs).reduce(0, +)
  case "l2": return values.map { $0 * $0 }.reduce(0, +).squareRoot()
  case "log_sum": return log(values.reduce(0, +))
  case "log_sum_exp": return log(values.map(exp).reduce(0, +))
  default: return values.map { $0 * $0 }.reduce(0, +)
  }
}

private let reference: NaiveReference = { call in
  let x = call.inputs[0]
  var axes: [Int] = []
  if case .ints(let list) = call.attributes["axes"] { axes = list }
  if call.inputs.count == 2 { axes = call.inputs[1].elements.map { Int($0) } }
  let reduced =
    axes.isEmpty
    ? (call.attributes["noop_with_empty_axes"] == true ? [] : Set(0..<x.shape.rank))
    : Set(axes.map { $0 < 0 ? $0 + x.shape.rank : $0 })
  let kept = (0..<x.shape.rank).filter { !reduced.contains($0) }
  let groups = Dictionary(grouping: x.shape.indices) { index in kept.map { index[$0] } }
  let keepsDims = call.attributes["keep_dims"] != false
  guard case .string(let operation) = call.attributes["operation"] else { return [] }
  let dimensions = x.shape.dimensions.enumerated().compactMap { axis, extent in
    reduced.contains(axis) ? (keepsDims ? 1 : nil) : extent
  }
  return [
    NaiveTensor(try Shape(dimensions)) { index in
      let key = keepsDims ? kept.map { index[$0] } : index
      return reduce(operation, (groups[key] ?? []).map { x[$0] })
    }
  ]
}

private let operations = [
  "mean", "sum", "max", "min", "prod", "l1", "l2", "log_sum", "log_sum_exp", "sum_square",
]

@Suite struct ReductionTests {
  @Test(arguments: operations)
  func reduceFloats(_ operation: String) {
    func row(_ attributes: Attributes, _ inputs: [TestInput]) -> LayerCase {
      var attributes = attributes
      attributes["operation"] = .string(operation)
      return LayerCase(attributes, inputs, tolerance: 2e-6)
    }
    let x = TestInput([2, 3, 5, 7], in: 0.25...1.5)
    LayerHarness.check(
      Reduce.self,
      cases: [
        row([:], [x]), row(["keep_dims": false], [x]), row(["axes": [-1]], [x]),
        row(["axes": [2, 3], "keep_dims": false], [x]), row(["axes": [1]], [x]),
        row(["axes": [0, 2, 3]], [x]), row(["axes": [0, -1], "keep_dims": false], [x]),
        row(["axes": [0, 1]], [TestInput([3, 4, 70], in: 0.5...1)]),
        row(["axes": [1]], [TestInput([2, 150], in: 0.9...1.1)]),
        row(["noop_with_empty_axes": true], [x]), row([:], [x, .known([1, -1])]),
        row(["keep_dims": false], [x, .known([])]),
        row(["axes": [0]], [TestInput([9], in: 0.5...1)]),
        row(["axes": [1]], [TestInput([2, 0, 3])]), row(["axes": [0]], [TestInput([2, 0, 3])]),
        row([:], [TestInput(.scalar, .float32, [0.75])]),
        row(["axes": [2]], [TestInput([1, 3, 1, 2], in: 0.5...1)]),
      ], reference: reference)
  }

  @Test(arguments: ["max", "min", "sum", "log_sum_exp"])
  func reduceSpecialNumbers(_ operation: String) {
    var values = (0..<80).map(Double.init)
    values.replaceSubrange(40..<60, with: repeatElement(-.infinity, count: 20))
    values[7] = .nan
    values[61] = .infinity
    let x = TestInput([4, 20], .float32, values)
    let results: [Double] =
      switch operation {
      case "max": [.nan, 39, -.infinity, .infinity]
      case "min": [.nan, 20, -.infinity, 60]
      case "sum": [.nan, 590, -.infinity, .infinity]
      default: [.nan, 39.458675, -.infinity, .infinity]
      }
    LayerHarness.check(
      Reduce.self,
      cases: [
        LayerCase(
          ["operation": .string(operation), "axes": [1]], [x],
          expected: [NaiveTensor([4, 1], results)])
      ])
  }

  @Test(arguments: operations)
  func reduceIntegers(_ operation: String) {
    let known: [String: [Double]] = [
      "mean": [-1, 3], "sum": [-3, 9], "max": [2, 4], "min": [-6, 2], "prod": [-12, 24],
      "l1": [9, 9],
      "l2": [6, 5], "log_sum": [0, 2], "log_sum_exp": [2, 4], "sum_square": [41, 29],
    ]
    LayerHarness.check(
      Reduce.self,
      cases: [
        LayerCase(
          ["operation": .string(operation), "axes": [1], "keep_dims": false],
          [TestInput([2, 3], .int32, [1, 2, -6, 4, 3, 2])],
          expected: known[operation].map { [NaiveTensor([2], $0)] })
      ])
  }

  @Test func integersWrapAndEmptySetsHaveBounds() {
    func row(_ operation: String, _ x: TestInput, _ result: Double) -> LayerCase {
      LayerCase(["operation": .string(operation)], [x], expected: [NaiveTensor([1], [result])])
    }
    LayerHarness.check(
      Reduce.self,
      cases: [
        row("sum", TestInput([2], .int8, [100, 100]), -56),
        row("prod", TestInput([2], .uint8, [100, 3]), 44),
        row("l1", TestInput([1], .int8, [-128]), -128),
        row("max", TestInput([0], .int8), -128), row("min", TestInput([0], .uint16), 65535),
        row("sum", TestInput([0], .int64), 0), row("prod", TestInput([0], .int32), 1),
        row("mean", TestInput([0], .int32), 0), row("log_sum", TestInput([0], .int8), -128),
      ])
  }

  @Test func reduceErrors() {
    expectError(.shape, "expected an axis in -2...1, found 2") {
      try LayerHarness.infer(Reduce.self, ["operation": "sum", "axes": [2]], [[2, 3]])
    }
    expectError(.shape, "expected distinct axes, found -1 twice in [1, -1]") {
      try LayerHarness.infer(Reduce.self, ["operation": "sum", "axes": [1, -1]], [[2, 3]])
    }
    expectError(
      .shape, "expected a value known when planning for 'axes', found one computed at run time"
    ) {
      try LayerHarness.infer(
        Reduce.self, ["operation": "sum"], [[2, 3], TestInput([1], .int64, [0])])
    }
    expectError(.shape, "expected 'axes' to be an int64 vector, found float32 [1]") {
      try LayerHarness.infer(Reduce.self, ["operation": "sum"], [[2, 3], [1]])
    }
    expectError(.shape, "expected float32 or integer elements, found bool") {
      try LayerHarness.infer(Reduce.self, ["operation": "max"], [TestInput([2], .bool)])
    }
    expectError(
      .graph,
      "expected attribute 'operation' to be one of mean, sum, max, min, prod, l1, l2, log_sum, "
        + "log_sum_exp, sum_square, found 'average'"
    ) {
      try LayerHarness.infer(Reduce.self, ["operation": "average"], [[2]])
    }
  }

  private static let softmaxCases: [LayerCase] = [
    LayerCase([:], [TestInput([3, 1000], in: -9...9)]), LayerCase(["axis": 1], [[2, 5, 3, 7]]),
    LayerCase(["axis": 0], [[4, 33]]), LayerCase(["axis": -2], [[2, 3, 70]]),
    LayerCase(["axis": 1, "flatten": true], [[2, 3, 4, 5]]),
    LayerCase(["axis": 0, "flatten": true], [[6, 7]]),
    LayerCase(["axis": 2, "flatten": true], [[6, 7]]), LayerCase([:], [[0, 4]]),
    LayerCase([:], [[4, 0]]), LayerCase([:], [[5]]),
    LayerCase([:], [TestInput([2, 3], .float32, [1000, 1001, 1002, -1e30, -.infinity, -1e30])]),
    LayerCase(
      ["axis": 0], [TestInput([3, 2], .float32, [1000, -1e30, 1001, -.infinity, 1002, -1e30])]),
    LayerCase([:], [TestInput([2, 3], .float32, [0, .nan, 1, 1, 2, 3])]),
  ]

  private static func softmax(_ call: NaiveCall, logarithm: Bool) throws -> [NaiveTensor] {
    let x = call.inputs[0]
    var axis = -1
    if case .int(let number) = call.attributes["axis"] { axis = number }
    axis = axis < 0 ? axis + x.shape.rank : axis
    let isFlat = call.attributes["flatten"] == true
    func key(_ index: [Int]) -> [Int] {
      index.enumerated().filter { isFlat ? $0.offset < axis : $0.offset != axis }.map(\.element)
    }
    let groups = Dictionary(grouping: x.shape.indices, by: key).mapValues { indices in
      let values = indices.map { x[$0] }
      let top = values.contains { $0.isNaN } ? .nan : values.max() ?? 0
      return (top: top, logarithm: log(values.map { exp($0 - top) }.reduce(0, +)))
    }
    return [
      NaiveTensor(x.shape) { index in
        guard let (top, total) = groups[key(index)] else { return .nan }
        let value = x[index] - top - total
        return logarithm ? value : exp(value)
      }
    ]
  }

  @Test func softmax() {
    LayerHarness.check(Softmax.self, cases: Self.softmaxCases) {
      try Self.softmax($0, logarithm: false)
    }
    LayerHarness.check(LogSoftmax.self, cases: Self.softmaxCases) {
      try Self.softmax($0, logarithm: true)
    }
    expectError(.shape, "expected an axis in -2...1, found 2") {
      try LayerHarness.infer(Softmax.self, ["axis": 2], [[3, 4]])
    }
    expectError(.shape, "expected an axis in -2...2, found 3") {
      try LayerHarness.infer(LogSoftmax.self, ["axis": 3, "flatten": true], [[3, 4]])
    }
  }
}
