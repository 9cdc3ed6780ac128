import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// What C and C++ programmers find under a prefix. They have no Swift.
@Suite struct InstallationTests {
  /// A folder with a model that has a layer of the sample plugin, and a picture.
  private func folderWithModel() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    _ = try folder.file("picture.png", Sample.picture)
    var options = PluginOptions()
    options.cacheFolder = folder.path("cache")
    let plugin = try Plugin.load(path: PluginBuilder.mish(), options: options)
    var builder = GraphBuilder(name: "mish", registry: try LayerRegistry.standard.adding(plugin))
    let input = try builder.input("input", [.batch, 3, 8, 8])
    let act = try builder.add("com.example.mish", "act", input)
    let flat = try builder.add("lamina.flatten", "flatten", act)
    let scores = try builder.add("lamina.dense", "fc", flat, attributes: ["out_features": 3])
    try builder.output(scores, name: "output")
    try ModelFile.save(
      Model(
        initializing: builder.graph, seed: 1, metadata: Sample.metadata, registry: builder.registry),
      to: folder.path("model.safetensors"))
    for language in ["c", "cpp"] {
      try FileManager.default.copyItem(
        atPath: "\(packageRoot)/examples/\(language)", toPath: folder.path(language))
    }
    return folder
  }

  /// The installation, or a copy of it in another place.
  private func installation(moved: Bool, _ folder: TemporaryFolder) throws -> Installation {
    let prefix = try #require(Installation.prefix)
    guard moved else { return try Installation() }
    try FileManager.default.copyItem(atPath: prefix, toPath: folder.path("moved"))
    return try Installation(prefix: folder.path("moved"))
  }

  private func check(_ build: String, _ program: String, moved: Bool) throws {
    let folder = try folderWithModel()
    let installation = try installation(moved: moved, folder)
    let plugin = "\(installation.prefix)/lib/lamina/plugins/mish.so"
    let built = try installation.shell(build, in: folder.url)
    #expect(built.status == 0, "\(built.output)\(built.errors)")
    let outcome = try installation.shell(
      "\(program) model.safetensors picture.png '\(plugin)'", in: folder.url)
    #expect(outcome.errors == "")
    #expect(outcome.output.split(separator: "\n").count == 3)
    let told = try installation.shell(
      "lamina predict model.safetensors picture.png --plugin '\(plugin)'", in: folder.url)
    #expect(told.output == outcome.output)
    let without = try installation.shell("\(program) model.safetensors picture.png", in: folder.url)
    #expect(without.status == 1)
    #expect(without.errors.contains("usually supplied by plugin 'com.example.mish' 1.0.0"))
  }

  @Test(
    .enabled(if: Installation.isThere, "skipped: runs in make test"),
    arguments: ["c", "cpp"], [false, true])
  func examplesFindTheLibraryThroughPkgConfig(_ language: String, moved: Bool) throws {
    try check("make -C \(language)", "\(language)/classify", moved: moved)
  }

  @Test(
    .enabled(if: Installation.isThere, "skipped: runs in make test"),
    .enabled(if: Installation.has("cmake"), "skipped: there is no cmake"),
    arguments: ["c", "cpp"], [false, true])
  func examplesFindTheLibraryThroughCMake(_ language: String, moved: Bool) throws {
    try check(
      "cmake -S \(language) -B build && cmake --build build", "build/classify", moved: moved)
  }

  @Test(
    .enabled(if: Installation.isThere, "skipped: runs in make test"),
    .enabled(if: Installation.has("cmake"), "skipped: there is no cmake"))
  func cMakeAcceptsVersionsOfTheSeries() throws {
    let folder = try TemporaryFolder()
    let found = try ["", "0.1", "0.1.0", "0.1.1", "0.0", "0.2", "1.0"].filter { version in
      let text = """
        cmake_minimum_required(VERSION 3.16)
        project(version C)
        find_package(Lamina \(version) REQUIRED)

        """
      _ = try folder.file("CMakeLists.txt", Array(text.utf8))
      return try Installation().shell("rm -rf build && cmake -B build", in: folder.url).status == 0
    }
    #expect(found == ["", "0.1", "0.1.0"])
  }

  @Test(.enabled(if: Installation.isThere, "skipped: runs in make test"))
  func uninstallRemovesWhatWasInstalledAndNothingElse() throws {
    let folder = try TemporaryFolder()
    let script = "sh '\(packageRoot)/Sources/LaminaC/install/install.sh'"
    let list = "find prefix | sort"
    let outcome = try Tool.shell(
      """
      set -e
      mkdir -p prefix/lib prefix/share/man && touch prefix/lib/other.so
      \(list) > before
      \(script) add '\(packageRoot)/.build/dist/tree' prefix
      \(script) add '\(packageRoot)/.build/dist/tree' prefix
      prefix/bin/lamina --version
      touch prefix/lib/lamina/plugins/mine.so
      \(script) remove prefix
      rm prefix/lib/lamina/plugins/mine.so
      rmdir -p prefix/lib/lamina/plugins 2>/dev/null || true
      \(list) > after
      diff before after
      mkdir empty
      \(script) add '\(packageRoot)/.build/dist/tree' empty
      find empty -type f | wc -l
      \(script) remove empty
      find empty
      """, in: folder.url)
    let lines = outcome.output.split(separator: "\n")
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(lines.first == "lamina \(laminaVersion)")
    #expect(lines.count == 3)
    #expect((lines.dropFirst().first.flatMap { Int($0) } ?? 0) >= 14)
    #expect(lines.last == "empty")
  }

  // MARK: - What the program writes for others

  private func commands() throws -> [Substring] {
    try Tool.run("--help").output.split(separator: "\n").filter { $0.hasPrefix("  ") }
      .compactMap { $0.split(separator: " ").first }
  }

  @Test func theManualHasEveryCommandAndNoRequestByAccident() throws {
    let lines = try Tool.run("--manual").output.split(separator: "\n")
    for command in try commands() {
      let name = command.replacing("-", with: "\\-")
      #expect(lines.contains { $0.hasPrefix(".SS lamina \(name) ") }, "\(command)")
    }
    let requests = Set(
      lines.filter { $0.hasPrefix(".") }.compactMap { $0.split(separator: " ").first })
    #expect(
      requests == [".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".BR", ".I", ".br", ".nf", ".fi"])
    #expect(!lines.contains { $0.hasPrefix("'") })
  }

  @Test(
    .enabled(if: Installation.has("bash"), "skipped: there is no bash"),
    arguments: [
      ("lamina pre", "predict"), ("lamina --v", "--version"), ("lamina predict --to", "--top"),
      ("lamina train --checkp", "--checkpoints --checkpoint-steps"), ("lamina train pho", ""),
    ])
  func bashCompletes(_ typed: String, _ completions: String) throws {
    let outcome = try Tool.shell(
      """
      bash -c 'eval "$(lamina --completions bash)"
      COMP_WORDS=(\(typed)); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
      _lamina; echo "${COMPREPLY[@]}"'
      """)
    #expect(outcome.output == completions + "\n")
    #expect(outcome.errors == "")
  }

  @Test(arguments: ["fish", "zsh"]) func otherShellsUnderstandTheirCompletions(_ shell: String)
    throws
  {
    let script = try Tool.run("--completions", shell)
    #expect(script.status == 0)
    for command in try commands() { #expect(script.output.contains("\(command)")) }
    guard Installation.has(shell) else {
      print("skipped: there is no \(shell)")
      return
    }
    let outcome = try Tool.shell("lamina --completions \(shell) | \(shell) -n")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errors == "")
  }

  @Test func thereAreCompletionsForThreeShells() throws {
    let outcome = try Tool.run("--completions", "ksh")
    #expect(
      outcome.errors == "lamina: expected bash, fish or zsh, found 'ksh'; see 'lamina --help'\n")
    #expect(outcome.status == 2)
  }

  // MARK: - The recorded interface

  @Test(
    .enabled(
      if: Installation.has("python3") && Installation.has("cc"), "skipped: no python3 or cc"),
    arguments: [
      ("struct lamina_error = 512", "struct lamina_error = 512", 0),
      (
        "struct lamina_tensor = 104", "struct lamina_tensor = 96",
        1
      ),
      ("struct lamina_limits = 40", "struct lamina_limits = 32", 0),
      ("field lamina_error.message = 8", "field lamina_error.message = 16", 1),
      ("constant LAMINA_ERROR_IO = 120", "constant LAMINA_ERROR_OI = 120", 1),
      ("function lamina_version = const char* (void)", "function lamina_version = char* (void)", 1),
      ("field lamina_host.log = 24 8 void", "field lamina_host.log = 24 8 int", 1),
    ])
  func changesOfTheInterfaceAreFound(_ fact: String, _ recorded: String, status: Int32) throws {
    let folder = try TemporaryFolder()
    let record = try String(contentsOfFile: "\(packageRoot)/Tests/abi.txt", encoding: .utf8)
    try #require(record.contains("\n\(fact)"))
    _ = try folder.file("abi.txt", Array(record.replacing("\n\(fact)", with: "\n\(recorded)").utf8))
    let outcome = try Tool.shell(
      "python3 '\(packageRoot)/Tests/abi.py' --recorded abi.txt", in: folder.url)
    #expect(outcome.status == status, "\(outcome.output)\(outcome.errors)")
    if status == 1 {
      #expect(outcome.errors.hasPrefix("the binary interface is broken in 1 places"))
    }
  }
}
