import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A pool's window along one axis, worked out position by position.
private struct Axis {
  var input: Int
  var output = 0
  var kernel: Int
  var stride: Int
  var dilation: Int
  var before = 0
  var after = 0

  /// Input positions of the taps of output `o`, those outside the input included.
  func taps(_ o: Int) -> [Int] { (0..<kernel).map { o * stride - before + $0 * dilation } }
}

private func axes(_ call: NaiveCall) -> [Axis] {
  func list(_ name: String, _ fallback: [Int]) -> [Int] {
    switch call.attributes[name] {
    case .ints(let numbers): numbers
    case .int(let number): fallback.map { _ in number }
    default: fallback
    }
  }
  let spatial = Array(call.inputs[0].shape.dimensions[2...])
  let kernel = list("kernel_size", spatial)
  let strides = list("strides", spatial.map { _ in 1 })
  let dilations = list("dilations", spatial.map { _ in 1 })
  let pads = list("padding", (spatial + spatial).map { _ in 0 })
  return spatial.indices.map { i in
    var axis = Axis(
      input: spatial[i], kernel: kernel[i], stride: strides[i], dilation: dilations[i])
    let reach = (axis.kernel - 1) * axis.dilation
    if case .string(let name) = call.attributes["padding"], name != "valid" {
      axis.output = Int((Double(axis.input) / Double(axis.stride)).rounded(.up))
      let total = max(0, (axis.output - 1) * axis.stride + reach + 1 - axis.input)
      axis.before = name == "same_upper" ? total / 2 : (total + 1) / 2
      axis.after = total - axis.before
      return axis
    }
    if case .string = call.attributes["padding"] {
    } else {
      (axis.before, axis.after) = (pads[i], pads[i + spatial.count])
    }
    // A window counts when its last tap lies in the padded input; rounding up, when its first tap lies before
    // the padding behind.
    while true {
      let start = axis.output * axis.stride - axis.before
      let fits = start + reach < axis.input + axis.after
      let previous = start - axis.stride + reach
      let isCeiling =
        call.attributes["ceil_mode"] == true && start < axis.input
        && previous < axis.input + axis.after - 1
      guard fits || isCeiling else { break }
      axis.output += 1
    }
    return axis
  }
}

/// The values under each window and how many padded positions it covers.
private func pool(
  _ call: NaiveCall, _ f: ([(value: Double, index: [Int])], _ padded: Int) -> Double
) throws -> NaiveTensor {
  let (x, axes) = (call.inputs[0], axes(call))
  let shape = try Shape(Array(x.shape.dimensions.prefix(2)) + axes.map(\.output))
  return NaiveTensor(shape) { index in
    var windows: [[Int]] = [[]]
    for (axis, o) in zip(axes, index.dropFirst(2)) {
      windows = windows.flatMap { prefix in axis.taps(o).map { prefix + [$0] } }
    }
    let padded = windows.filter { tap in
      zip(tap, axes).allSatisfy { $0 >= -$1.before && $0 < $1.input + $1.after }
    }
    let inside = padded.filter { tap in zip(tap, axes).allSatisfy { $0 >= 0 && $0 < $1.input } }
    return f(
      inside.map { tap in
        let place = Array(index.prefix(2)) + tap
        return (x[place], place)
      }, padded.count)
  }
}

private func largest(_ a: Double, _ b: Double) -> Double { a.isNaN || b.isNaN ? .nan : max(a, b) }

private let maxReference: NaiveReference = { call in
  [try pool(call) { taps, _ in taps.reduce(-.infinity) { largest($0, $1.value) } }]
}

