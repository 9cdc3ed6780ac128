/// A value of a layer's attribute.
public enum AttributeValue: Sendable, Hashable {
  case int(Int)
  case float(Double)
  case bool(Bool)
  case string(String)
  case ints([Int])
  case floats([Double])

  var typeName: String {
    switch self {
    case .int: "an integer"
    case .float: "a number"
    case .bool: "a bool"
    case .string: "a string"
    case .ints: "a list of integers"
    case .floats: "a list of numbers"
    }
  }
}

extension AttributeValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral
{
  /// An integer.
  public init(integerLiteral value: Int) { self = .int(value) }
  /// A number.
  public init(floatLiteral value: Double) { self = .float(value) }
  /// A truth value.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// A text.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A list of integers.
  public init(arrayLiteral elements: Int...) { self = .ints(elements) }
}

/// The attributes of a node: names and values, in the order in which they were set.
public struct Attributes: Sendable, Hashable {
  /// Names in order.
  public private(set) var names: [String] = []
  private var values: [String: AttributeValue] = [:]

  /// No attributes.
  public init() {}

  /// The value of `name`; setting nil removes it.
  public subscript(name: String) -> AttributeValue? {
    get { values[name] }
    set {
      if values[name] == nil, newValue != nil { names.append(name) }
      if newValue == nil { names.removeAll { $0 == name } }
      values[name] = newValue
    }
  }

  /// True without attributes.
  public var isEmpty: Bool { names.isEmpty }
}

extension Attributes: ExpressibleByDictionaryLiteral {
  /// Attributes in the order of the literal.
  public init(dictionaryLiteral elements: (String, AttributeValue)...) {
    for (name, value) in elements { self[name] = value }
  }
}

extension Attributes {
  /// The attributes as a JSON object. Numbers keep their kind: `1.0` stays a number.
  public var json: JSON {
    .object(
      names.map { name in
        let value: JSON =
          switch self[name] {
          case .int(let number): .int(Int64(number))
          case .float(let number): .double(number)
          case .bool(let flag): .bool(flag)
          case .string(let text): .string(text)
          case .ints(let numbers): .array(numbers.map { .int(Int64($0)) })
          case .floats(let numbers): .array(numbers.map { .double($0) })
          case nil: .null
          }
        return JSON.Member(name, value)
      })
  }

  /// Reads attributes from a JSON object.
  ///
  /// - Throws: `format` when a member is neither a scalar nor a list of numbers.
  public init(json: JSON, path: String) throws {
    guard let members = json.members else {
      throw LaminaError(.format, "expected an object, found \(json.typeName)", path: path)
    }
    for member in members {
      let value: AttributeValue? =
        switch member.value {
        case .int(let number): Int(exactly: number).map(AttributeValue.int)
        case .double(let number): .float(number)
        case .bool(let flag): .bool(flag)
        case .string(let text): .string(text)
        case .array(let elements):
          if let ints = elements.map(\.int) as? [Int] {
            .ints(ints)
          } else if let floats = elements.map(\.double) as? [Double] {
            .floats(floats)
          } else {
            nil
          }
        case .null, .object: nil
        }
      guard let value else {
        throw LaminaError(
          .format,
          "expected a number, bool, string or list of numbers, found \(member.value.typeName)",
          path: "\(path).\(member.key.escapedForDisplay())")
      }
      self[member.key] = value
    }
  }
}

/// Hands a layer its attributes and remembers which it asked for: what stays unread is an error.
public struct AttributeReader {
  private let attributes: Attributes
  private(set) var read: Set<String> = []

  /// A reader of `attributes`.
  public init(_ attributes: Attributes) { self.attributes = attributes }

  /// True when `name` is set; does not count as reading it.
  public func has(_ name: String) -> Bool { attributes[name] != nil }

  /// The names that no call has asked for.
  public var unread: [String] { attributes.names.filter { !read.contains($0) } }

  /// The names that were asked for.
  public var known: [String] { read.sorted() }

  /// The raw value of `name`.
  public mutating func value(_ name: String) -> AttributeValue? {
    read.insert(name)
    return attributes[name]
  }

  private func mismatch(_ name: String, _ expected: String, _ found: AttributeValue?) -> LaminaError
  {
    LaminaError(
      .graph,
      found.map { "expected attribute '\(name)' to be \(expected), found \($0.typeName)" }
        ?? "expected attribute '\(name)' (\(expected)), found none")
  }

  /// An integer within `range`, or `default` where it is absent.
  public mutating func int(
    _ name: String, default fallback: Int? = nil,
    in range: ClosedRange<Int> = -Int(Int32.max)...Int(Int32.max)
  ) throws -> Int {
    let found = value(name)
    if found == nil, let fallback { return fallback }
    guard case .int(let number) = found else { throw mismatch(name, "an integer", found) }
    guard range.contains(number) else {
      throw LaminaError(
        .graph,
        "expected attribute '\(name)' in \(range.lowerBound)...\(range.upperBound), found \(number)"
      )
    }
    return number
  }

