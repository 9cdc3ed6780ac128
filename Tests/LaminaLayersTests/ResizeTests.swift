import Foundation
import Lamina
import LaminaLayers
import LaminaTestSupport
import Testing

struct ResizeTests {
  private struct Row {
    var attributes: Attributes
    var input: TestInput
    var expected: NaiveTensor
  }

  /// Small resizes with the results of ONNX's reference evaluator; `Tests/fixtures/resize.py` makes them.
  private static let rows: [Row] = {
    do {
      let data = try Data(contentsOf: URL(filePath: "\(packageRoot)/Tests/fixtures/resize.json"))
      let rows = try JSON.parse(text: String(decoding: data, as: UTF8.self)).array ?? []
      return try rows.map { row in
        func numbers(_ key: String) -> [Double] { row[key]?.array?.compactMap(\.double) ?? [] }
        func shape(_ key: String) throws -> Shape { try Shape(numbers(key).map { Int($0) }) }
        return Row(
          attributes: try Attributes(json: row["attributes"] ?? .null, path: "attributes"),
          input: TestInput(try shape("shape"), .float32, numbers("x")),
          expected: NaiveTensor(try shape("outputShape"), numbers("y")))
      }
    } catch {
      Issue.record("expected resize.json, found \(error)")
      return []
    }
  }()

  @Test func agreesWithTheReferenceEvaluator() {
    #expect(Self.rows.count > 90)
    LayerHarness.check(
      Resize.self,
      cases: Self.rows.map { LayerCase($0.attributes, [$0.input], expected: [$0.expected]) })
  }

  @Test func takesItsGridFromInputs() {
    let expected = NaiveTensor([1, 4], [1, 1, 2, 2])
    let x = TestInput([1, 2], .float32, [1, 2])
    let absent = TestInput([0], .float32, [])
    let scales = TestInput([2], .float32, [1, 2], known: true)
    LayerHarness.check(
      Resize.self,
      cases: [
        LayerCase([x, absent, scales], expected: [expected]),
        LayerCase([x, absent, absent, .known([1, 4])], expected: [expected]),
        LayerCase(["axes": [1]], [x, absent, absent, .known([4])], expected: [expected]),
        LayerCase(
          ["coordinates": "tf_crop_and_resize", "extrapolation_value": 9.0],
          [x, TestInput([4], .float32, [0, 0, 1, 3], known: true), absent, .known([1, 4])],
          expected: [NaiveTensor([1, 4], [1, 2, 9, 9])]),
      ])
  }

  @Test func nearestMovesEveryType() {
    for type in ElementType.allCases {
      LayerHarness.check(
        Resize.self,
        cases: [
          LayerCase(
            ["scales": [1, 2]], [TestInput([1, 3], type, [1, 0, 1])],
            expected: [NaiveTensor([1, 6], [1, 1, 0, 0, 1, 1])])
        ])
    }
  }

  @Test func largeMapsAreSharedByThreads() {
    LayerHarness.check(
      Resize.self,
      cases: [
        LayerCase(["axes": [2, 3], "scales": [2, 2]], [[1, 8, 64, 65]]),
        LayerCase(
          ["axes": [2, 3], "scales": [2, 2], "mode": "linear", "coordinates": "asymmetric"],
          [[1, 4, 50, 60]]),
        LayerCase(["axes": [2, 3], "sizes": [33, 20], "mode": "cubic"], [[1, 4, 50, 60]]),
      ])
  }

  @Test func emptyAndUnchanged() {
    LayerHarness.check(
      Resize.self,
      cases: [
        LayerCase(
          ["scales": .floats([1, 0.3]), "mode": "linear"], [[2, 3]],
          expected: [NaiveTensor([2, 0])]),
        LayerCase(
          ["scales": [2, 2], "mode": "linear"], [[0, 3]], expected: [NaiveTensor([0, 6])]),
        LayerCase(
          ["scales": [1, 1], "mode": "cubic"], [TestInput([1, 2], .float32, [3, 4])],
          expected: [NaiveTensor([1, 2], [3, 4])]),
        LayerCase(
          ["sizes": .ints([])], [TestInput(.scalar, .float32, [3])],
          expected: [NaiveTensor(.scalar, [3])]),
      ])
  }

  @Test func errors() {
    func expect(
      _ message: String, _ attributes: Attributes, _ inputs: [TestInput] = [[2, 3]],
      code: LaminaError.Code = .shape, sourceLocation: SourceLocation = #_sourceLocation
    ) {
      expectError(code, message, sourceLocation: sourceLocation) {
        try LayerHarness.infer(Resize.self, attributes, inputs)
      }
    }
    expect("expected 'scales' or 'sizes', found neither", [:])
    expect(
      "expected 'scales' or 'sizes', found both", ["scales": [1, 1], "sizes": [2, 3]], code: .graph)
    expect("expected finite scales above 0, found 0.0", ["scales": [1, 0]])
    expect("expected finite scales above 0, found -2.0", ["scales": [1, -2]])
    expect(
      "expected finite scales above 0, found nan", [:],
      [[2, 3], TestInput([0], .float32, []), TestInput([2], .float32, [1, .nan], known: true)])
    expect(
      "expected an extent of at most 2147483647 on axis 1, found 3.0000000451423987e+30",
      ["scales": .floats([1, 1e30])])
    expect("expected 2 'scales' for 2 axes, found 3", ["scales": [1, 1, 1]])
    expect("expected 1 'sizes' for 1 axes, found 2", ["axes": [1], "sizes": [2, 3]])
    expect("expected distinct axes, found [1, -1]", ["axes": [1, -1], "sizes": [2, 3]])
    expect("expected an axis in -2...1, found 2", ["axes": [2], "sizes": [2]])
    expect("expected elements on axis 0 to resize, found none", ["sizes": [2, 3]], [[0, 3]])
    expect(
      "expected attribute 'sizes' in 0...2147483647, found -1", ["sizes": [-1, 3]], code: .graph)
    expect(
      "expected 'roi' for 'tf_crop_and_resize', found none",
      ["sizes": [2, 3], "coordinates": "tf_crop_and_resize"])
    expect(
      "expected 4 'roi' for 2 axes, found 2",
      ["sizes": [2, 3], "coordinates": "tf_crop_and_resize", "roi": [0, 1]])
    expect(
      "expected float32 for mode 'linear', found uint8", ["sizes": [2, 3], "mode": "linear"],
      [TestInput([2, 3], .uint8)])
    expect(
      "expected a value known when planning for 'sizes', found one computed at run time", [:],
      [[2, 3], TestInput([0]), TestInput([0]), TestInput([2], .int64, [2, 3])])
    expect(
      "expected float32 or float64 for 'scales', found int64", [:],
      [[2, 3], TestInput([0]), TestInput([2], .int64, [2, 3], known: true)])
    expect(
      "expected at most 2^40 elements, found [2147483647, 2147483647]",
      ["sizes": [2_147_483_647, 2_147_483_647]])
  }
}