/// Shapes and windows that every pool must manage.
private let windows: [LayerCase] = [
  LayerCase(["kernel_size": [3, 3], "strides": [2, 2]], [[2, 3, 11, 13]]),
  LayerCase(["kernel_size": [2, 2], "strides": [2, 2]], [[1, 5, 8, 6]]),
  LayerCase(
    ["kernel_size": [3, 3], "strides": [2, 2], "padding": [1, 1, 1, 1]], [[1, 16, 9, 75]]),
  LayerCase(["kernel_size": [3, 3], "padding": [1, 1, 1, 1]], [[1, 4, 7, 5]]),
  LayerCase(
    ["kernel_size": [3, 2], "strides": [3, 1], "padding": [2, 0, 1, 1]], [[1, 2, 7, 6]]),
  LayerCase(
    ["kernel_size": [3, 3], "strides": [2, 2], "padding": [0, 1, 2, 0], "ceil_mode": true],
    [[1, 3, 8, 9]]),
  LayerCase(["kernel_size": [3, 3], "strides": [2, 2], "ceil_mode": true], [[1, 32, 8, 8]]),
  LayerCase(["kernel_size": [1, 1], "strides": [3, 3], "ceil_mode": true], [[1, 2, 8, 9]]),
  LayerCase(
    ["kernel_size": [2, 2], "strides": [3, 3], "padding": [1, 1, 1, 1], "ceil_mode": true],
    [[1, 2, 5, 6]]),
  LayerCase(
    ["kernel_size": [3, 3], "strides": [2, 2], "padding": "same_upper"], [[1, 2, 6, 7]]),
  LayerCase(
    ["kernel_size": [4, 3], "strides": [2, 2], "padding": "same_lower"], [[1, 2, 7, 6]]),
  LayerCase(["kernel_size": [2, 2], "padding": "same_lower"], [[1, 2, 3, 3]]),
  LayerCase(["kernel_size": [2, 2], "strides": [2, 2], "padding": "valid"], [[1, 2, 5, 5]]),
  LayerCase(["kernel_size": [2, 2], "strides": [2, 2]], [[2, 3, 5, 43]]),
  LayerCase(["kernel_size": [2, 3], "dilations": [2, 3]], [[1, 2, 6, 9]]),
  LayerCase(
    ["kernel_size": [3, 3], "dilations": [2, 2], "strides": [2, 2], "padding": [3, 4, 4, 3]],
    [[1, 8, 7, 8]]),
  LayerCase(["kernel_size": [5, 7]], [[2, 3, 5, 7]]),
  LayerCase(["kernel_size": [2, 2]], [[0, 3, 4, 4]]),
  LayerCase(["kernel_size": [3], "strides": [2], "padding": [1, 1]], [[2, 3, 50]]),
  LayerCase(["kernel_size": [4], "strides": [5], "ceil_mode": true], [[1, 1, 83]]),
  LayerCase(["kernel_size": [2], "strides": [2]], [[1, 1, 2600]]),
  LayerCase(["kernel_size": [1500], "strides": [700], "padding": [9, 30]], [[1, 2, 3001]]),
  LayerCase(["kernel_size": [2], "strides": [1200]], [[1, 2, 3700]]),
  LayerCase(
    ["kernel_size": [2, 3, 2], "strides": [1, 2, 2], "padding": [1, 0, 1, 0, 1, 0]],
    [[2, 2, 4, 7, 6]]),
]

@Suite struct PoolingTests {
  @Test func maxPool() {
    LayerHarness.check(MaxPool.self, cases: windows, reference: maxReference)
    LayerHarness.check(
      MaxPool.self,
      cases: [
        LayerCase(
          ["kernel_size": [2, 2], "strides": [2, 2]],
          [
            TestInput(
              [1, 1, 2, 6], .float32,
              [1, .nan, -.infinity, -.infinity, 5, 6, 2, 3, -.infinity, -.infinity, .nan, 7])
          ],
          expected: [NaiveTensor([1, 1, 1, 3], [.nan, -.infinity, .nan])]),
        LayerCase(
          ["kernel_size": [2], "dilations": [2], "padding": [1, 1]],
          [TestInput([1, 1, 1], .float32, [4])],
          expected: [NaiveTensor([1, 1, 1], [-.infinity])]),
      ])
  }

  @Test func maxPoolIndices() {
    let reference: NaiveReference = { call in
      let shape = call.inputs[0].shape
      let isColumnMajor = call.attributes["storage_order"] == 1
      let indices = try pool(call) { taps, _ in
        guard var best = taps.first else { return -1 }
        for tap in taps where tap.value > best.value { best = tap }
        var (place, dimensions) = (best.index, shape.dimensions)
        if isColumnMajor, place.count >= 4 {
          place.swapAt(place.count - 1, place.count - 2)
          dimensions.swapAt(place.count - 1, place.count - 2)
        }
        return Double(zip(place, dimensions).reduce(0) { $0 * $1.1 + $1.0 })
      }
      return try maxReference(call) + [indices]
    }
    let cases = windows.flatMap { row in
      [0, 1].map { order in
        var row = row
        row.attributes["return_indices"] = true
        row.attributes["storage_order"] = .int(order)
        return row
      }
    }
    LayerHarness.check(MaxPool.self, cases: cases, reference: reference)
  }

  @Test func minPool() {
    LayerHarness.check(MinPool.self, cases: windows) { call in
      [try pool(call) { taps, _ in taps.map(\.value).min() ?? .infinity }]
    }
  }

  @Test(arguments: [false, true])
  func averagePool(_ includesPadding: Bool) {
    let cases = windows.map { row in
      var row = row
      if includesPadding { row.attributes["count_include_pad"] = true }
      return row
    }
    LayerHarness.check(AveragePool.self, cases: cases) { call in
      [
        try pool(call) { taps, padded in
          let count = includesPadding ? padded : taps.count
          return count == 0 ? 0 : taps.map(\.value).reduce(0, +) / Double(count)
        }
      ]
    }
  }

