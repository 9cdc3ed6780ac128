import Foundation
import Lamina

/// What a finished process left behind.
struct Outcome {
  var status: Int32
  var output: String
  var errors: String

  /// Lines on standard error.
  var errorLines: [Substring] { errors.split(separator: "\n") }
}

/// The program as a user runs it.
enum Tool {
  /// The folder of the build, which the tests' own executable lies in.
  static let folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent()
  static let path = folder.appendingPathComponent("lamina").path

  /// Runs `lamina` with the given words.
  static func run(_ words: String..., in directory: URL? = nil) throws -> Outcome {
    try run(words, in: directory)
  }

  static func run(_ words: [String], in directory: URL? = nil) throws -> Outcome {
    try run(path, words, in: directory)
  }

  /// Runs a line of shell in which `lamina` is the program.
  static func shell(
    _ line: String, in directory: URL? = nil, environment: [String: String] = [:]
  ) throws -> Outcome {
    let variables = ["PATH": "\(folder.path):/usr/local/bin:/usr/bin:/bin"]
    return try run(
      "/bin/sh", ["-c", line], in: directory,
      environment: variables.merging(environment) { $1 })
  }

  /// Starts `lamina` with the given words, which goes on beside the test; what it prints is thrown away.
  static func start(_ words: [String], in directory: URL) throws -> Process {
    let process = process(path, words, in: directory)
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  private static func process(
    _ program: String, _ words: [String], in directory: URL?, environment: [String: String] = [:]
  ) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = words
    process.currentDirectoryURL = directory
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    return process
  }

  private static func run(
    _ program: String, _ words: [String], in directory: URL?, environment: [String: String] = [:]
  ) throws -> Outcome {
    let process = process(program, words, in: directory, environment: environment)
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let deadline = DispatchWorkItem { process.terminate() }
    DispatchQueue.global().asyncAfter(deadline: .now() + 120, execute: deadline)
    let outputData = output.fileHandleForReading.readDataToEndOfFile()
    let errorData = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    deadline.cancel()
    return Outcome(
      status: process.terminationReason == .exit ? process.terminationStatus : -1,
      output: String(decoding: outputData, as: UTF8.self),
      errors: String(decoding: errorData, as: UTF8.self))
  }
}

/// A folder that goes with the test.
final class TemporaryFolder {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent(
      "lamina-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// The path of a file in the folder.
  func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  /// Writes a file and gives its path.
  func file(_ name: String, _ bytes: [UInt8] = []) throws -> String {
    try Data(bytes).write(to: url.appendingPathComponent(name))
    return path(name)
  }

  /// Names of the files in the folder.
  var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() }
  }
}

/// Small files to work on.
enum Sample {
  /// A picture: 4×4 pixels, half red, half blue.
  static let picture: [UInt8] = [
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 4, 0, 0, 0, 4, 8, 2, 0,
    0, 0, 38, 147, 9, 41, 0, 0, 0, 19, 73, 68, 65, 84, 120, 218, 99, 248, 207, 192, 0, 68, 96, 226,
    63, 3, 113, 28, 0, 158, 163, 15, 241, 203, 232, 89, 110, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66,
    96, 130,
  ]

  /// A network of three classes for pictures of 8×8 pixels: convolution → mean → dense.
  static func model() throws -> Model {
    var builder = GraphBuilder(name: "sample", registry: .standard)
    let input = try builder.input("input", [.batch, 3, 8, 8])
    let features = try builder.add(
      "lamina.conv2d", "conv", input, attributes: ["out_channels": 4, "kernel_size": [3, 3]])
    let pooled = try builder.add("lamina.global_average_pool", "pool", features)
    let flat = try builder.add("lamina.flatten", "flatten", pooled)
    let scores = try builder.add("lamina.dense", "fc", flat, attributes: ["out_features": 3])
    try builder.output(scores, name: "output")
    return try Model(
      initializing: builder.graph, seed: 1, metadata: metadata, registry: .standard)
  }

  /// Three classes of pictures of 8×8 pixels.
  static var metadata: ModelMetadata {
    var metadata = ModelMetadata()
    metadata.labels = ["cat", "dog", "fish"]
    metadata.outputKind = .logits
    metadata.preprocessing = Preprocessing(
      resize: .exact(height: 8, width: 8), centerCrop: nil)
    return metadata
  }
}
