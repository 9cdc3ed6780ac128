import Foundation
import LaminaTestSupport

/// A block of code in a page.
struct CodeBlock {
  let language: String
  /// The word behind the language: the name of the file that holds the block, or how it is run.
  let word: String?
  private(set) var code = ""

  /// Reads the blocks of the page at `path` within the package.
  static func read(_ path: String) throws -> [CodeBlock] {
    let text = try String(
      contentsOf: URL(filePath: packageRoot).appending(path: path), encoding: .utf8)
    var blocks: [CodeBlock] = []
    var current: CodeBlock?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") {
        if let block = current {
          blocks.append(block)
          current = nil
        } else {
          let words = line.dropFirst(3).split(separator: " ").map(String.init)
          current = CodeBlock(
            language: words.first ?? "", word: words.count > 1 ? words[1] : nil)
        }
      } else {
        current?.code += line + "\n"
      }
    }
    return blocks
  }
}

/// What `make test` has installed, as its users find it; there is none in a plain `swift test`.
struct Installation {
  /// The folder that it was installed under, and a Python with numpy.
  static let prefix = ProcessInfo.processInfo.environment["LAMINA_PREFIX"]
  static let python = ProcessInfo.processInfo.environment["LAMINA_PYTHON"]
  static let isThere = prefix != nil && python != nil

  let prefix: String
  /// Holds `python3` and what plugins leave.
  private let folder: TemporaryFolder

  init(prefix: String? = prefix) throws {
    self.prefix = prefix ?? ""
    folder = try TemporaryFolder()
    let program = try folder.file(
      "python3", Array("#!/bin/sh\nexec '\(Installation.python ?? "python3")' \"$@\"\n".utf8))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
  }

  /// Runs a line of shell. Programs are those of the installation and of the system; where libraries lie at run
  /// time, programs must know themselves.
  func shell(_ line: String, in directory: URL) throws -> Outcome {
    try Tool.shell(
      line, in: directory,
      environment: [
        "PATH": "\(folder.url.path):\(prefix)/bin:/usr/local/bin:/usr/bin:/bin",
        "PKG_CONFIG_PATH": "\(prefix)/lib/pkgconfig", "CMAKE_PREFIX_PATH": prefix,
        "LD_LIBRARY_PATH": "", "LAMINA_PLUGIN_PATH": "", "MAKEFLAGS": "", "MAKELEVEL": "",
        "XDG_CACHE_HOME": folder.path("cache"),
        "LAMINA_LIBRARY": "\(prefix)/lib/liblamina.so",
        "PYTHONPATH": "\(packageRoot)/examples/python",
      ])
  }

  /// Whether the system has a program.
  static func has(_ program: String) -> Bool {
    (try? Tool.shell("command -v \(program)").status) == 0
  }
}
