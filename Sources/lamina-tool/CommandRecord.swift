import Lamina

/// The command that began a training, kept in the folder of its checkpoints: the file `COMMAND`, JSON.
final class CommandRecord: TrainingCallback {
  private let name: String
  private let words: [String]
  private let folder: String

  private static let format = "lamina.command.1"

  /// - Parameter words: what was typed behind the command's name.
  init(_ name: String, _ words: [String], folder: String) {
    self.name = name
    self.words = words
    self.folder = folder
  }

  /// Writes the file. The trainer has made the folder, and taken over what is in it, by then.
  func trainingBegins(_ trainer: Trainer) throws {
    let json = JSON.object([
      "format": .string(Self.format), "lamina": .string(laminaVersion), "command": .string(name),
      "words": .array(words.map { .string($0) }),
      "folder": System.workingFolder.map { .string($0) },
    ])
    let writer = try AtomicFileWriter(path: "\(folder)/COMMAND")
    try writer.write(Array((json.text(pretty: true) + "\n").utf8))
    try writer.commit()
  }

  /// What a folder keeps: the command, its words, and the folder in which they were typed.
  ///
  /// - Throws: `notFound` when no training began there; `format`, `unsupported`.
  static func read(_ folder: String) throws -> (name: String, words: [String], folder: String) {
    let shown = folder.escapedForDisplay(limit: 512)
    let path = "\(shown)/COMMAND"
    let bytes: [UInt8]
    do {
      bytes = try FileReader(path: "\(folder)/COMMAND", maximumBytes: 1 << 20).allBytes()
    } catch let error as LaminaError where error.code == .notFound {
      throw LaminaError(
        .notFound,
        "no training with '--checkpoints' began in this folder", path: shown)
    }
    let state = try ObjectReader(JSON.parse(bytes, path: path), path: path)
    let format = try state.string("format")
    guard format == Self.format else {
      throw LaminaError(
        .unsupported, "expected format '\(Self.format)', found '\(format.escapedForDisplay())'",
        path: path)
    }
    let words = try state.array("words").map { word in
      guard let text = word.string else {
        throw state.failure("words", "expected texts, found \(word.typeName)")
      }
      return text
    }
    return (try state.string("command"), words, try state.string("folder"))
  }
}
