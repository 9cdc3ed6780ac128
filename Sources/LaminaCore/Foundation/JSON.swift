/// A JSON value. Objects keep the order of their members.
public enum JSON: Sendable, Hashable {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  /// One member of an object.
  public struct Member: Sendable, Hashable {
    /// The key.
    public var key: String
    /// The value.
    public var value: JSON

    /// A member.
    public init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// An object with members in the given order; nil values are left out.
  public static func object(_ members: KeyValuePairs<String, JSON?>) -> JSON {
    .object(members.compactMap { key, value in value.map { Member(key, $0) } })
  }

  /// The member `key` of an object; nil for other values and missing keys.
  public subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// The text, of a string.
  public var string: String? { if case .string(let text) = self { text } else { nil } }
  /// The number, of an integer.
  public var int: Int? { if case .int(let number) = self { Int(exactly: number) } else { nil } }
  /// The number, of an integer or a fraction.
  public var double: Double? {
    switch self {
    case .int(let number): Double(number)
    case .double(let number): number
    default: nil
    }
  }
  /// The truth value, of a Boolean.
  public var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }
  /// The elements, of an array.
  public var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }
  /// The members, of an object.
  public var members: [Member]? { if case .object(let members) = self { members } else { nil } }

  /// What the value is, for messages: `string`, `object`, …
  public var typeName: String {
    switch self {
    case .null: "null"
    case .bool: "bool"
    case .int: "integer"
    case .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}

// MARK: - Writing

extension JSON {
  /// The text, on one line, or indented by two spaces a level.
  public func text(pretty: Bool = false) -> String {
    var out = ""
    write(to: &out, indent: pretty ? 0 : nil)
    return out
  }

  private func write(to out: inout String, indent: Int?) {
    func newline(_ level: Int?) {
      guard let level else { return }
      out += "\n" + String(repeating: "  ", count: level)
    }
    switch self {
    case .null: out += "null"
    case .bool(let flag): out += flag ? "true" : "false"
    case .int(let number): out += String(number)
    case .double(let number):
      // JSON has no NaN and no infinity; readers of Lamina's files accept these strings for them.
      out += number.isFinite ? "\(number)" : "\"\(number)\""
    case .string(let text): JSON.quote(text, into: &out)
    case .array(let elements):
      let scalars = elements.allSatisfy { element in
        switch element {
        case .array, .object: false
        default: true
        }
      }
      out += "["
      for (i, element) in elements.enumerated() {
        if i > 0 { out += indent != nil && scalars ? ", " : "," }
        if !scalars { newline(indent.map { $0 + 1 }) }
        element.write(to: &out, indent: indent.map { $0 + 1 })
      }
      if !elements.isEmpty && !scalars { newline(indent) }
      out += "]"
    case .object(let members):
      out += "{"
      for (i, member) in members.enumerated() {
        if i > 0 { out += "," }
        newline(indent.map { $0 + 1 })
        JSON.quote(member.key, into: &out)
        out += indent == nil ? ":" : ": "
        member.value.write(to: &out, indent: indent.map { $0 + 1 })
      }
      if !members.isEmpty { newline(indent) }
      out += "}"
    }
  }

  private static func quote(_ text: String, into out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      default:
        if scalar.value < 0x20 {
          let digits = String(scalar.value, radix: 16)
          out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          out.unicodeScalars.append(scalar)
        }
      }
    }
    out += "\""
  }
}

// MARK: - Reading

extension JSON {
  /// Reads strict JSON (RFC 8259) without recursion. Duplicate keys are an error; whitespace may surround
  /// the value; integers beyond 64 bits become fractions.
  ///
  /// - Throws: `format` with the byte offset; `limit` when the text is too long or nested too deeply.
  public static func parse(
    _ bytes: some Collection<UInt8>, path: String = "", limits: Limits = Limits()
  ) throws -> JSON {
    guard bytes.count <= limits.jsonBytes else {
      throw LaminaError(
        .limit, "expected at most \(limits.jsonBytes) bytes of JSON, found \(bytes.count)",
        path: path)
    }
    var parser = JSONParser(bytes: Array(bytes), path: path, maximumDepth: limits.jsonDepth)
    return try parser.parse()
  }

