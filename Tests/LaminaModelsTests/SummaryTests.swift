import Foundation
#if canImport(FoundationXML)
  import FoundationXML
#endif
import Lamina
import LaminaTestSupport
import Testing

@Suite struct SummaryTests {
  private func summary(_ build: (inout GraphBuilder, ValueID) throws -> ValueID) throws
    -> ModelSummary
  {
    var builder = GraphBuilder(name: "net", registry: .standard)
    let x = try builder.input("x", [.batch, .fixed(3), .fixed(32), .fixed(30)])
    try builder.output(try build(&builder, x))
    return try ModelSummary(Model(initializing: builder.graph, registry: .standard))
  }

  private func convolution(
    _ builder: inout GraphBuilder, _ name: String, _ x: ValueID, _ kernel: Int, stride: Int = 1,
    padding: AttributeValue? = nil, dilation: Int = 1
  ) throws -> ValueID {
    var attributes: Attributes = [
      "out_channels": 4, "kernel_size": .ints([kernel, kernel]),
      "strides": .ints([stride, stride]),
      "dilations": .ints([dilation, dilation]),
    ]
    attributes["padding"] = padding
    return try builder.add("lamina.conv2d", name, x, attributes: attributes)
  }

  @Test func threeOfThreeSeeWhatOneOfSevenSees() throws {
    let three = try summary { builder, x in
      var y = x
      for index in 1...3 { y = try convolution(&builder, "c\(index)", y, 3) }
      return y
    }
    let one = try summary { builder, x in try convolution(&builder, "c", x, 7) }
    #expect(three.rows.last?.receptiveField == one.rows.last?.receptiveField)
    #expect(three.rows.last?.output?.shape == one.rows.last?.output?.shape)
    #expect(three.rows.map { $0.receptiveField?.size } == [[3, 3], [5, 5], [7, 7]])
  }

  @Test func startsAndJumpsFollowPaddingAndStride() throws {
    let found = try summary { builder, x in
      var y = try convolution(&builder, "a", x, 7, stride: 2, padding: .ints([3, 3, 3, 3]))
      y = try convolution(&builder, "b", y, 3, stride: 2, padding: "same_upper")
      return try convolution(&builder, "c", y, 3, dilation: 2)
    }
    let fields = found.rows.map(\.receptiveField)
    #expect(fields.map { $0?.size } == [[7, 7], [11, 11], [27, 27]])
    #expect(fields.map { $0?.jump } == [[2, 2], [4, 4], [4, 4]])
    // 16 rows have no padding before them, 15 columns have one.
    #expect(fields.map { $0?.start } == [[0.5, 0.5], [2.5, 0.5], [10.5, 8.5]])
    #expect(
      found.rows.map(\.sizeRule) == [
        "⌊(32 + 3 + 3 − 7) / 2⌋ + 1 = 16, ⌊(30 + 3 + 3 − 7) / 2⌋ + 1 = 15",
        "⌈16 / 2⌉ = 8, ⌈15 / 2⌉ = 8", "8 − 5 + 1 = 4",
      ])
  }

  /// By gradients of paper and pencil: position (y, x) of the output reads no pixel outside
  /// `start ± (size − 1) / 2`, and does read its corners.
  @Test(arguments: [(0, 0), (2, 1)]) func fieldsAreWhatChangesAnOutput(_ y: Int, _ x: Int) throws {
    var builder = GraphBuilder(name: "net", registry: .standard)
    let input = try builder.input("x", [.batch, .fixed(1), .fixed(24), .fixed(24)])
    let a = try convolution(&builder, "a", input, 3, stride: 2)
    let b = try convolution(&builder, "b", a, 3, padding: .ints([1, 1, 1, 1]))
    let c = try convolution(&builder, "c", a, 1)
    try builder.output(try builder.add("lamina.add", "sum", b, c))
    let model = try Model(initializing: builder.graph, seed: 4, registry: .standard)
    let field = try #require(try ModelSummary(model).rows.last?.receptiveField)
    let session = try Session(model: model)
    func output(_ change: (Int, Int)?) throws -> Float {
      var values = [Float](repeating: 1, count: 24 * 24)
      if let change { values[change.0 * 24 + change.1] += 1 }
      let result = try session.run([Tensor([1, 1, 24, 24], values)])[0]
      return result.elements(as: Float.self)[y * result.shape[3] + x]
    }
    let still = try output(nil)
    func edges(_ axis: Int, _ position: Int) -> ClosedRange<Int> {
      let centre = field.start[axis] + Double(position * field.jump[axis]) - 0.5
      let half = Double(field.size[axis] - 1) / 2
      return max(Int(centre - half), 0)...Int(centre + half)
    }
    let (rows, columns) = (edges(0, y), edges(1, x))
    var seen: [(Int, Int)] = []
    for row in 0..<24 {
      for column in 0..<24 where try output((row, column)) != still { seen.append((row, column)) }
    }
    #expect(seen.map(\.0).min() == rows.lowerBound && seen.map(\.0).max() == rows.upperBound)
    #expect(seen.map(\.1).min() == columns.lowerBound && seen.map(\.1).max() == columns.upperBound)
  }

  @Test func biasesAreToldFromWeights() throws {
    let summary = try ModelSummary(
      ModelCatalog.entry(named: "lenet5").makeModel(registry: .standard))
    let fc1 = try #require(summary.rows.first { $0.name == "fc1" })
    #expect(fc1.weights == 48_120 && fc1.biases == 120)
    #expect(summary.text.contains("61706 parameters (61470 without biases)"))
  }
}

@Suite struct GraphDrawingTests {
  /// Every node, every edge and every box of the graph is drawn.
  @Test(arguments: ["lenet5", "resnet18", "efficientnet_lite0"])
  func drawingsAreWellFormedAndWhole(_ name: String) throws {
    let model = try ModelCatalog.entry(named: name).makeModel(registry: .standard)
    let drawing = try GraphDrawing(model)
    let svg = try XMLDocument(xmlString: drawing.svg)
    let titles = try svg.nodes(forXPath: "//*[local-name()='g']/*[local-name()='title']")
      .compactMap(\.stringValue)
    #expect(titles == model.graph.inputs.map(\.name) + model.graph.nodes.map(\.name))
    let edges = model.graph.nodes.reduce(0) { $0 + Set($1.inputs).count }
    #expect(drawing.dot.split(separator: "\n").count { $0.contains(" -> ") } == edges)
    #expect(drawing.svg.components(separatedBy: "<path d=\"M").count - 2 == edges)
    if name == "resnet18" {
      #expect(drawing.svg.contains(">layer1.0</text>"))
      #expect(drawing.dot.contains("subgraph \"cluster_layer4.1\""))
    }
  }

  @Test func namesAreEscaped() throws {
    var builder = GraphBuilder(name: "a<b>&\"c\\", registry: .standard)
    let x = try builder.input("x<\"", [.batch, .fixed(2)])
    try builder.output(try builder.add("lamina.relu", "r&\"\\s", x))
    let drawing = try GraphDrawing(Model(initializing: builder.graph, registry: .standard))
    #expect(drawing.svg.contains("a&lt;b&gt;&amp;&quot;c"))
    #expect(drawing.svg.contains("r&amp;&quot;"))
    #expect(drawing.dot.contains("r&\\\"\\\\"))
    _ = try XMLDocument(xmlString: drawing.svg)
  }
}