  @Test func averagePoolDivisors() {
    let x = TestInput([1, 1, 4, 4], .float32, (1...16).map(Double.init))
    LayerHarness.check(
      AveragePool.self,
      cases: [
        LayerCase(
          [
            "kernel_size": [3, 3], "strides": [2, 2], "padding": [1, 1, 1, 1], "ceil_mode": true,
            "count_include_pad": true,
          ], [x],
          expected: [
            NaiveTensor(
              [1, 1, 3, 3], [1.5555556, 3.3333333, 2, 6.3333335, 11, 6, 4.5, 7.5, 4])
          ], tolerance: 1e-7),
        LayerCase(
          ["kernel_size": [3, 3], "strides": [2, 2], "ceil_mode": true], [x],
          expected: [NaiveTensor([1, 1, 2, 2], [6, 7.5, 12, 13.5])], tolerance: 0),
        LayerCase(
          ["kernel_size": [2], "dilations": [2], "padding": [1, 1]],
          [TestInput([1, 1, 1], .float32, [4])], expected: [NaiveTensor([1, 1, 1], [0])]),
      ])
  }

  @Test(arguments: [1.0, 2.0, 3.0])
  func lpPool(_ p: Double) {
    let cases = windows.map { row in
      var row = row
      row.attributes["p"] = .float(p)
      return row
    }
    LayerHarness.check(LpPool.self, cases: cases) { call in
      [
        try pool(call) { taps, _ in
          pow(taps.map { pow(abs($0.value), p) }.reduce(0, +), 1 / p)
        }
      ]
    }
    expectError(.graph, "expected attribute 'p' above 0, found 0.0") {
      try LayerHarness.infer(LpPool.self, ["kernel_size": [1], "p": 0.0], [[1, 1, 1]])
    }
  }

  private static let maps: [TestInput] = [
    [2, 3, 7, 7], [1, 16, 5, 9], [1, 32, 2, 2], [3, 2, 40], [1, 2, 3, 4, 5], [0, 4, 3, 3],
    [1, 1, 1, 1],
  ]

  private func planes(_ call: NaiveCall, _ f: ([Double]) -> Double) -> [NaiveTensor] {
    let x = call.inputs[0]
    let area = x.shape.count(from: 2)
    return [
      NaiveTensor(
        call.outputs[0].shape,
        (0..<x.shape[0] * x.shape[1]).map { f(Array(x.elements[$0 * area..<($0 + 1) * area])) })
    ]
  }

  @Test func globalPools() {
    let cases = Self.maps.map { LayerCase([:], [$0]) }
    LayerHarness.check(GlobalAveragePool.self, cases: cases) { call in
      planes(call) { $0.reduce(0, +) / Double($0.count) }
    }
    LayerHarness.check(GlobalMaxPool.self, cases: cases) { call in
      planes(call) { $0.reduce(-.infinity, max) }
    }
    for p in [1.0, 2.0, 3.0] {
      let cases = Self.maps.map { LayerCase(["p": .float(p)], [$0]) }
      LayerHarness.check(GlobalLpPool.self, cases: cases) { call in
        planes(call) { pow($0.map { pow(abs($0), p) }.reduce(0, +), 1 / p) }
      }
    }
    expectError(.shape, "expected spatial extents above 0, found [1, 2, 0, 3]") {
      try LayerHarness.infer(GlobalAveragePool.self, [:], [[1, 2, 0, 3]])
    }
    expectError(.shape, "expected 3 to 5 axes, found [1, 2]") {
      try LayerHarness.infer(GlobalMaxPool.self, [:], [[1, 2]])
    }
  }