  /// Reads JSON from a string.
  public static func parse(text: String, path: String = "", limits: Limits = Limits()) throws
    -> JSON
  {
    try parse(Array(text.utf8), path: path, limits: limits)
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  let path: String
  let maximumDepth: Int
  var position = 0

  /// An array or object that is still open.
  private struct Container {
    var isObject: Bool
    var elements: [JSON] = []
    var members: [JSON.Member] = []
    var keys: Set<String> = []
    /// The key whose value comes next.
    var key = ""
  }

  init(bytes: [UInt8], path: String, maximumDepth: Int) {
    self.bytes = bytes
    self.path = path
    self.maximumDepth = maximumDepth
  }

  func failure(_ message: String, at offset: Int? = nil) -> LaminaError {
    LaminaError(.format, message, path: "\(path.isEmpty ? "JSON" : path) @ \(offset ?? position)")
  }

  var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func skipWhitespace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  var found: String {
    guard let byte = current else { return "the end of the text" }
    return byte >= 0x21 && byte < 0x7F
      ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
  }

  mutating func parse() throws -> JSON {
    var stack: [Container] = []
    while true {
      skipWhitespace()
      var value: JSON
      switch current {
      case UInt8(ascii: "{"):
        try open(&stack)
        skipWhitespace()
        if current == UInt8(ascii: "}") {
          position += 1
          value = .object([])
        } else {
          stack.append(Container(isObject: true, key: try parseKey(after: [])))
          continue
        }
      case UInt8(ascii: "["):
        try open(&stack)
        skipWhitespace()
        if current == UInt8(ascii: "]") {
          position += 1
          value = .array([])
        } else {
          stack.append(Container(isObject: false))
          continue
        }
      default: value = try parseScalar()
      }
      // Close every container that ends here; leave the loop to read the next element otherwise.
      closing: while true {
        skipWhitespace()
        let last = stack.count - 1
        guard last >= 0 else {
          guard position == bytes.count else {
            throw failure("expected the end of the text, found \(found)")
          }
          return value
        }
        // Changed where they stand: a copy for each element would take quadratic time.
        if stack[last].isObject {
          let key = stack[last].key
          stack[last].members.append(JSON.Member(key, value))
          stack[last].keys.insert(key)
        } else {
          stack[last].elements.append(value)
        }
        if current == UInt8(ascii: ",") {
          position += 1
          if stack[last].isObject {
            skipWhitespace()
            stack[last].key = try parseKey(after: stack[last].keys)
          }
          break closing
        }
        let end = stack[last].isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
        guard current == end else {
          throw failure("expected ',' or '\(Character(Unicode.Scalar(end)))', found \(found)")
        }
        position += 1
        let done = stack.removeLast()
        value = done.isObject ? .object(done.members) : .array(done.elements)
      }
    }
  }

  private mutating func open(_ stack: inout [Container]) throws {
    guard stack.count < maximumDepth else {
      throw LaminaError(
        .limit, "expected at most \(maximumDepth) levels of nesting", path: "\(path) @ \(position)")
    }
    position += 1
  }

  private mutating func parseKey(after keys: Set<String>) throws -> String {
    let start = position
    guard current == UInt8(ascii: "\"") else { throw failure("expected a key, found \(found)") }
    let key = try parseString()
    guard !keys.contains(key) else {
      throw failure("duplicate key '\(key.escapedForDisplay())'", at: start)
    }
    skipWhitespace()
    guard current == UInt8(ascii: ":") else { throw failure("expected ':', found \(found)") }
    position += 1
    return key
  }

  private mutating func parseScalar() throws -> JSON {
    switch current {
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    case UInt8(ascii: "-"): return try parseNumber()
    case let byte? where byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"):
      return try parseNumber()
    default: throw failure("expected a value, found \(found)")
    }
  }

  private mutating func literal(_ word: String, _ value: JSON) throws -> JSON {
    guard bytes[position...].starts(with: word.utf8) else {
      throw failure("expected a value, found \(found)")
    }
    position += word.utf8.count
    return value
  }

  private mutating func parseNumber() throws -> JSON {
    let start = position
    func isDigit(_ byte: UInt8?) -> Bool {
      byte.map { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") } ?? false
    }
    if current == UInt8(ascii: "-") { position += 1 }
    guard isDigit(current) else { throw failure("expected a digit, found \(found)") }
    let leadingZero = current == UInt8(ascii: "0")
    position += 1
    if leadingZero, isDigit(current) { throw failure("a number has a leading zero", at: start) }
    while isDigit(current) { position += 1 }
    var isInteger = true
    if current == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      guard isDigit(current) else { throw failure("expected a digit, found \(found)") }
      while isDigit(current) { position += 1 }
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      guard isDigit(current) else { throw failure("expected a digit, found \(found)") }
      while isDigit(current) { position += 1 }
    }
    guard position - start <= 1024 else { throw failure("a number is too long", at: start) }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let number = Int64(text) { return .int(number) }
    guard let number = Double(text), number.isFinite else {
      throw failure("a number is out of range", at: start)
    }
    return .double(number)
  }

  private mutating func parseString() throws -> String {
    let start = position
    position += 1
    var text: [UInt8] = []
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        guard let string = String(validating: text, as: UTF8.self) else {
          throw failure("a string is not UTF-8", at: start)
        }
        return string
      case UInt8(ascii: "\\"): try parseEscape(into: &text)
      case 0..<0x20: throw failure("a string holds an unescaped control character")
      default:
        text.append(byte)
        position += 1
      }
    }
    throw failure("a string has no end", at: start)
  }

  private mutating func parseEscape(into text: inout [UInt8]) throws {
    let start = position
    position += 1
    guard let byte = current else { throw failure("an escape has no end", at: start) }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      var code = try parseHex()
      if code >= 0xD800, code < 0xDC00 {
        guard current == UInt8(ascii: "\\"), position + 1 < bytes.count,
          bytes[position + 1] == UInt8(ascii: "u")
        else { throw failure("a lone surrogate", at: start) }
        position += 2
        let low = try parseHex()
        guard low >= 0xDC00, low < 0xE000 else { throw failure("a lone surrogate", at: start) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("a lone surrogate", at: start) }
      text.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw failure("unknown escape", at: start)
    }
  }

  private mutating func parseHex() throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue,
        byte < 0x80
      else { throw failure("expected four hexadecimal digits") }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
