import Foundation
import Lamina
import LaminaTestSupport
import Testing

private let root = URL(fileURLWithPath: packageRoot)

private func blocks() throws -> [CodeBlock] { try CodeBlock.read("README.md") }

@Test func everyBlockIsOfALanguageThatIsRun() throws {
  #expect(Set(try blocks().map(\.language)) == ["sh", "c", "python", "swift"])
}

@Test func makeTargetsOfTheReadmeExist() throws {
  let makefile = try String(contentsOf: root.appendingPathComponent("Makefile"), encoding: .utf8)
  let lines = try blocks().filter { $0.language == "sh" }
    .flatMap { $0.code.split(separator: "\n") }
  let targets = lines.filter { $0.hasPrefix("make ") }.map { $0.split(separator: " ")[1] }
  #expect(!targets.isEmpty)
  for target in targets { #expect(makefile.contains("\n\(target): ")) }
}

@Test(.enabled(if: Installation.isThere, "skipped: runs in make test"))
func commandsCAndPythonOfTheReadmeAgree() throws {
  let installation = try Installation()
  let folder = try TemporaryFolder()
  try FileManager.default.createDirectory(
    at: folder.url.appendingPathComponent("downloads"), withIntermediateDirectories: false)
  let entry = try ModelCatalog.entry(named: "efficientnet_lite0")
  try ModelFile.save(
    entry.makeModel(registry: .standard),
    to: folder.path("downloads/efficientnet_lite0.safetensors"))
  _ = try folder.file("downloads/chelsea.png", Sample.picture)
  for name in ["cat", "dog"] {
    try FileManager.default.createDirectory(
      at: folder.url.appendingPathComponent("photos/\(name)"), withIntermediateDirectories: true)
    _ = try folder.file("photos/\(name)/1.png", Sample.picture)
  }
  var answers: [String] = []
  for block in try blocks() where block.language != "swift" {
    let name = block.word ?? "block"
    _ = try folder.file(name, Array(block.code.utf8))
    if block.language == "python" {
      let outcome = try installation.shell("python3 block", in: folder.url)
      #expect(outcome.errors == "")
      if block.code.contains("chelsea.png") { answers.append(outcome.output) }
    } else if block.language == "sh" {
      for line in block.code.split(separator: "\n") where !line.hasPrefix("make ") {
        let outcome = try installation.shell(String(line), in: folder.url)
        #expect(outcome.status == 0, "\(line): \(outcome.errors)")
        if line.contains("chelsea.png") { answers.append(outcome.output) }
      }
    }
  }
  #expect(answers.count == 3)
  #expect(answers[0].split(separator: "\n").count == 5)
  #expect(Set(answers).count == 1)
}

/// Compiles a program that imports Lamina with the objects of this build, and runs it in a folder.
///
/// - Parameter target: a module of its own that the program imports: its name and its sources' folder in the package.
func runSwift(
  _ code: String, _ words: String = "", in folder: TemporaryFolder? = nil,
  target: (name: String, folder: String)? = nil
) throws -> Outcome {
  let folder = try folder ?? TemporaryFolder()
  _ = try folder.file("main.swift", Array(code.utf8))
  let list = Tool.folder.appendingPathComponent("lamina.product/Objects.LinkFileList")
  let objects = try String(contentsOf: list, encoding: .utf8).split(separator: "\n")
    .filter { !$0.contains("/lamina_tool.build/") }
  _ = try folder.file("objects", Array((objects.joined(separator: "\n") + "\n").utf8))
  let maps =
    ["LaminaKernels", "LaminaImageShim"].map { "\(Tool.folder.path)/\($0).build" }
    + ["CJPEG", "CPNG", "CZlib"].map { "\(packageRoot)/Sources/\($0)" } + ["\(packageRoot)/include"]
  let libraries = try Tool.shell("pkg-config --libs libjpeg libpng zlib").output
  let flags =
    "-swift-version 6 -I '\(Tool.folder.path)/Modules' "
    + maps.map { "-Xcc -fmodule-map-file='\($0)/module.modulemap'" }.joined(separator: " ")
  let module = target.map { target in
    """
    swiftc \(flags) -wmo -parse-as-library -module-name \(target.name) -emit-module -emit-object \
    '\(packageRoot)/\(target.folder)'/*.swift -o \(target.name).o &&
    """
  }
  return try Tool.shell(
    """
    \(module ?? "") swiftc \(flags) -I . main.swift \(target.map { "\($0.name).o" } ?? "") \
    @objects -o main \(libraries.split(separator: "\n").joined()) && ./main \(words)
    """, in: folder.url,
    environment: [
      "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "",
      "XDG_CACHE_HOME": folder.path("cache"),
    ])
}

/// Compiles a plugin that 'lamina plugin new NAME --language swift' wrote to NAME/NAME.so, with the objects of this
/// build.
func buildSwiftPlugin(_ name: String, _ module: String, in folder: TemporaryFolder) throws {
  let kit = try FileManager.default.contentsOfDirectory(
    atPath: Tool.folder.appending(path: "LaminaPluginKit.build").path
  ).filter { $0.hasSuffix(".o") }.map { "\(Tool.folder.path)/LaminaPluginKit.build/\($0)" }
  let list = Tool.folder.appending(path: "lamina.product/Objects.LinkFileList")
  let core = try String(contentsOf: list, encoding: .utf8).split(separator: "\n").map(String.init)
    .filter { $0.contains("/LaminaCore.build/") || $0.contains("/LaminaKernels.build/") }
  _ = try folder.file("objects", Array((core + kit).map { $0 + "\n" }.joined().utf8))
  let maps = ["\(Tool.folder.path)/LaminaKernels.build", "\(packageRoot)/include"]
  let outcome = try Tool.shell(
    """
    swiftc -swift-version 6 -parse-as-library -module-name \(module) -emit-library -static-stdlib \
    -use-ld=lld -I '\(Tool.folder.path)/Modules' \
    \(maps.map { "-Xcc -fmodule-map-file='\($0)/module.modulemap'" }.joined(separator: " ")) \
    \(name)/Sources/\(module)/*.swift @objects -o \(name)/\(name).so \
    -Xlinker --version-script=\(name)/exports.map
    """, in: folder.url, environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? ""])
  #expect(outcome.status == 0, "\(outcome.errors)")
}