  /// A number, or `default` where it is absent. Integers are accepted; `"inf"`, `"-inf"` and `"nan"` too.
  public mutating func float(_ name: String, default fallback: Float? = nil) throws -> Float {
    let found = value(name)
    switch found {
    case .float(let number): return Float(number)
    case .int(let number): return Float(number)
    case .string("inf"): return .infinity
    case .string("-inf"): return -.infinity
    case .string("nan"): return .nan
    case nil:
      if let fallback { return fallback }
      fallthrough
    default: throw mismatch(name, "a number", found)
    }
  }

  /// A truth value, or `default` where it is absent.
  public mutating func bool(_ name: String, default fallback: Bool? = nil) throws -> Bool {
    let found = value(name)
    if found == nil, let fallback { return fallback }
    guard case .bool(let flag) = found else { throw mismatch(name, "true or false", found) }
    return flag
  }

  /// A text, or `default` where it is absent.
  public mutating func string(_ name: String, default fallback: String? = nil) throws -> String {
    let found = value(name)
    if found == nil, let fallback { return fallback }
    guard case .string(let text) = found else { throw mismatch(name, "a string", found) }
    return text
  }

  /// One of the raw values of `T`, or `default` where it is absent.
  public mutating func choice<T: RawRepresentable & CaseIterable>(
    _ name: String, default fallback: T? = nil
  ) throws -> T where T.RawValue == String {
    let found = value(name)
    if found == nil, let fallback { return fallback }
    let names = T.allCases.map(\.rawValue).joined(separator: ", ")
    guard case .string(let text) = found else { throw mismatch(name, "one of \(names)", found) }
    guard let choice = T(rawValue: text) else {
      throw LaminaError(
        .graph,
        "expected attribute '\(name)' to be one of \(names), found '\(text.escapedForDisplay())'")
    }
    return choice
  }

  /// Integers, each within `range`, or `default` where absent; `count` fixes how many. A single integer
  /// stands for `count` equal ones.
  public mutating func ints(
    _ name: String, count: Int? = nil, default fallback: [Int]? = nil,
    in range: ClosedRange<Int> = -Int(Int32.max)...Int(Int32.max)
  ) throws -> [Int] {
    let found = value(name)
    if found == nil, let fallback { return fallback }
    var numbers: [Int]
    switch found {
    case .ints(let list): numbers = list
    case .int(let number): numbers = [Int](repeating: number, count: count ?? 1)
    default: throw mismatch(name, "a list of integers", found)
    }
    if let count, numbers.count != count {
      throw LaminaError(
        .graph, "expected \(count) integers in attribute '\(name)', found \(numbers.count)")
    }
    if let wrong = numbers.first(where: { !range.contains($0) }) {
      throw LaminaError(
        .graph,
        "expected attribute '\(name)' in \(range.lowerBound)...\(range.upperBound), found \(wrong)")
    }
    return numbers
  }

  /// Numbers, or `default` where absent.
  public mutating func floats(_ name: String, default fallback: [Float]? = nil) throws -> [Float] {
    let found = value(name)
    switch found {
    case .floats(let numbers): return numbers.map { Float($0) }
    case .ints(let numbers): return numbers.map { Float($0) }
    case nil:
      if let fallback { return fallback }
      fallthrough
    default: throw mismatch(name, "a list of numbers", found)
    }
  }

  /// An element type by its name, or `default` where it is absent.
  public mutating func elementType(_ name: String, default fallback: ElementType? = nil) throws
    -> ElementType
  {
    try choice(name, default: fallback)
  }
}

/// Collects the attributes that `Layer.encode` writes. Values equal to their default may be left out.
public struct AttributeWriter {
  /// What was written.
  public private(set) var attributes = Attributes()

  /// Nothing written yet.
  public init() {}

  /// Writes values as they are.
  public mutating func values(_ values: Attributes) {
    for name in values.names { attributes[name] = values[name] }
  }
  /// Writes an integer.
  public mutating func int(_ name: String, _ value: Int) { attributes[name] = .int(value) }
  /// Writes a number; infinities and NaN as `"inf"`, `"-inf"`, `"nan"`.
  public mutating func float(_ name: String, _ value: Float) {
    attributes[name] = value.isFinite ? .float(Double(value)) : .string("\(value)")
  }
  /// Writes a truth value.
  public mutating func bool(_ name: String, _ value: Bool) { attributes[name] = .bool(value) }
  /// Writes a text.
  public mutating func string(_ name: String, _ value: String) { attributes[name] = .string(value) }
  /// Writes a choice.
  public mutating func choice<T: RawRepresentable>(_ name: String, _ value: T)
  where T.RawValue == String { attributes[name] = .string(value.rawValue) }
  /// Writes a list of integers.
  public mutating func ints(_ name: String, _ value: [Int]) { attributes[name] = .ints(value) }
  /// Writes a list of numbers.
  public mutating func floats(_ name: String, _ value: [Float]) {
    attributes[name] = .floats(value.map(Double.init))
  }
}
