/// What went wrong, where, what was expected and what was found.
///
/// `message` is lower case, without a full stop and without "failed to":
/// `expected 3 input channels, found 4`. `path` is a node (`layer3.0.conv2 (lamina.conv2d)`), a tensor,
/// or a file with a byte offset (`model.safetensors @ 8`).
public struct LaminaError: Error, Sendable, Hashable {
  /// The kind of failure. The numbers are those of `lamina_status` and never change.
  public enum Code: Int32, Sendable, CaseIterable {
    /// A parameter of a call makes no sense.
    case argument = 10
    /// A handle is wrong, of another type, or released.
    case handle = 20
    /// The object is not in a state that allows the call.
    case state = 30
    /// A shape or element type does not fit.
    case shape = 40
    /// A caller's buffer is too short.
    case buffer = 50
    /// A name, file, model or layer kind does not exist.
    case notFound = 60
    /// A file or text breaks the rules of its format.
    case format = 70
    /// Well-formed, but Lamina does not support it.
    case unsupported = 80
    /// The graph is inconsistent.
    case graph = 90
    /// Weights do not fit the model.
    case weights = 100
    /// A picture is broken or of an unknown kind.
    case image = 110
    /// The operating system refused a read or write.
    case io = 120
    /// Memory or another limit is exhausted.
    case limit = 130
    /// The object is in use by another call.
    case busy = 140
    /// The caller asked to stop.
    case cancelled = 150
    /// The process was forked after the object was made.
    case forked = 160
    /// A bug in Lamina.
    case `internal` = 900
  }

  /// The kind of failure.
  public var code: Code
  /// What was expected and what was found.
  public var message: String
  /// Node, tensor, or file and offset; empty when there is none.
  public var path: String

  /// Makes an error; control characters in `message` and `path` are escaped so that it stays one line.
  public init(_ code: Code, _ message: String, path: String = "") {
    self.code = code
    self.message = message
    self.path = path
  }

  /// The same error with `path` set, when it had none.
  public func at(_ path: String) -> LaminaError {
    self.path.isEmpty ? LaminaError(code, message, path: path) : self
  }

  /// One error that states every problem: a single one is returned as it is, several are joined with `; `
  /// behind their number. The code is that of the first.
  ///
  /// - Returns: `nil` when `problems` is empty.
  public static func combining(_ problems: [LaminaError]) -> LaminaError? {
    guard let first = problems.first else { return nil }
    if problems.count == 1 { return first }
    let text = problems.map(\.description).joined(separator: "; ")
    return LaminaError(first.code, "\(problems.count) problems: \(text)")
  }
}

extension LaminaError: CustomStringConvertible {
  /// `path: message` on one line.
  public var description: String {
    let text = path.isEmpty ? message : "\(path): \(message)"
    return text.escapedForDisplay(limit: 16_384)
  }
}

extension String {
  /// The text with control characters escaped, cut to `limit` characters, fit for one line of a message.
  public func escapedForDisplay(limit: Int = 128) -> String {
    var result = ""
    var count = 0
    for scalar in unicodeScalars {
      if count == limit {
        result += "…"
        break
      }
      count += 1
      if scalar.value < 0x20 || scalar.value == 0x7F {
        let digits = String(scalar.value, radix: 16)
        result += "\\x" + (digits.count == 1 ? "0" : "") + digits
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// The text as content or quoted attribute of HTML, SVG and XML: on one line, cut to `limit` characters, marks that
  /// turn the direction of writing left out.
  package func escapedForMarkup(limit: Int = 256) -> String {
    var result = ""
    for scalar in escapedForDisplay(limit: limit).unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\u{80}"..."\u{9F}", "\u{200E}", "\u{200F}", "\u{202A}"..."\u{202E}",
        "\u{2028}", "\u{2029}", "\u{2066}"..."\u{2069}", "\u{FFFE}", "\u{FFFF}":
        continue
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

/// Runs `body`; a `LaminaError` without a path leaves with `path`.
@inlinable
public func withErrorPath<T>(_ path: @autoclosure () -> String, _ body: () throws -> T) throws -> T
{
  do {
    return try body()
  } catch let error as LaminaError {
    throw error.at(path())
  }
}

/// The candidate with the smallest edit distance to `name`, when it is near enough to be a likely misspelling;
/// among equals, one that `name` begins.
public func nearestName(to name: String, in candidates: some Sequence<String>) -> String? {
  let target = Array(name.utf8.prefix(64))
  var best: (name: String, distance: Int)?
  for candidate in candidates {
    let other = Array(candidate.utf8.prefix(64))
    var row = Array(0...other.count)
    for (i, a) in target.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, b) in other.enumerated() {
        let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (a == b ? 0 : 1))
        diagonal = row[j + 1]
        row[j + 1] = next
      }
    }
    let distance = row[other.count]
    if let best, distance > best.distance || distance == best.distance && !candidate.hasPrefix(name)
    {
      continue
    }
    best = (candidate, distance)
  }
  guard let best, best.distance <= max(2, target.count / 3) else { return nil }
  return best.name
}