@Test func layerOfTheReadmeRuns() throws {
  let code = try #require(try blocks().first { $0.language == "swift" }).code
  let outcome = try runSwift(code)
  #expect(outcome.status == 0, "\(outcome.errors)")
  let comment = try #require(code.split(separator: "\n").last?.components(separatedBy: "// ").last)
  #expect(outcome.output == comment + "\n")
}

@Test func threeSmallWindowsSeeWhatOneLargeSees() throws {
  let path = "examples/swift/receptive-field/Sources/receptive-field/main.swift"
  let code = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  let outcome = try runSwift(code)
  #expect(outcome.status == 0, "\(outcome.errors)")
  #expect(
    outcome.output == """
      3 × 3×3
        conv1: output [1, 64, 54, 54], sees 3×3
        conv2: output [1, 64, 52, 52], sees 5×5
        conv3: output [1, 64, 50, 50], sees 7×7
        110592 weights, 299335680 multiply-adds
      1 × 7×7
        conv1: output [1, 64, 50, 50], sees 7×7
        200704 weights, 501760000 multiply-adds

      """)
}

@Test func aTargetOfLayersTrains() throws {
  let package = "examples/swift/custom-layer/Sources"
  let code = try String(
    contentsOf: root.appendingPathComponent("\(package)/custom-layer/main.swift"), encoding: .utf8)
  let outcome = try runSwift(code, target: ("Gates", "\(package)/Gates"))
  #expect(outcome.status == 0, "\(outcome.errors)")
  #expect(
    outcome.output == """
      the signal's gate is wider than the noise's: true
      right: 256 of 256

      """)
}

@Test func theSwiftProgramFitsAModelToPictures() throws {
  let folder = try TemporaryFolder()
  for name in ["cat", "dog"] {
    try FileManager.default.createDirectory(
      at: folder.url.appendingPathComponent("photos/\(name)"), withIntermediateDirectories: true)
    _ = try folder.file("photos/\(name)/1.png", Sample.picture)
  }
  try ModelFile.save(
    ModelCatalog.entry(named: "lenet5").makeModel(registry: .standard),
    to: folder.path("digits.safetensors"))
  let path = "examples/swift/FineTune/Sources/FineTune/main.swift"
  let code = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  let outcome = try runSwift(code, "digits.safetensors photos mine.safetensors", in: folder)
  #expect(outcome.status == 0, "\(outcome.errors)")
  let lines = outcome.output.split(separator: "\n")
  #expect(lines.count == 9)
  #expect(lines.first?.hasPrefix("head 1 loss ") == true)
  #expect(lines.last == "wrote mine.safetensors")
  let model = try ModelFile.load(path: folder.path("mine.safetensors"), registry: .standard)
  #expect(model.metadata.labels == ["cat", "dog"])
}
