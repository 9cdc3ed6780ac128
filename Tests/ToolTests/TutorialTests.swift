import Foundation
import LaminaTestSupport
import Testing

/// A page of `examples/tutorials`, and under which name it wants the trained network of `examples/training`.
struct Tutorial: Sendable, CustomTestStringConvertible {
  let name: String
  var network: String?

  static let all = [
    Tutorial(name: "link-from-c", network: "digits.safetensors"),
    Tutorial(name: "fine-tune", network: "resnet.safetensors"),
    Tutorial(name: "bring-your-weights"),
    Tutorial(name: "write-a-layer"),
  ]

  var path: String { "examples/tutorials/\(name).md" }
  var testDescription: String { name }
}

/// A command of a transcript, behind `$ `, which goes on behind `\` at the end of a line, and the lines that it prints, in which `…` stands for anything.
private struct Step {
  var command: String
  var expected: String

  static func read(_ code: String) -> [Step] {
    var steps: [Step] = []
    let code = code.replacing("\\\n", with: "")
    for line in code.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      if line.hasPrefix("$ ") {
        steps.append(Step(command: String(line.dropFirst(2)), expected: ""))
      } else if !steps.isEmpty {
        steps[steps.count - 1].expected += line + "\n"
      }
    }
    return steps
  }

  func fits(_ output: String) -> Bool {
    let pattern = NSRegularExpression.escapedPattern(for: expected)
      .replacingOccurrences(of: "…", with: "[\\s\\S]*?")
    return output.range(of: "\\A\(pattern)\\z", options: .regularExpression) != nil
  }
}

@Suite struct TutorialTests {
  @Test func everyPageIsTested() throws {
    let pages = try FileManager.default.contentsOfDirectory(
      atPath: "\(packageRoot)/examples/tutorials")
    #expect(pages.sorted() == Tutorial.all.map { "\($0.name).md" }.sorted())
  }

  @Test(arguments: Tutorial.all) func linksLeadToFiles(_ tutorial: Tutorial) throws {
    let page = URL(filePath: packageRoot).appending(path: tutorial.path)
    let text = try String(contentsOf: page, encoding: .utf8)
    for link in text.matches(of: /\]\(([^)]*)\)/) {
      let file = page.deletingLastPathComponent().appending(path: String(link.1))
      #expect(FileManager.default.fileExists(atPath: file.path), "\(link.1)")
    }
  }

  /// Blocks with a file's name are written, transcripts are typed, in their order. `fails`: every command of the
  /// transcript fails, and its errors follow what it prints; `needs-x`: without the program x it is left out;
  /// `program`: compiled with Lamina and run, it prints the comment of its last line; `swift-plugin`: the plugin is
  /// compiled with the objects of this build, as its own build would take minutes; `not-run`: the page says that the
  /// block is not.
  @Test(
    .enabled(if: Installation.isThere, "skipped: runs in make test"), arguments: Tutorial.all)
  func everyBlockDoesWhatThePageSays(_ tutorial: Tutorial) throws {
    let installation = try Installation()
    let folder = try TemporaryFolder()
    if let network = tutorial.network {
      try FileManager.default.copyItem(
        atPath: "\(packageRoot)/examples/training/resnet14_mnist.safetensors",
        toPath: folder.path(network))
    }
    var count = 0
    for block in try CodeBlock.read(tutorial.path) where block.word != "not-run" {
      if block.word == "program" {
        let outcome = try runSwift(block.code, in: folder)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let last = try #require(block.code.split(separator: "\n").last)
        #expect(outcome.output == last.components(separatedBy: "// ").last.map { $0 + "\n" })
        continue
      }
      if block.word == "swift-plugin" { try buildSwiftPlugin("soft", "SoftPlugin", in: folder) }
      if block.language != "console" {
        let name = try #require(block.word, "a block of \(block.language) has no name")
        _ = try folder.file(name, Array(block.code.utf8))
        continue
      }
      if let word = block.word, word.hasPrefix("needs-"),
        !Installation.has(String(word.dropFirst(6)))
      {
        print("skipped: a block of \(tutorial.name) needs \(word.dropFirst(6))")
        continue
      }
      let fails = block.word == "fails"
      for step in Step.read(block.code) {
        let outcome = try installation.shell(step.command, in: folder.url)
        #expect((outcome.status != 0) == fails, "\(step.command): \(outcome.errors)")
        let found = fails ? outcome.output + outcome.errors : outcome.output
        #expect(step.fits(found), "\(step.command): expected\n\(step.expected)found\n\(found)")
        count += 1
      }
    }
    #expect(count >= 8)
  }
}
