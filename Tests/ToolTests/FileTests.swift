import Foundation
import Lamina
import Testing

/// Things a user may name in place of a file.
private let wrongFiles = [
  "missing", "directory", "empty", "fifo", "/dev/zero", "-", "two\nlines", "%s%n", "text",
  String(repeating: "x", count: 4096),
]

/// Commands with a hole for the wrong file.
private let places: [[String]] = [
  ["summary", "?"],
  ["bench", "?"],
  ["predict", "?", "picture.png"],
  ["predict", "sample.safetensors", "?"],
  ["import", "?", "--model", "resnet18", "-o", "out.safetensors"],
  ["import", "w.pth", "--model", "resnet18", "-o", "out.safetensors", "--labels", "?"],
]

private func sampleFolder() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  try ModelFile.save(Sample.model(), to: folder.path("sample.safetensors"))
  _ = try folder.file("picture.png", Sample.picture)
  _ = try folder.file("empty")
  _ = try folder.file("text", Array("hello\n".utf8) + [0xFF])
  try FileManager.default.createDirectory(
    at: folder.url.appendingPathComponent("directory"), withIntermediateDirectories: false)
  mkfifo(folder.path("fifo"), 0o600)
  return folder
}

@Test(arguments: places) func wrongFilesEndInOneLineAndStatus3(words: [String]) throws {
  let folder = try sampleFolder()
  let before = try folder.names
  for file in wrongFiles {
    let quoted = words.map { "'\($0 == "?" ? file : $0)'" }.joined(separator: " ")
    let outcome = try Tool.shell("timeout 20 lamina \(quoted)", in: folder.url)
    #expect(outcome.status == 3, "\(words) with \(file.prefix(20))")
    #expect(outcome.output == "")
    #expect(outcome.errors.hasPrefix("lamina \(words[0]): "))
    #expect(outcome.errorLines.filter { $0.hasPrefix("lamina ") }.count == 1)
    #expect(outcome.errorLines.last?.hasPrefix("lamina \(words[0]): ") == true)
  }
  #expect(try folder.names == before)
}

@Test func pathsThatAreNoUTF8AreNotFound() throws {
  let outcome = try Tool.shell("lamina summary \"$(printf 'a\\377b')\"")
  #expect(outcome.status == 3)
  #expect(outcome.errorLines.count == 1)
}

@Test func messagesNameTheFileAndTheFault() throws {
  let folder = try sampleFolder()
  let cases = [
    ("summary missing", "lamina summary: missing: no such file or directory\n"),
    (
      "summary resnet5",
      "lamina summary: resnet5: no such file or model of the catalogue, nearest is 'resnet50'\n"
    ),
    (
      "summary directory", "lamina summary: directory: expected a regular file, found a directory\n"
    ),
    ("summary fifo", "lamina summary: fifo: expected a regular file, found a FIFO\n"),
    ("summary /dev/zero", "lamina summary: /dev/zero: expected a regular file, found a device\n"),
  ]
  for (words, message) in cases {
    let outcome = try Tool.shell("lamina \(words)", in: folder.url)
    #expect(outcome.errors == message)
  }
}

@Test func importLeavesItsInputAndItsFolderAlone() throws {
  let folder = try sampleFolder()
  let sample = folder.path("sample.safetensors")
  let before = try Data(contentsOf: URL(fileURLWithPath: sample))
  try FileManager.default.createSymbolicLink(
    atPath: folder.path("link"), withDestinationPath: sample)
  for target in ["sample.safetensors", "./sample.safetensors", "link"] {
    let outcome = try Tool.run(
      "import", "sample.safetensors", "--model", "resnet18", "-o", target, in: folder.url)
    #expect(outcome.status == 2)
    #expect(
      outcome.errors
        == "lamina import: '\(target)' is both input and output; see 'lamina import --help'\n")
  }
  #expect(try Data(contentsOf: URL(fileURLWithPath: sample)) == before)
}
