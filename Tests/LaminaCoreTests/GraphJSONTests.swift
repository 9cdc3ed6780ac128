import Lamina
import LaminaTestSupport
import Testing

struct GraphJSONTests {
  private static let valid = """
    {"format":"lamina.graph","version":1,"name":"g",\
    "inputs":[{"name":"x","type":"float32","shape":["batch",4,"height=6",6]}],\
    "nodes":[{"name":"a","kind":"lamina.relu","inputs":["x"]},\
    {"name":"b","kind":"lamina.split","inputs":["a"],"outputs":["b","rest"],\
    "attributes":{"axis":1,"outputs":2}},\
    {"name":"c","kind":"lamina.constant","inputs":[],"attributes":{"shape":[1],"type":"float32"},\
    "parameters":{"value":{"tensor":"shared"}}}],\
    "outputs":["rest",{"name":"y","value":"b"}]}
    """

  private static func graph(_ text: String) throws -> Graph {
    try Graph(json: try JSON.parse(text: text, path: "t"), registry: .standard)
  }

  @Test func readsWhatItWrites() throws {
    let graph = try Self.graph(Self.valid)
    #expect(graph.nodes.map(\.name) == ["a", "b", "c"])
    #expect(graph.outputs.map(\.name) == ["rest", "y"])
    #expect(graph.json.text() == Self.valid)
    #expect(try Self.graph(graph.json.text(pretty: true)).json == graph.json)
  }

