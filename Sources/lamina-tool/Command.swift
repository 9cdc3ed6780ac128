import Lamina

/// One command of the program.
struct Command: Sendable {
  let name: String
  /// One line for the list of commands.
  let summary: String
  /// Operands as the help shows them: `MODEL PICTURE…`.
  var operands = ""
  var operandCount = 0...0
  var options: [Option] = []
  /// What to type and what comes back.
  let example: String
  /// Runs with parsed arguments; returns what the process exits with.
  let run: @Sendable (Arguments) throws -> ExitStatus

  static let all: [Command] = [
    .bench,
    .compare,
    .doctor,
    .eval,
    .export,
    .finetune,
    .graph,
    .import,
    .layers,
    .learningRate,
    .models,
    .plugin,
    .predict,
    .resume,
    .summary,
    .train,
  ]

  /// The options, with those of plugins where a model is read.
  var allOptions: [Option] { operands.contains("MODEL") ? options + Option.plugins : options }

  /// - Throws: `UsageError` with the nearest name.
  static func named(_ name: String) throws -> Command {
    if let command = all.first(where: { $0.name == name }) { return command }
    let hint = nearestName(to: name, in: all.map(\.name)).map { ", nearest is '\($0)'" } ?? ""
    throw UsageError("unknown command '\(name.escapedForDisplay())'\(hint)")
  }

  /// The text of `lamina NAME --help`.
  var help: String {
    let usage = ["lamina", name, operands, "[options]"].filter { !$0.isEmpty }
    let lines = (allOptions + [Option(name: "help", letter: "h", help: "print this text")])
    let rows = Table(lines.map { ["  \($0.heading)", $0.help] }).text
    return """
      \(usage.joined(separator: " "))

      \(summary.prefix(1).uppercased() + summary.dropFirst()).

      Options:
      \(rows)
      Example:
      \(example.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n"))

      """
  }

  /// What the program does, and what its exit status says.
  static let purpose = "run convolutional networks on this machine's processor"
  static let exitStatus =
    "0 done, 1 failure, 2 usage, 3 bad file, 4 out of resources, 130 interrupted"

  /// The text of `lamina --help`.
  static var overview: String {
    """
    lamina COMMAND [operands] [options]

    Runs convolutional networks on this machine's processor.

    Commands:
    \(Table(all.map { ["  \($0.name)", $0.summary] }).text)
    'lamina COMMAND --help' explains one of them with an example; 'lamina --version' prints the version.
    Exit status: \(exitStatus).

    """
  }
}

/// Columns of text, each as wide as its longest cell; numbers are aligned by `trailing` columns.
struct Table {
  let rows: [[String]]
  var trailing: Set<Int> = []

  init(_ rows: [[String]], trailing: Set<Int> = []) {
    self.rows = rows
    self.trailing = trailing
  }

  /// One line a row, two spaces between columns, no spaces at the ends of lines.
  var text: String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      let cells = row.enumerated().map { column, cell in
        let fill = String(repeating: " ", count: widths[column] - cell.count)
        return trailing.contains(column) ? fill + cell : cell + fill
      }
      var line = cells.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}
