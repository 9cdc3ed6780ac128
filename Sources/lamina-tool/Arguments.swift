import Lamina

/// What the user typed makes no sense. Exit status 2.
struct UsageError: Error {
  let message: String

  init(_ message: String) { self.message = message }
}

/// An option of a command, declared once: the parser and the help read the same declaration.
struct Option: Sendable {
  /// What follows the name.
  enum Value: Sendable {
    /// Nothing: the option is a flag.
    case none
    /// Any text, shown as this word in the help.
    case text(String)
    /// An integer within a range.
    case integer(ClosedRange<Int>)
  }

  let name: String
  var letter: Character?
  var value = Value.none
  /// Whether it may be given more than once.
  var repeats = false
  let help: String

  /// `-o, --output FILE`.
  var heading: String {
    let short = letter.map { "-\($0), " } ?? ""
    switch value {
    case .none: return "\(short)--\(name)"
    case .text(let word): return "\(short)--\(name) \(word)"
    case .integer: return "\(short)--\(name) N"
    }
  }
}

/// The operands and options of one call.
struct Arguments {
  /// What was typed behind the command's name.
  let words: [String]
  private(set) var operands: [String] = []
  private var texts: [String: String] = [:]
  private var lists: [String: [String]] = [:]
  private(set) var wantsHelp = false

  /// Reads `words`. `--name value`, `--name=value`, `-n value`; behind `--` every word is an operand.
  ///
  /// - Throws: `UsageError` for an unknown, repeated or incomplete option, a number out of range, or a wrong
  ///   number of operands.
  init(_ words: some Sequence<String>, for command: Command) throws {
    self.words = Array(words)
    var rest = self.words[...]
    var onlyOperands = false
    while let word = rest.popFirst() {
      if onlyOperands || word == "-" || !word.hasPrefix("-") {
        operands.append(word)
      } else if word == "--" {
        onlyOperands = true
      } else if word == "--help" || word == "-h" {
        wantsHelp = true
      } else {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let option = try Arguments.option(named: String(parts[0]), of: command)
        guard texts[option.name] == nil || option.repeats else {
          throw UsageError("option '--\(option.name)' is given twice")
        }
        let attached = parts.count == 2 ? String(parts[1]) : nil
        let text = try Arguments.value(of: option, attached: attached, rest: &rest)
        texts[option.name] = text
        lists[option.name, default: []].append(text)
      }
    }
    guard !wantsHelp, !command.operandCount.contains(operands.count) else { return }
    guard operands.count < command.operandCount.lowerBound else {
      let extra = operands[command.operandCount.upperBound].escapedForDisplay()
      throw UsageError("unexpected operand '\(extra)'")
    }
    let found = operands.last.map { "only '\($0.escapedForDisplay())'" } ?? "nothing"
    throw UsageError("expected \(command.operands), found \(found)")
  }

  private static func option(named word: String, of command: Command) throws -> Option {
    let found = command.allOptions.first { option in
      word == "--\(option.name)" || option.letter.map { word == "-\($0)" } ?? false
    }
    if let found { return found }
    let names = command.allOptions.map { "--\($0.name)" } + ["--help"]
    let hint = nearestName(to: word, in: names).map { ", nearest is '\($0)'" } ?? ""
    throw UsageError("unknown option '\(word.escapedForDisplay())'\(hint)")
  }

  private static func value(
    of option: Option, attached: String?, rest: inout ArraySlice<String>
  ) throws -> String {
    if case .none = option.value {
      guard attached == nil else { throw UsageError("option '--\(option.name)' takes no value") }
      return ""
    }
    guard let text = attached ?? rest.popFirst(), !text.isEmpty else {
      throw UsageError("option '\(option.heading)' has no value")
    }
    if case .integer(let range) = option.value {
      guard let number = Int(text), range.contains(number) else {
        throw UsageError(
          "expected '--\(option.name)' in \(range.lowerBound)...\(range.upperBound), "
            + "found '\(text.escapedForDisplay())'")
      }
    }
    return text
  }

  /// Whether a flag was given.
  func has(_ option: Option) -> Bool { texts[option.name] != nil }

  /// The text of an option.
  func text(_ option: Option) -> String? { texts[option.name] }

  /// The texts of an option that may be given more than once.
  func list(_ option: Option) -> [String] { lists[option.name] ?? [] }

  /// The same with another text for an option.
  func replacing(_ option: Option, with text: String) -> Arguments {
    var result = self
    result.texts[option.name] = text
    return result
  }

  /// The number of an option.
  func integer(_ option: Option) -> Int? { texts[option.name].flatMap { Int($0) } }
}

extension Option {
  static let json = Option(name: "json", help: "print JSON")
  static let threads = Option(
    name: "threads", value: .integer(1...256),
    help: "threads to use; default: as many as this process may use")
}
