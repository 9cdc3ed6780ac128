import Foundation
import Lamina
import LaminaTestSupport
import Testing

private let graph =
  #"{"format":"lamina.graph","version":1,"name":"scales","inputs":[{"name":"input","type":"float32","shape":["batch",3]}],"#
  + #""nodes":[{"name":"body","kind":"test.scale","inputs":["input"],"attributes":{"features":3}}],"outputs":["body"]}"#

/// A model file with these texts; a nil one is left out.
private func file(
  graph text: String? = graph, format: String? = "1", more: [(String, String)] = [],
  tensors: [String: Tensor]? = nil
) throws -> [UInt8] {
  var metadata: [(key: String, value: String)] = []
  if let format { metadata.append(("lamina.format", format)) }
  if let text { metadata.append(("lamina.graph", text)) }
  for (key, value) in more { metadata.append(("lamina." + key, value)) }
  let standard = ["body.weight": try Tensor(zeros: [3, 2]), "body.bias": try Tensor(zeros: [3])]
  return try SafeTensors.bytes(tensors ?? standard, metadata: metadata)
}

private func load(_ bytes: [UInt8]) throws -> Model {
  try ModelFile.load(bytes: bytes, name: "file", registry: scaleRegistry)
}

private func edited(_ old: String, _ new: String) throws -> [UInt8] {
  let text = graph.replacing(old, with: new)
  #expect(text != graph)
  return try file(graph: text)
}

/// A malformed model file.
struct BadModel: Sendable, CustomTestStringConvertible {
  var name: String
  var expected: String
  var bytes: @Sendable () throws -> [UInt8]
  var testDescription: String { name }

  init(_ name: String, _ expected: String, _ bytes: @escaping @Sendable () throws -> [UInt8]) {
    self.name = name
    self.expected = expected
    self.bytes = bytes
  }
}

