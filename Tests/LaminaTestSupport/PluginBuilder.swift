import Foundation
import Lamina

/// Compiles C sources to plugins, with the system's `cc` and the package's headers.
public enum PluginBuilder {
  /// The sample plugin `plugins/mish-c`, built once.
  public static func mish() throws -> String { try builtMish.get() }
  private static let builtMish = Result { try sample("mish-c/mish") }

  /// The sample plugin `plugins/involution-c`, built once.
  public static func involution() throws -> String { try builtInvolution.get() }
  private static let builtInvolution = Result { try sample("involution-c/involution") }

  private static func sample(_ path: String) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "lamina-plugins-\(getpid())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let library = folder.appending(path: "\(name).so").path
    try build("\(packageRoot)/plugins/\(path).c", to: library)
    return library
  }

  /// Compiles the file `source` to `library`.
  ///
  /// - Throws: `io` with what the compiler says.
  public static func build(_ source: String, to library: String, flags: [String] = []) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments =
      [
        "cc", "-O2", "-std=gnu11", "-fPIC", "-shared", "-w", "-I\(packageRoot)/include", "-o",
        library, source,
      ] + flags + ["-lm"]
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw LaminaError(.io, text, path: source) }
  }
}