  @Test func aThirdPartysMissingKindKeepsItsPlace() throws {
    let text = """
      {"format":"lamina.graph","version":1,"name":"g",\
      "inputs":[{"name":"x","type":"float32","shape":["batch",4]}],\
      "nodes":[{"name":"a","kind":"com.example.two","version":3,"inputs":["x","x"],"outputs":["a","a:1"],\
      "attributes":{"b":1.0,"a":[],"c":[1.0,2.5],"d":"inf","e":true,"f":-7},\
      "parameters":{"weight":{"tensor":"shared"}}},\
      {"name":"r","kind":"lamina.relu","inputs":["a:1"]},\
      {"name":"o","kind":"com.other.one","inputs":["r"]}],\
      "plugins":{"com.example.two":{"id":"com.example.twins","version":"2.0"}},\
      "outputs":["r"]}
      """
    let graph = try Self.graph(text)
    #expect(graph.json.text() == text)
    #expect(graph.missingKinds == ["com.example.two", "com.other.one"])
    let count = standardLayers.count
    #expect(
      graph.nodes.map(\.missing?.message) == [
        "unknown layer kind 'com.example.two', usually supplied by plugin 'com.example.twins' 2.0; "
          + "\(count) kinds are registered", nil,
        "unknown layer kind 'com.other.one', usually supplied by a plugin of 'com.other'; "
          + "\(count) kinds are registered",
      ])
    let model = try Model(graph: graph, parameters: [:], registry: .standard)
    let rows = try ModelSummary(model).rows
    #expect(rows.map { $0.output == nil } == [true, true, true])
    expectFirst(
      .graph, "a (com.example.two): expected 1 output names, found 0",
      text.replacing(#""outputs":["a","a:1"]"#, with: #""outputs":[]"#))
  }

  @Test func refusesEveryTruncation() {
    for count in 0..<Self.valid.utf8.count {
      let text = String(decoding: Self.valid.utf8.prefix(count), as: UTF8.self)
      #expect(throws: LaminaError.self) { try Self.graph(text) }
    }
  }

  /// A change of the valid text and the error it must give.
  struct Fault: Sendable, CustomTestStringConvertible {
    var old: String
    var new: String
    var code: LaminaError.Code
    var message: String
    var path: String

    init(_ old: String, _ new: String, _ code: LaminaError.Code, _ message: String, _ path: String)
    {
      (self.old, self.new, self.code, self.message, self.path) = (old, new, code, message, path)
    }

    var testDescription: String { "\(old) → \(new)" }
  }

  @Test(arguments: [
    Fault(
      "\"lamina.graph\"", "\"onnx\"", .format, "expected format 'lamina.graph'",
      "lamina.graph.format"),
    Fault(
      "\"format\":\"lamina.graph\",", "", .format, "expected a string, found nothing",
      "lamina.graph.format"),
    Fault(
      "\"version\":1", "\"version\":2", .unsupported, "expected version 1 to 1, found 2",
      "lamina.graph.version"),
    Fault(
      "\"version\":1", "\"version\":0", .unsupported, "expected version 1 to 1, found 0",
      "lamina.graph.version"),
    Fault(
      "\"version\":1", "\"version\":1.5", .format, "expected an integer, found number",
      "lamina.graph.version"),
    Fault(
      "\"name\":\"g\"", "\"name\":7", .format, "expected a string, found integer",
      "lamina.graph.name"),
    Fault(
      "\"name\":\"g\"", "\"name\":\"g\",\"nods\":[]", .format,
      "unknown field 'nods', nearest is 'nodes'", "lamina.graph"),
    Fault(
      "[{\"name\":\"x\"", "[7,{\"name\":\"x\"", .format, "expected an object, found integer",
      "lamina.graph.inputs[0]"),
    Fault(
      "\"float32\",\"shape\":[\"b", "\"float99\",\"shape\":[\"b", .format,
      "expected an element type", "lamina.graph.inputs[0].type"),
    Fault(
      "4,\"height=6\"", "-4,\"height=6\"", .format, "expected extents or names, found integer",
      "lamina.graph.inputs[0].shape"),
    Fault(
      "4,\"height=6\"", "4294967296,\"height=6\"", .format,
      "expected extents or names, found integer", "lamina.graph.inputs[0].shape"),
    Fault(
      "height=6", "height=x", .format, "expected 'name' or 'name=extent', found 'height=x'",
      "lamina.graph.inputs[0].shape"),
    Fault(
      "height=6", "=6", .format, "expected 'name' or 'name=extent', found '=6'",
      "lamina.graph.inputs[0].shape"),
    Fault(
      "[\"batch\",4", "[2147483647,2147483647", .shape,
      "expected at most 2^40 elements, found [2147483647, 2147483647, 6, 6]", "input x"),
    Fault(
      "[\"batch\",4", "[1,1,1,1,1,1,1,1", .shape, "expected at most 8 axes, found 10", "input x"),
    Fault(
      "\"name\":\"a\"", "\"name\":\"x\"", .graph, "two values are named 'x'", "x (lamina.relu)"),
    Fault("\"name\":\"a\"", "\"name\":\"\"", .graph, "a value has an empty name", " (lamina.relu)"),
    Fault(
      "lamina.relu", "lamina.reluu", .notFound,
      "unknown layer kind 'lamina.reluu', nearest is 'lamina.relu'; \(standardLayers.count) kinds are registered",
      "a (lamina.reluu)"),
    Fault(
      "[\"x\"]},", "[\"a\"]},", .graph, "input 'a' is not a value defined before this node",
      "a (lamina.relu)"),
    Fault(
      "[\"x\"]},", "[\"b\"]},", .graph, "input 'b' is not a value defined before this node",
      "a (lamina.relu)"),
    Fault("[\"x\"]},", "[\"x\",\"x\"]},", .graph, "expected 1 inputs, found 2", "a (lamina.relu)"),
    Fault(
      "[\"x\"]},", "[7]},", .format, "expected strings, found integer",
      "lamina.graph.nodes[0].inputs"),
    Fault(
      "[\"x\"]},", "[\"x\"],\"attributs\":{}},", .format,
      "unknown field 'attributs', nearest is 'attributes'", "lamina.graph.nodes[0]"),
    Fault(
      "[\"x\"]},", "[\"x\"],\"version\":2},", .unsupported, "expected version 1 to 1, found 2",
      "a (lamina.relu)"),
    Fault(
      "[\"x\"]},", "[\"x\"],\"parameters\":{\"w\":{\"value\":\"q\"}}},", .notFound,
      "no value named 'q', nearest is 'x'", "a (lamina.relu)"),
    Fault(
      "\"axis\":1", "\"axes\":1", .graph, "unknown attribute 'axes', nearest is 'axis'",
      "b (lamina.split)"),
    Fault(
      "\"axis\":1", "\"axis\":\"1\"", .graph,
      "expected attribute 'axis' to be an integer, found a string", "b (lamina.split)"),
    Fault(
      "\"axis\":1", "\"axis\":2147483648", .graph,
      "expected attribute 'axis' in -2147483647...2147483647, found 2147483648", "b (lamina.split)"),
    Fault(
      "\"axis\":1", "\"axis\":null", .format,
      "expected a number, bool, string or list of numbers, found null",
      "lamina.graph.nodes[1].attributes.axis"),
    Fault(
      "\"axis\":1", "\"axis\":[1,\"a\"]", .format,
      "expected a number, bool, string or list of numbers, found array",
      "lamina.graph.nodes[1].attributes.axis"),
    Fault(
      "[\"b\",\"rest\"]", "[\"b\"]", .graph, "expected 2 output names, found 1", "b (lamina.split)"),
    Fault(
      "[\"b\",\"rest\"]", "[\"b\",\"b\"]", .graph, "two values are named 'b'", "b (lamina.split)"),
    Fault(
      "{\"tensor\":\"shared\"}", "{\"tensr\":\"s\"}", .format,
      "unknown field 'tensr', nearest is 'tensor'", "lamina.graph.nodes[2].parameters.value"),
    Fault(
      "\"rest\",{", "\"rset\",{", .notFound, "no value named 'rset', nearest is 'rest'",
      "lamina.graph.outputs[0]"),
    Fault("\"name\":\"y\"", "\"name\":\"rest\"", .graph, "two outputs are named 'rest'", ""),
    Fault(
      "[\"rest\",{\"name\":\"y\",\"value\":\"b\"}]", "[]", .format, "expected at least one output",
      "lamina.graph.outputs"),
  ])
  func refuses(_ fault: Fault) {
    let text = Self.valid.replacing(fault.old, with: fault.new, maxReplacements: 1)
    #expect(text != Self.valid)
    expectFirst(
      fault.code, fault.path.isEmpty ? fault.message : "\(fault.path): \(fault.message)", text)
  }

  /// Expects a problem, alone or as the first of several: one node that is refused leaves others without
  /// inputs.
  private func expectFirst(
    _ code: LaminaError.Code, _ problem: String, _ text: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    do {
      _ = try Self.graph(text)
      Issue.record("expected '\(problem)', found no error", sourceLocation: sourceLocation)
    } catch let error as LaminaError {
      let found = error.description.replacing(#/^[0-9]+ problems: /#, with: "")
      #expect(error.code == code, sourceLocation: sourceLocation)
      #expect(
        found == problem || found.hasPrefix(problem + "; "), "found '\(found)'",
        sourceLocation: sourceLocation)
    } catch {
      Issue.record("expected a LaminaError, found \(error)", sourceLocation: sourceLocation)
    }
  }

  @Test func reportsEveryProblemAtOnce() {
    let text = Self.valid.replacing("lamina.relu", with: "lamina.none")
      .replacing("\"axis\":1", with: "\"axis\":true")
    do {
      _ = try Self.graph(text)
      Issue.record("expected an error")
    } catch let error as LaminaError {
      #expect(
        error.message.hasPrefix("2 problems: a (lamina.none): unknown layer kind 'lamina.none'"))
    } catch { Issue.record("expected a LaminaError, found \(error)") }
  }

  @Test func boundsTheNumberOfNodes() {
    var limits = Limits()
    limits.nodes = 2
    expectError(.limit, "expected at most 2 nodes, found 3", path: "lamina.graph") {
      try Graph(json: JSON.parse(text: Self.valid), registry: .standard, limits: limits)
    }
  }

  @Test func namesReachMessagesEscaped() {
    let text = Self.valid.replacing("lamina.relu", with: "%s%n\\u0007")
    expectFirst(
      .notFound,
      "a (%s%n\\x07): unknown layer kind '%s%n\\x07'; \(standardLayers.count) kinds are registered",
      text)
  }
}
