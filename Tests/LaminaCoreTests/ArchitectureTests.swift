import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// The rules of the house that a compiler does not check: who may import whom, and what no file may say.
struct ArchitectureTests {
  /// The targets below `Sources` and what each may import beside the system's library.
  private static let allowedImports: [String: Set<String>] = [
    "LaminaCore": ["LaminaKernels"],
    "LaminaLayers": ["LaminaCore", "LaminaKernels"],
    "LaminaBlocks": ["LaminaCore"],
    "LaminaModels": ["LaminaBlocks", "LaminaCore"],
    "LaminaWeights": ["LaminaCore", "CZlib"],
    "LaminaImages": ["LaminaCore", "LaminaKernels", "LaminaImageShim", "CZlib"],
    "LaminaTraining": ["LaminaCore", "LaminaKernels", "LaminaImages"],
    "LaminaPlugins": ["LaminaCore", "LaminaImages", "CLamina"],
    "LaminaPluginKit": ["LaminaCore", "CLamina"],
    "LaminaC": [
      "CLamina", "LaminaBlocks", "LaminaCore", "LaminaImages", "LaminaKernels", "LaminaLayers",
      "LaminaModels", "LaminaPlugins", "LaminaTraining", "LaminaWeights",
    ],
    "Lamina": [
      "LaminaBlocks", "LaminaCore", "LaminaImages", "LaminaLayers", "LaminaModels", "LaminaPlugins",
      "LaminaTraining", "LaminaWeights",
    ],
    "lamina-tool": ["Dispatch", "Foundation", "Lamina"],
  ]
  private static let systemLibraries: Set<String> = ["Darwin", "Glibc", "Musl", "Synchronization"]
  private static let systemTargets: Set<String> = ["CJPEG", "CPNG", "CZlib"]
  private static let cTargets: Set<String> = ["LaminaImageShim", "LaminaKernels"]

  private struct SourceFile {
    var path: String
    var text: String

    var name: String { String(path.split(separator: "/").last ?? "") }
    /// The folder below `Sources`.
    var target: String { String(path.split(separator: "/").dropFirst().first ?? "") }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// Lines with number, without string literals and comments; those that carry `// SAFE:` are left out.
    var code: [(number: Int, text: String)] {
      lines.enumerated().compactMap { index, line -> (number: Int, text: String)? in
        if line.contains("// SAFE:") { return nil }
        let bare = line.replacing(#/"(?:\\.|[^"\\])*"/#, with: "\"\"").replacing(
          #/\/\/.*/#, with: "")
        return (index + 1, String(bare))
      }
    }
  }

  /// Files below a folder of the package with one of these extensions, by path.
  private static func files(in folder: String, _ extensions: Set<String>) throws -> [SourceFile] {
    let root = URL(filePath: packageRoot).appending(path: folder)
    guard let walk = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)
    else {
      throw LaminaError(.notFound, "expected a folder \(folder)")
    }
    return try walk.compactMap { $0 as? URL }
      .filter { extensions.contains($0.pathExtension) }
      .map { url in
        SourceFile(
          path: String(url.path.dropFirst(packageRoot.count + 1)),
          text: try String(contentsOf: url, encoding: .utf8))
      }
      .sorted { $0.path < $1.path }
  }

  @Test func importsFollowTheArrows() throws {
    let statement =
      #/^\s*(?:@\w+\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/#
    let files = try Self.files(in: "Sources", ["swift"])
    #expect(files.count > 50)
    for file in files {
      guard let allowed = Self.allowedImports[file.target] else {
        Issue.record("\(file.path): expected a target of the table, found '\(file.target)'")
        continue
      }
      for (number, line) in file.code {
        guard let module = line.firstMatch(of: statement).map({ String($0.1) }) else { continue }
        if !allowed.contains(module) && !Self.systemLibraries.contains(module) {
          Issue.record("\(file.path):\(number): \(file.target) may not import \(module)")
        }
      }
    }
  }

  @Test func everyTargetIsInTheTable() throws {
    let folders = try FileManager.default.contentsOfDirectory(atPath: "\(packageRoot)/Sources")
      .filter { !$0.hasPrefix(".") }
    let known = Set(Self.allowedImports.keys).union(Self.systemTargets).union(Self.cTargets)
    #expect(Set(folders).subtracting(known) == [])
  }

  @Test func kernelsIncludeTheirOwnHeadersOnly() throws {
    let sources = try Self.files(in: "Sources/LaminaKernels", ["c", "h"])
    let own = Set(sources.map(\.name))
    for file in sources {
      for (index, line) in file.lines.enumerated() {
        guard let header = line.firstMatch(of: #/^\s*#\s*include\s+"([^"]+)"/#)?.1 else { continue }
        let name = String(header.split(separator: "/").last ?? header)
        #expect(own.contains(name), "\(file.path):\(index + 1)")
      }
    }
  }

  @Test func fileNamesAreUnique() throws {
    let names = Dictionary(grouping: try Self.files(in: "Sources", ["swift", "c"]), by: \.name)
    for (name, files) in names.sorted(by: { $0.key < $1.key })
    where files.count > 1 && name != "main.swift" {
      Issue.record("\(name) occurs as \(files.map(\.path).joined(separator: ", "))")
    }
  }

  @Test func nothingTraps() throws {
    let forbidden: [(name: String, pattern: Regex<Substring>)] = [
      ("try!", #/\btry!/#), ("as!", #/\bas!/#), ("fatalError", #/\bfatalError\(/#),
      ("unowned", #/\bunowned\b/#), ("a force unwrap", #/[\w\)\]\}"]!(?!=)/#),
    ]
    for file in try Self.files(in: "Sources", ["swift"]) where file.target != "lamina-tool" {
      for (number, line) in file.code {
        let bare = line.replacing("try!", with: "try! ")
        for (name, pattern) in forbidden where bare.firstMatch(of: pattern) != nil {
          Issue.record("\(file.path):\(number): \(name) needs '// SAFE:' with a reason")
        }
      }
    }
  }

  @Test func theRuleAgainstForceUnwrapsFindsThem() {
    let unwrap = #/[\w\)\]\}"]!(?!=)/#
    for line in ["a!", "f()!.x", "list[0]!", "let x: Int!"] {
      #expect(line.firstMatch(of: unwrap) != nil)
    }
    for line in ["a != b", "!a", "a && !b", "(!a)", "a!=b"] {
      #expect(line.firstMatch(of: unwrap) == nil)
    }
  }

  @Test func nothingIsBuiltUnchecked() throws {
    let kinds: Set = ["swift", "c", "h", "sh", "yml", "yaml", "json", "toml", "py"]
    var files = try Self.files(in: "Sources", kinds)
    for name in ["Package.swift", "Makefile"] {
      if let text = try? String(contentsOfFile: "\(packageRoot)/\(name)", encoding: .utf8) {
        files.append(SourceFile(path: name, text: text))
      }
    }
    for folder in [".ci", "examples", "plugins"]
    where FileManager.default.fileExists(atPath: "\(packageRoot)/\(folder)") {
      files += try Self.files(in: folder, kinds)
    }
    #expect(files.contains { $0.path == "Package.swift" })
    for file in files {
      for word in ["unsafeFlags", "-Ounchecked"] where file.text.contains(word) {
        Issue.record("\(file.path) says \(word)")
      }
    }
  }

  @Test func everyLayerHasAFileOfItsName() throws {
    let names = Set(try Self.files(in: "Sources/LaminaLayers", ["swift"]).map(\.name))
    for layer in standardLayers {
      #expect(names.contains("\(layer).swift"), "\(layer.kind)")
    }
  }
}