@Suite struct ModelFileTests {
  static let malformed = [
    BadModel(
      "no graph",
      "unsupported: file: holds weights without a graph: create a model by its name and load these weights into it"
    ) { try file(graph: nil) },
    BadModel(
      "no format",
      "unsupported: file: lamina.format: expected format version 1, found none"
    ) { try file(format: nil) },
    BadModel(
      "format 2",
      "unsupported: file: lamina.format: expected format version 1, found 2"
    ) { try file(format: "2") },
    BadModel(
      "graph no JSON",
      "format: file: lamina.graph @ 1: expected a key, found the end of the text"
    ) { try file(graph: "{") },
    BadModel(
      "graph an array",
      "format: file: lamina.graph: expected an object, found array"
    ) { try file(graph: "[]") },
    BadModel(
      "graph nested deeply",
      "limit: file: lamina.graph @ 64: expected at most 64 levels of nesting"
    ) { try file(graph: String(repeating: "[", count: 1000)) },
    BadModel(
      "other graph format",
      "format: file: lamina.graph.format: expected format 'lamina.graph'"
    ) { try edited("lamina.graph", "other.graph") },
    BadModel(
      "graph version 2",
      "unsupported: file: lamina.graph.version: expected version 1 to 1, found 2"
    ) { try edited(#""version":1"#, #""version":2"#) },
    BadModel(
      "graph version of text",
      "format: file: lamina.graph.version: expected an integer, found string"
    ) { try edited(#""version":1"#, #""version":"1""#) },
    BadModel(
      "no name",
      "format: file: lamina.graph.name: expected a string, found nothing"
    ) { try edited(#""name":"scales","#, "") },
    BadModel(
      "unknown field",
      "format: file: lamina.graph: unknown field 'node', nearest is 'nodes'"
    ) { try edited(#""nodes""#, #""node":[],"nodes""#) },
    BadModel(
      "inputs no array",
      "format: file: lamina.graph.inputs: expected an array, found object"
    ) {
      try edited(
        #""inputs":[{"name":"input","type":"float32","shape":["batch",3]}]"#, #""inputs":{}"#)
    },
    BadModel(
      "unknown element type",
      "format: 2 problems: file: lamina.graph.inputs[0].type: expected an element type; body (test.scale): input 'input' is not a value defined before this node"
    ) { try edited("float32", "float31") },
    BadModel(
      "negative extent",
      "format: 2 problems: file: lamina.graph.inputs[0].shape: expected extents or names, found integer; body (test.scale): input 'input' is not a value defined before this node"
    ) { try edited(#"["batch",3]"#, #"["batch",-3]"#) },
    BadModel(
      "empty symbol",
      "format: 2 problems: file: lamina.graph.inputs[0].shape: expected 'name' or 'name=extent', found '=4'; body (test.scale): input 'input' is not a value defined before this node"
    ) { try edited(#"["batch",3]"#, #"["=4",3]"#) },
    BadModel(
      "unknown kind",
      "notFound: body (scales): unknown layer kind 'scales'; 2 kinds are registered"
    ) { try edited("test.scale", "scales") },
    BadModel(
      "kind of a number",
      "format: file: lamina.graph.nodes[0].kind: expected a string, found integer"
    ) { try edited(#""test.scale""#, "7") },
    BadModel(
      "unknown attribute",
      "graph: body (test.scale): expected attribute 'features' (an integer), found none"
    ) { try edited("features", "feature") },
    BadModel(
      "attribute of another type",
      "graph: body (test.scale): expected attribute 'features' to be an integer, found a string"
    ) { try edited(#""features":3"#, #""features":"3""#) },
    BadModel(
      "attribute out of range",
      "graph: body (test.scale): expected attribute 'features' in 1...1000, found 0"
    ) { try edited(#""features":3"#, #""features":0"#) },
    BadModel(
      "unknown input",
      "graph: body (test.scale): input 'imput' is not a value defined before this node"
    ) { try edited(#""inputs":["input"]"#, #""inputs":["imput"]"#) },
    BadModel(
      "itself as input",
      "graph: body (test.scale): input 'body' is not a value defined before this node"
    ) { try edited(#""inputs":["input"]"#, #""inputs":["body"]"#) },
    BadModel(
      "no inputs",
      "graph: body (test.scale): expected 1 inputs, found 0"
    ) { try edited(#""inputs":["input"]"#, #""inputs":[]"#) },
    BadModel(
      "two nodes of a name",
      "graph: body (test.wide): two values are named 'body'"
    ) {
      try edited(
        #""attributes":{"features":3}}"#,
        #""attributes":{"features":3}},{"name":"body","kind":"test.wide","inputs":["input"]}"#)
    },
    BadModel(
      "unknown output",
      "notFound: file: lamina.graph.outputs[0]: no value named 'bady', nearest is 'body'"
    ) { try edited(#""outputs":["body"]"#, #""outputs":["bady"]"#) },
    BadModel(
      "no outputs",
      "format: file: lamina.graph.outputs: expected at least one output"
    ) { try edited(#""outputs":["body"]"#, #""outputs":[]"#) },
    BadModel(
      "binding of no parameter",
      "graph: body (test.scale): no parameter is named 'w'"
    ) {
      try edited(#""attributes""#, #""parameters":{"w":{"tensor":"body.weight"}},"attributes""#)
    },
    BadModel(
      "labels no array",
      "format: file: lamina.labels: expected an array of strings"
    ) { try file(more: [("labels", "{}")]) },
    BadModel(
      "label of a number",
      "format: file: lamina.labels: expected an array of strings"
    ) { try file(more: [("labels", #"["a", 1]"#)]) },
    BadModel(
      "preprocessing wrong",
      "format: 2 problems: file: lamina.preprocessing.std: expected 1 or 3 numbers other than 0; file: lamina.preprocessing: unknown field 'size'"
    ) {
      try file(more: [("preprocessing", #"{"std":[0],"size":1}"#)])
    },
    BadModel(
      "unknown output kind",
      "format: file: lamina.output: expected one of logits, probabilities, features, found 'scores'"
    ) { try file(more: [("output", "scores")]) },
    BadModel(
      "provenance of numbers",
      "format: file: lamina.provenance.a: expected a string, found integer"
    ) { try file(more: [("provenance", #"{"a":1}"#)]) },
    BadModel(
      "tensor missing",
      "weights: body (test.scale): tensor 'body.bias' is missing"
    ) { try file(tensors: ["body.weight": Tensor(zeros: [3, 2])]) },
    BadModel(
      "tensor of another shape",
      "weights: body (test.scale): expected tensor 'body.weight' to be float32 [3, 2], found float32 [2, 2]"
    ) {
      try file(tensors: ["body.weight": Tensor(zeros: [2, 2]), "body.bias": Tensor(zeros: [3])])
    },
    BadModel(
      "tensor of integers",
      "weights: body (test.scale): expected tensor 'body.weight' to be float32 [3, 2], found int32 [3, 2]"
    ) {
      try file(
        tensors: ["body.weight": Tensor(zeros: [3, 2], .int32), "body.bias": Tensor(zeros: [3])])
    },
    BadModel(
      "tensor of no node",
      "weights: file: tensor 'x' belongs to no node of the graph"
    ) {
      try file(
        tensors: [
          "body.weight": Tensor(zeros: [3, 2]), "body.bias": Tensor(zeros: [3]),
          "x": Tensor(zeros: [1]),
        ])
    },
    BadModel(
      "PyTorch file",
      "unsupported: file: holds weights without a graph: create a model by its name and load these weights into it"
    ) { validZip.bytes },
    BadModel(
      "PyTorch legacy file",
      "unsupported: file: holds weights without a graph: create a model by its name and load these weights into it"
    ) { validLegacy },
    BadModel(
      "something else",
      "unsupported: file: expected a model of Lamina, ONNX or Keras, found another format"
    ) { Array("no model at all".utf8) },
  ]

  @Test(arguments: malformed) func malformedFilesAreErrors(bad: BadModel) {
    #expect(outcome { _ = try load(bad.bytes()) } == bad.expected)
  }

  @Test func truncationsAndFlipsNeverTrap() throws {
    let bytes = try file(more: [("labels", #"["a","b"]"#), ("output", "logits")])
    for count in 0..<bytes.count {
      #expect(outcome { _ = try load(Array(bytes[..<count])) } != "no error")
    }
    let random = CounterRandom(seed: 11)
    for n in 0..<2000 {
      var copy = bytes
      let word = random.bits(UInt64(n))
      copy[Int(word % UInt64(bytes.count))] ^= UInt8(1 << (word >> 60 & 7))
      _ = outcome { _ = try load(copy) }
    }
  }

  @Test func modelsRoundTrip() throws {
    var metadata = ModelMetadata()
    metadata.labels = ["cat", "dög", "a \"quoted\"\nname"]
    metadata.preprocessing = .caffe(size: 32, resize: 40)
    metadata.outputKind = .features
    metadata.provenance = ["source": "test", "licence": "MIT"]
    let model = try scaleModel().replacingMetadata(metadata)
    try withTemporaryFolder { folder in
      let path = folder + "/m.safetensors"
      try ModelFile.save(model, to: path)
      let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
      #expect(try ModelFile.bytes(of: model) == bytes)
      let handle = try #require(FileHandle(forReadingAtPath: path))
      for loaded in [
        try ModelFile.load(path: path, registry: scaleRegistry), try load(bytes),
        try ModelFile.load(descriptor: handle.fileDescriptor, registry: scaleRegistry),
      ] {
        #expect(loaded.metadata == metadata)
        #expect(equalBytes(loaded.parameters, model.parameters))
        #expect(loaded.graph.json == model.graph.json)
        #expect(try ModelFile.bytes(of: loaded) == bytes)
      }
      #expect(try openTensorSource(path: path).keys.sorted() == model.parameters.keys.sorted())
    }
  }

  @Test func halfPrecisionFilesLoad() throws {
    let weight = try Tensor(uninitialized: [3, 2], .float16)
    weight.withMutableBytes { bytes in
      bytes.copyBytes(from: [UInt16](repeating: 0x3E00, count: 6).flatMap(littleEndian))
    }
    let model = try load(
      file(tensors: ["body.weight": weight, "body.bias": Tensor(zeros: [3], .bfloat16)]))
    #expect(
      model.parameters["body.weight"]?.elements(as: Float.self) == [1.5, 1.5, 1.5, 1.5, 1.5, 1.5])
    #expect(model.parameters["body.bias"]?.type == .float32)
  }
}
