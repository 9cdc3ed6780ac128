import Lamina
import LaminaTestSupport
import Testing

@Suite struct KeyRulesTests {
  @Test func everyLineIsARule() throws {
    let map = try KeyMap(
      rules: """
        # names of the book
        W* -> layer*.weight   # weights
        b* -> layer*.bias

        ignore optimizer.*
        transpose W* [1, 0]
        """, path: "rules.txt")
    #expect(map.target(of: "W1") == "layer1.weight")
    #expect(map.target(of: "b12") == "layer12.bias")
    #expect(map.ignored.contains { $0.matches("optimizer.step") })
    #expect(map.changes == [KeyMap.Change("W*", .transpose([1, 0]))])
  }

  @Test func weightsAreLoadedByRules() throws {
    let model = try scaleModel(names: ["fc"])
    let source = try openTensorSource(
      bytes: try NumPyArrays.bytes([
        "W": try Tensor([2, 3], [1, 3, 5, 2, 4, 6] as [Float]),
        "b": try Tensor([3], [7, 8, 9] as [Float]), "step": try Tensor([1], [1] as [Float]),
      ]))
    let map = try KeyMap(
      rules: "W -> fc.weight\nb -> fc.bias\nignore step\ntranspose W [1, 0]", path: "rules")
    let (loaded, report) = try model.loadingWeights(from: source, keyMap: map)
    #expect(report.origin == "rules of rules")
    #expect(loaded.parameters["fc.weight"]?.elements(as: Float.self) == weightNumbers)
  }

  @Test func everyBadLineIsListed() {
    let text = """
      a -> b
      a ->
      transpose a [0, 2]
      transpose a 1 0
      transpose a [0, 0]
      rename a b
      ignore
      """
    let expected = """
      format: 6 problems: \
      rules:2: expected 'pattern -> replacement', 'ignore pattern' or 'transpose pattern [axes]', found 'a ->'; \
      rules:3: expected every axis from 0 once, found '[0,2]'; \
      rules:4: expected axes such as [1, 0], found '10'; \
      rules:5: expected every axis from 0 once, found '[0,0]'; \
      rules:6: expected 'pattern -> replacement', 'ignore pattern' or 'transpose pattern [axes]', found 'rename a b'; \
      rules:7: expected 'pattern -> replacement', 'ignore pattern' or 'transpose pattern [axes]', found 'ignore'
      """
    #expect(outcome { _ = try KeyMap(rules: text, path: "rules") } == expected)
  }
}
