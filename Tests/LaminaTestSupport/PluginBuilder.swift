import Foundation
import Lamina

/// Compiles plugins, with the system's `cc` and the package's headers, or with `swiftc`.
public enum PluginBuilder {
  /// The sample plugin `plugins/mish-c`, built once.
  public static func mish() throws -> String { try builtMish.get() }
  private static let builtMish = Result { try sample("mish-c/mish") }

  /// The same with its layer as `lamina.mish`, built once.
  public static func fastMish() throws -> String { try builtFastMish.get() }
  private static let builtFastMish = Result {
    let library = try temporaryLibrary("fast-mish")
    let source = library + ".c"
    try String(contentsOfFile: "\(packageRoot)/plugins/mish-c/mish.c", encoding: .utf8)
      .replacing(".kind = \"com.example.mish\"", with: ".kind = \"lamina.mish\"")
      .write(toFile: source, atomically: true, encoding: .utf8)
    try build(source, to: library)
    return library
  }

  /// The sample plugin `plugins/involution-c`, built once.
  public static func involution() throws -> String { try builtInvolution.get() }
  private static let builtInvolution = Result { try sample("involution-c/involution") }

  /// The sample plugin `plugins/swish-swift`, built once, from the objects of this build.
  public static func swish() throws -> String { try builtSwish.get() }
  private static let builtSwish = Result {
    let build = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
      .deletingLastPathComponent().path
    let objects = ["LaminaCore", "LaminaKernels", "LaminaPluginKit"].flatMap { target in
      let files = FileManager.default.enumerator(atPath: "\(build)/\(target).build")
      return (files?.compactMap { $0 as? String } ?? []).filter { $0.hasSuffix(".o") }
        .map { "\(build)/\(target).build/\($0)" }
    }
    let maps = ["\(build)/LaminaKernels.build", "\(packageRoot)/include"]
    let sample = "\(packageRoot)/plugins/swish-swift"
    let sources = ["Entry", "Swish"].map { "\(sample)/Sources/Swish/\($0).swift" }
    let library = try temporaryLibrary("swish")
    try run(
      ["swiftc", "-swift-version", "6", "-parse-as-library", "-module-name", "Swish"]
        + ["-emit-library", "-static-stdlib", "-use-ld=lld", "-o", library]
        + ["-I", "\(build)/Modules"]
        + maps.flatMap { ["-Xcc", "-fmodule-map-file=\($0)/module.modulemap"] } + sources + objects
        + [
          "--version-script=\(sample)/exports.map", "--gc-sections", "-z", "defs", "-z", "nodelete",
        ]
        .flatMap { ["-Xlinker", $0] },
      of: sample)
    return library
  }

  /// The sample plugin `plugins/webp-decoder`, built once; nil where there is no libwebp.
  public static func webp() throws -> String? { try builtWebP.get() }
  private static let builtWebP = Result { () -> String? in
    guard hasWebP else { return nil }
    let library = try temporaryLibrary("webp-decoder")
    try build("\(packageRoot)/plugins/webp-decoder/webp_decoder.c", to: library, flags: ["-lwebp"])
    return library
  }

  /// Whether plugins can be linked with libwebp.
  public static let hasWebP: Bool = {
    let isThere = (try? run(["pkg-config", "--exists", "libwebp"], of: "libwebp")) != nil
    if !isThere { print("skipped: no libwebp (Debian: libwebp-dev)") }
    return isThere
  }()

  private static func sample(_ path: String) throws -> String {
    let library = try temporaryLibrary(path.split(separator: "/").last.map(String.init) ?? path)
    try build("\(packageRoot)/plugins/\(path).c", to: library)
    return library
  }

  private static func temporaryLibrary(_ name: String) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "lamina-plugins-\(getpid())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder.appending(path: "\(name).so").path
  }

  /// Compiles the file `source` to `library`.
  ///
  /// - Throws: `io` with what the compiler says.
  public static func build(_ source: String, to library: String, flags: [String] = []) throws {
    try run(
      [
        "cc", "-O2", "-std=gnu11", "-fPIC", "-shared", "-w", "-I\(packageRoot)/include", "-o",
        library, source,
      ] + flags + ["-lm"], of: source)
  }

  /// Runs a program of the path.
  ///
  /// - Throws: `io` with what it says when it fails.
  private static func run(_ words: [String], of source: String) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = words
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw LaminaError(.io, text, path: source) }
  }
}
