import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A folder of files that goes away with the last reference.
final class TemporaryFolder {
  let path: String

  init(_ files: [String: [UInt8]] = [:]) throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    path = url.path
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    for (name, bytes) in files {
      let file = url.appendingPathComponent(name)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: file)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct ShardedTests {
  static let weight = safeTensors(
    #"{"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#,
    data: littleEndian(weightNumbers))
  static let bias = safeTensors(
    #"{"bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: littleEndian(biasNumbers))

  private func open(_ index: String, _ files: [String: [UInt8]] = [:]) throws -> [String: Tensor] {
    let all = ["a.safetensors": Self.weight, "sub/b.safetensors": Self.bias].merging(files) { $1 }
    let folder = try TemporaryFolder(
      all.merging(["model.safetensors.index.json": Array(index.utf8)]) { $1 })
    do {
      let source = try openTensorSource(path: "\(folder.path)/model.safetensors.index.json")
      var result: [String: Tensor] = [:]
      for key in source.keys { result[key] = try source.tensor(key) }
      return result
    } catch let error as LaminaError {
      let path = error.path.replacing(folder.path, with: "…")
      throw LaminaError(error.code, error.message, path: path)
    }
  }

  @Test func tensorsComeFromTheirFiles() throws {
    let index = """
      {"metadata": {"total_size": 32},
       "weight_map": {"weight": "a.safetensors", "bias": "sub/b.safetensors"}}
      """
    #expect(equalBytes(try open(index), try expectedTensors()))
  }

  static let malformed: [(name: String, index: String, expected: String)] = [
    (
      "no map", "{}",
      "format: …/model.safetensors.index.json: expected member 'weight_map', found none"
    ),
    (
      "an empty map", #"{"weight_map": {}}"#,
      "format: …/model.safetensors.index.json: expected tensors, found an empty weight_map"
    ),
    ("another member", #"{"weight_map": {}, "x": 1}"#, "format: …/model.safetensors.index.json: "),
    (
      "a map of numbers", #"{"weight_map": {"weight": 1}}"#,
      "format: …/model.safetensors.index.json: weight: expected the name of a file, found "
    ),
    ("a map that is a list", #"{"weight_map": []}"#, "format: …/model.safetensors.index.json"),
    (
      "a file that is not there", #"{"weight_map": {"weight": "c.safetensors"}}"#,
      "notFound: …/model.safetensors.index.json: weight: tensors 'c.safetensors' does not exist"
    ),
    (
      "a file above", #"{"weight_map": {"weight": "../a.safetensors"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a file beneath the model's folder, found '../a.safetensors'"
    ),
    (
      "a way back", #"{"weight_map": {"weight": "sub/../a.safetensors"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a file beneath the model's folder, found 'sub/../a.safetensors'"
    ),
    (
      "an absolute path", #"{"weight_map": {"weight": "/etc/passwd"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a file beneath the model's folder, found '/etc/passwd'"
    ),
    (
      "an empty path", #"{"weight_map": {"weight": ""}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a file beneath the model's folder, found ''"
    ),
    (
      "a NUL", #"{"weight_map": {"weight": "a\u0000b"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a file beneath"
    ),
    (
      "a backslash", #"{"weight_map": {"weight": "a\\b"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a file beneath"
    ),
    (
      "a folder", #"{"weight_map": {"weight": "sub"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a regular file, found 'sub'"
    ),
    (
      "a file as a folder", #"{"weight_map": {"weight": "a.safetensors/b"}}"#,
      "format: …/model.safetensors.index.json: weight: expected tensors in a regular file, found a link in 'a.safetensors/b'"
    ),
    (
      "the wrong file", #"{"weight_map": {"weight": "sub/b.safetensors"}}"#,
      "format: …/model.safetensors.index.json: expected tensor 'bias' in no file, as the index says, found it in 'sub/b.safetensors'"
    ),
    (
      "a tensor that the file has not",
      #"{"weight_map": {"weight": "a.safetensors", "more": "a.safetensors"}}"#,
      "notFound: a.safetensors (safetensors): no tensor named 'more'"
    ),
    (
      "a tensor twice", #"{"weight_map": {"weight": "a.safetensors", "weight": "a.safetensors"}}"#,
      "format: …/model.safetensors.index.json"
    ),
    (
      "two files with one tensor",
      #"{"weight_map": {"weight": "a.safetensors", "x": "twin.safetensors"}}"#,
      "format: …/model.safetensors.index.json: expected tensor 'weight' in 'a.safetensors', as the index says, found it in 'twin.safetensors'"
    ),
    (
      "a broken file", #"{"weight_map": {"weight": "broken.safetensors"}}"#,
      "format: broken.safetensors"
    ),
    (
      "the index itself", #"{"weight_map": {"weight": "model.safetensors.index.json"}}"#,
      "format: model.safetensors.index.json"
    ),
    (
      "half a text", #"{"weight_map": {"weight": "a.safe"#, "format: …/model.safetensors.index.json"
    ),
    (
      "brackets", #"{"weight_map": "# + String(repeating: "[", count: 1000),
      "limit: …/model.safetensors.index.json"
    ),
  ]

  @Test(arguments: malformed.indices) func malformedIndicesAreRefused(index: Int) {
    let (name, text, expected) = Self.malformed[index]
    let error = outcome {
      _ = try open(text, ["broken.safetensors": [1, 2, 3], "twin.safetensors": Self.weight])
    }
    #expect(error.hasPrefix(expected) && error != "no error", "\(name): \(error)")
  }

  @Test func everyTruncationIsAnError() throws {
    let index = #"{"weight_map":{"weight":"a.safetensors","bias":"sub/b.safetensors"}}"#
    for count in 1..<index.utf8.count {
      let text = outcome { _ = try open(String(index.prefix(count))) }
      #expect(text != "no error" && !text.hasPrefix("another"), "\(count): \(text)")
    }
  }

  @Test func linksAreRefused() throws {
    let folder = try TemporaryFolder([
      "a.safetensors": Self.weight,
      "i.json": Array(#"{"weight_map": {"weight": "link"}}"#.utf8),
    ])
    try FileManager.default.createSymbolicLink(
      atPath: "\(folder.path)/link", withDestinationPath: "a.safetensors")
    #expect(
      outcome { _ = try openTensorSource(path: "\(folder.path)/i.json") }.hasSuffix(
        "weight: expected tensors in a regular file, found a link in 'link'"))
    try FileManager.default.removeItem(atPath: "\(folder.path)/link")
    try FileManager.default.linkItem(
      atPath: "\(folder.path)/a.safetensors", toPath: "\(folder.path)/link")
    #expect(
      outcome { _ = try openTensorSource(path: "\(folder.path)/i.json") }.hasSuffix(
        "weight: expected tensors in a file of one name, found hard links to 'link'"))
  }

  @Test func anIndexFromMemoryHasNoFolder() {
    #expect(
      outcome { _ = try openTensorSource(bytes: Array(#"{"weight_map": {}}"#.utf8), name: "file") }
        == "unsupported: file: an index of safetensors files is opened by its path")
  }
}
