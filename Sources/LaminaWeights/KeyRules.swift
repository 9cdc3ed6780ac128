import LaminaCore

extension KeyMap {
  /// The map that a user wrote, one rule a line:
  /// - `pattern -> replacement` renames, in order, wildcards as in `KeyPattern`;
  /// - `ignore pattern` leaves tensors out;
  /// - `transpose pattern [1, 0]` makes axis `k` of the result axis `permutation[k]` of the file's tensor.
  ///
  /// What stands behind `#` is a comment.
  ///
  /// - Throws: `format` listing every line that is none of these.
  public init(rules text: String, path: String) throws {
    self.init(origin: "rules of \(path.escapedForDisplay(limit: 512))")
    var problems: [LaminaError] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      do {
        try addRule(line.prefix { $0 != "#" })
      } catch let error as LaminaError {
        problems.append(error.at("\(path.escapedForDisplay(limit: 512)):\(index + 1)"))
      }
    }
    if let error = LaminaError.combining(problems) { throw error }
  }

  /// Reads the rules in a file.
  ///
  /// - Throws: as with a text; `notFound`, `io`, `limit`.
  public init(rulesAt path: String, limits: Limits = Limits()) throws {
    let bytes = try FileReader(path: path, maximumBytes: limits.jsonBytes).allBytes()
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw LaminaError(
        .format, "expected rules in UTF-8", path: path.escapedForDisplay(limit: 512))
    }
    try self.init(rules: text, path: path)
  }

  private mutating func addRule(_ line: Substring) throws {
    let words = line.split { $0 == " " || $0 == "\t" || $0 == "\r" || $0 == "\r\n" }
    guard let first = words.first else { return }
    if words.count == 3, words[1] == "->" {
      rules.append(.pattern(KeyPattern(String(first)), KeyPattern(String(words[2]))))
    } else if words.count == 2, first == "ignore" {
      ignored.append(KeyPattern(String(words[1])))
    } else if first == "transpose", words.count >= 3 {
      let list = words[2...].joined()
      guard list.hasPrefix("["), list.hasSuffix("]") else {
        throw LaminaError(
          .format, "expected axes such as [1, 0], found '\(list.escapedForDisplay())'")
      }
      let parts = list.dropFirst().dropLast().split(
        separator: ",", omittingEmptySubsequences: false)
      let axes = parts.compactMap { Int($0) }
      guard axes.count == parts.count, axes.count <= Shape.maximumRank,
        axes.sorted() == Array(axes.indices)
      else {
        throw LaminaError(
          .format, "expected every axis from 0 once, found '\(list.escapedForDisplay())'")
      }
      changes.append(Change(KeyPattern(String(words[1])), .transpose(axes)))
    } else {
      throw LaminaError(
        .format,
        "expected 'pattern -> replacement', 'ignore pattern' or 'transpose pattern [axes]', found '\(String(line).escapedForDisplay())'"
      )
    }
  }
}
