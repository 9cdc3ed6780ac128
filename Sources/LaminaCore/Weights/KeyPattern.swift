/// A pattern over tensor names: `*` stands for any characters, `{}` for one component between dots.
///
/// `layer*.{}.bn1.*` matches `layer1.0.bn1.weight`. In a replacement the n-th `*` and the n-th `{}`
/// stand for what the n-th `*` and the n-th `{}` of the pattern matched.
public struct KeyPattern: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
  /// The pattern's text.
  public let text: String
  private let tokens: [Token]

  private enum Token: Hashable {
    case literal([UInt8])
    case any
    case component
  }

  private struct Captures {
    var any: [ArraySlice<UInt8>] = []
    var components: [ArraySlice<UInt8>] = []
  }

  /// A pattern. Every text is one.
  public init(_ text: String) {
    self.text = text
    tokens = KeyPattern.tokens(of: text)
  }

  /// A pattern.
  public init(stringLiteral value: String) { self.init(value) }

  /// The pattern's text.
  public var description: String { text }

  private static func tokens(of text: String) -> [Token] {
    var tokens: [Token] = []
    var literal: [UInt8] = []
    func flush(_ tokens: inout [Token], _ literal: inout [UInt8]) {
      if !literal.isEmpty { tokens.append(.literal(literal)) }
      literal = []
    }
    let bytes = Array(text.utf8)
    var position = 0
    while position < bytes.count {
      if bytes[position] == UInt8(ascii: "*") {
        flush(&tokens, &literal)
        // Neighbouring stars say no more than one.
        if tokens.last != .any { tokens.append(.any) }
        position += 1
      } else if bytes[position...].starts(with: [UInt8(ascii: "{"), UInt8(ascii: "}")]) {
        flush(&tokens, &literal)
        tokens.append(.component)
        position += 2
      } else {
        literal.append(bytes[position])
        position += 1
      }
    }
    flush(&tokens, &literal)
    return tokens
  }

  /// Whether the whole of `key` matches.
  public func matches(_ key: String) -> Bool { captures(in: Array(key.utf8)) != nil }

  /// `replacement` with its stars and braces filled in; nil when `key` does not match.
  public func rewriting(_ key: String, to replacement: KeyPattern) -> String? {
    guard let captures = captures(in: Array(key.utf8)) else { return nil }
    var result: [UInt8] = []
    var any = captures.any.makeIterator()
    var components = captures.components.makeIterator()
    for token in replacement.tokens {
      switch token {
      case .literal(let bytes): result += bytes
      case .any: result += any.next() ?? []
      case .component: result += components.next() ?? []
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// What the wildcards match, each as little as possible, the first ones first.
  ///
  /// `reachable[t]` holds the positions from which tokens `t...` match the rest: time and memory
  /// are those of tokens × bytes, whatever the pattern.
  private func captures(in key: [UInt8]) -> Captures? {
    var reachable = [[Bool]](
      repeating: [Bool](repeating: false, count: key.count + 1), count: tokens.count + 1)
    reachable[tokens.count][key.count] = true
    let dot = UInt8(ascii: ".")
    for (index, token) in tokens.enumerated().reversed() {
      for start in (0...key.count).reversed() {
        switch token {
        case .literal(let bytes):
          reachable[index][start] =
            key[start...].starts(with: bytes) && reachable[index + 1][start + bytes.count]
        case .any:
          reachable[index][start] =
            reachable[index + 1][start] || (start < key.count && reachable[index][start + 1])
        case .component:
          reachable[index][start] =
            start < key.count && key[start] != dot
            && (reachable[index + 1][start + 1] || reachable[index][start + 1])
        }
      }
    }
    guard reachable[0][0] else { return nil }
    var captures = Captures()
    var position = 0
    for (index, token) in tokens.enumerated() {
      let start = position
      switch token {
      case .literal(let bytes): position += bytes.count
      case .any:
        while !reachable[index + 1][position] { position += 1 }
        captures.any.append(key[start..<position])
      case .component:
        position += 1
        while !reachable[index + 1][position] { position += 1 }
        captures.components.append(key[start..<position])
      }
    }
    return captures
  }
}