  @Test func adaptivePools() {
    let cases = [
      LayerCase(["output_size": [2, 2]], [[2, 3, 8, 6]]),
      LayerCase(["output_size": [3, 4]], [[1, 2, 7, 9]]),
      LayerCase(["output_size": [7, 7]], [[1, 2, 7, 7]]),
      LayerCase(["output_size": [6, 6]], [[1, 2, 13, 4]]),
      LayerCase(["output_size": [1]], [[2, 3, 9]]), LayerCase(["output_size": [4]], [[0, 3, 9]]),
      LayerCase(["output_size": [2, 3, 4]], [[1, 2, 5, 4, 7]]),
    ]
    @Sendable func bins(_ call: NaiveCall, _ f: ([Double]) -> Double) -> [NaiveTensor] {
      let x = call.inputs[0]
      return [
        NaiveTensor(call.outputs[0].shape) { index in
          var places = [Array(index.prefix(2))]
          for axis in 2..<index.count {
            let (input, output) = (Double(x.shape[axis]), Double(call.outputs[0].shape[axis]))
            let start = Int((Double(index[axis]) * input / output).rounded(.down))
            let end = Int((Double(index[axis] + 1) * input / output).rounded(.up))
            places = places.flatMap { place in (start..<end).map { place + [$0] } }
          }
          return f(places.map { x[$0] })
        }
      ]
    }
    LayerHarness.check(AdaptiveAveragePool.self, cases: cases) { call in
      bins(call) { $0.reduce(0, +) / Double($0.count) }
    }
    LayerHarness.check(AdaptiveMaxPool.self, cases: cases) { call in
      bins(call) { $0.reduce(-.infinity, max) }
    }
    expectError(.shape, "expected 4 axes, found [1, 2, 3]") {
      try LayerHarness.infer(AdaptiveMaxPool.self, ["output_size": [2, 2]], [[1, 2, 3]])
    }
    expectError(.graph, "expected attribute 'output_size' in 1...2147483647, found 0") {
      try LayerHarness.infer(AdaptiveMaxPool.self, ["output_size": [0]], [[1, 2, 3]])
    }
    expectError(.graph, "expected 1 to 3 integers in attribute 'output_size', found 4") {
      try LayerHarness.infer(AdaptiveMaxPool.self, ["output_size": [1, 1, 1, 1]], [[1, 2, 3]])
    }
  }

  @Test(
    arguments: [
      (["kernel_size": [0, 3]], "expected attribute 'kernel_size' in 1...65535, found 0"),
      (
        ["kernel_size": [1, 1, 1, 1]],
        "expected 1 to 3 integers in attribute 'kernel_size', found 4"
      ),
      (
        ["kernel_size": [3, 3], "strides": [0, 1]],
        "expected attribute 'strides' in 1...65535, found 0"
      ),
      (
        ["kernel_size": [3, 3], "strides": [1]],
        "expected 2 integers in attribute 'strides', found 1"
      ),
      (
        ["kernel_size": [3, 3], "dilations": [1, 0]],
        "expected attribute 'dilations' in 1...65535, found 0"
      ),
      (
        ["kernel_size": [3, 3], "padding": [0, -1, 0, 0]],
        "expected attribute 'padding' in 0...65535, found -1"
      ),
      (
        ["kernel_size": [3, 3], "padding": [1, 1]],
        "expected 4 integers in attribute 'padding', found 2"
      ),
      (
        ["kernel_size": [3, 3], "padding": [0, 0, 0, 3]],
        "expected padding below the window's extent 3, found 3"
      ),
      (
        ["kernel_size": [2, 2], "padding": [2, 0, 0, 0]],
        "expected padding below the window's extent 2, found 2"
      ),
      (
        ["kernel_size": [3, 3], "padding": "same"],
        "expected attribute 'padding' to be one of same_upper, same_lower, valid, found 'same'"
      ),
      ([:], "expected attribute 'kernel_size' (a list of integers), found none"),
    ] as [(Attributes, String)])
  func wrongAttributes(_ attributes: Attributes, _ message: String) {
    expectError(.graph, message) {
      try LayerHarness.infer(AveragePool.self, attributes, [[1, 1, 8, 8]])
    }
  }

  @Test func wrongShapes() {
    expectError(.shape, "expected a padded input of at least [3, 3], found [4, 2]") {
      try LayerHarness.infer(MaxPool.self, ["kernel_size": [3, 3]], [[1, 1, 4, 2]])
    }
    expectError(.shape, "expected 4 axes, found [1, 4, 2]") {
      try LayerHarness.infer(MaxPool.self, ["kernel_size": [3, 3]], [[1, 4, 2]])
    }
    expectError(.shape, "expected spatial extents above 0, found [1, 1, 0, 4]") {
      try LayerHarness.infer(
        MaxPool.self, ["kernel_size": [1, 1], "padding": "same_upper"], [[1, 1, 0, 4]])
    }
    expectError(.shape, "expected float32 elements, found uint8") {
      try LayerHarness.infer(
        MaxPool.self, ["kernel_size": [1]], [TestInput([1, 1, 4], .uint8, in: 0...9)])
    }
    expectError(.graph, "expected attribute 'storage_order' in 0...1, found 2") {
      try LayerHarness.infer(
        MaxPool.self, ["kernel_size": [1], "storage_order": 2], [[1, 1, 4]])
    }
  }

  @Test func windowsAreTold() throws {
    var reader = AttributeReader(["kernel_size": [3, 2], "strides": [2, 1], "dilations": [1, 2]])
    let window = try MaxPool(attributes: &reader).window
    #expect(window == Window(kernel: [3, 2], stride: [2, 1], dilation: [1, 2]))
  }
}
