import Lamina
import LaminaTestSupport
import Testing

struct AttributesTests {
  private enum Choice: String, CaseIterable { case one, two }

  @Test func readsValues() throws {
    let attributes: Attributes = [
      "i": 3, "f": 0.5, "b": true, "s": "two", "list": [1, 2], "floats": .floats([0.5]),
    ]
    var reader = AttributeReader(attributes)
    #expect(try reader.int("i") == 3)
    #expect(try reader.float("f") == 0.5 && reader.float("i") == 3)
    #expect(try reader.bool("b"))
    #expect(try reader.string("s") == "two")
    #expect(try reader.choice("s") == Choice.two)
    #expect(try reader.ints("list") == [1, 2] && reader.ints("i", count: 2) == [3, 3])
    #expect(try reader.floats("floats") == [0.5] && reader.floats("list") == [1, 2])
    #expect(try reader.int("absent", default: 7) == 7 && reader.float("absent", default: 1) == 1)
    #expect(reader.unread == [])
    #expect(reader.known.contains("absent"))
  }

  @Test func readsInfinitiesAndNaN() throws {
    var reader = AttributeReader(["a": "inf", "b": "-inf", "c": "nan", "d": "x"])
    #expect(try reader.float("a") == .infinity && reader.float("b") == -.infinity)
    #expect(try reader.float("c").isNaN)
    expectError(.graph, "expected attribute 'd' to be a number, found a string") {
      try reader.float("d")
    }
  }

  @Test func refusesOtherTypes() throws {
    var reader = AttributeReader(["s": "x", "i": 3, "list": [1, 2]])
    expectError(.graph, "expected attribute 's' to be an integer, found a string") {
      try reader.int("s")
    }
    expectError(.graph, "expected attribute 'none' (an integer), found none") {
      try reader.int("none")
    }
    expectError(.graph, "expected attribute 'i' in 0...2, found 3") {
      try reader.int("i", in: 0...2)
    }
    expectError(.graph, "expected attribute 'i' to be true or false, found an integer") {
      try reader.bool("i")
    }
    expectError(.graph, "expected attribute 'i' to be a string, found an integer") {
      try reader.string("i")
    }
    expectError(.graph, "expected attribute 's' to be one of one, two, found 'x'") {
      try reader.choice("s") as Choice
    }
    expectError(.graph, "expected attribute 's' to be a list of integers, found a string") {
      try reader.ints("s")
    }
    expectError(.graph, "expected 3 integers in attribute 'list', found 2") {
      try reader.ints("list", count: 3)
    }
    expectError(.graph, "expected attribute 'list' in 0...1, found 2") {
      try reader.ints("list", in: 0...1)
    }
    expectError(.graph, "expected attribute 's' to be a list of numbers, found a string") {
      try reader.floats("s")
    }
    expectError(
      .graph,
      "expected attribute 's' to be one of \(ElementType.allCases.map(\.rawValue).joined(separator: ", ")), found 'x'"
    ) { try reader.elementType("s") }
  }

  @Test func keepTheirOrderAndKind() throws {
    var attributes: Attributes = ["b": 1.0, "a": 1, "c": .floats([1, 0.5]), "d": .ints([])]
    attributes["e"] = true
    attributes["b"] = nil
    attributes["b"] = 2.0
    #expect(attributes.names == ["a", "c", "d", "e", "b"])
    #expect(attributes.json.text() == #"{"a":1,"c":[1.0,0.5],"d":[],"e":true,"b":2.0}"#)
    #expect(try Attributes(json: attributes.json, path: "p") == attributes)
    expectError(
      .format, "expected a number, bool, string or list of numbers, found object", path: "p.x"
    ) { try Attributes(json: .object([JSON.Member("x", .object([]))]), path: "p") }
    expectError(.format, "expected an object, found array", path: "p") {
      try Attributes(json: .array([]), path: "p")
    }
  }

  @Test func registriesNameBothProviders() throws {
    var registry = LayerRegistry.standard
    let definition = try registry.definition(of: "lamina.relu")
    var other = definition
    other.provider = "com.example"
    expectError(.argument, "lamina.relu of 'com.example' is already supplied by 'lamina'") {
      try registry.register(other)
    }
    registry.replace(other)
    #expect(try registry.definition(of: "lamina.relu").provider == "com.example")
    expectError(
      .notFound,
      "unknown layer kind 'com.example.swirl', usually supplied by a plugin of 'com.example'; \(standardLayers.count) kinds are registered"
    ) { try registry.definition(of: "com.example.swirl") }
  }
}
