import LaminaCore

/// The options of a Keras layer, read with their types; `null` counts as absent.
struct KerasOptions {
  let json: JSON
  let path: String

  func value(_ field: String) -> JSON? {
    guard let value = json[field], value != .null else { return nil }
    return value
  }

  private func read<T>(
    _ field: String, _ expected: String, default fallback: T?, _ convert: (JSON) -> T?
  ) throws -> T {
    guard let value = value(field) else {
      guard let fallback else {
        throw LaminaError(.format, "expected \(expected), found none", path: "\(path).\(field)")
      }
      return fallback
    }
    guard let result = convert(value) else {
      throw LaminaError(
        .format, "expected \(expected), found \(value.text().escapedForDisplay(limit: 64))",
        path: "\(path).\(field)")
    }
    return result
  }

  func int(_ field: String, default fallback: Int? = nil) throws -> Int {
    try read(field, "an integer", default: fallback) {
      $0.int ?? $0.double.flatMap(Int.init(exactly:))
    }
  }

  func number(_ field: String, default fallback: Double? = nil) throws -> Double {
    try read(field, "a number", default: fallback, \.double)
  }

  func bool(_ field: String, default fallback: Bool) throws -> Bool {
    try read(field, "a bool", default: fallback, \.bool)
  }

  func string(_ field: String, default fallback: String? = nil) throws -> String {
    try read(field, "a string", default: fallback, \.string)
  }

  /// One integer for both axes, or two.
  func pair(_ field: String, default fallback: [Int]? = nil) throws -> [Int] {
    try read(field, "one or two integers", default: fallback) { value in
      if let number = value.int { return [number, number] }
      guard let list = value.array, list.count == 2 else { return nil }
      let numbers = list.compactMap(\.int)
      return numbers.count == 2 ? numbers : nil
    }
  }

  /// `[top, left, bottom, right]` of one integer, two, or two pairs.
  func borders(_ field: String) throws -> [Int] {
    try read(field, "borders", default: nil) { value in
      if let number = value.int { return [number, number, number, number] }
      guard let list = value.array, list.count == 2 else { return nil }
      let sides = list.map { element -> [Int] in
        if let number = element.int { return [number, number] }
        return element.array?.compactMap(\.int) ?? []
      }
      guard sides.allSatisfy({ $0.count == 2 && $0.allSatisfy { (0...65535).contains($0) } }) else {
        return nil
      }
      return [sides[0][0], sides[1][0], sides[0][1], sides[1][1]]
    }
  }

  /// A number, or one for each channel.
  func numbers(_ field: String, default fallback: [Double]) throws -> [Double] {
    try read(field, "a number or a list of numbers", default: fallback) { value in
      if let number = value.double { return [number] }
      // Lists may be nested to the rank of what they are broadcast to.
      var stack = [value]
      var result: [Double] = []
      while let next = stack.popLast() {
        if let number = next.double {
          result.append(number)
        } else if let list = next.array {
          stack += list.reversed()
        } else {
          return nil
        }
      }
      return result.isEmpty ? nil : result
    }
  }

  /// `valid` or `same`, the odd zero behind.
  func padding() throws -> AttributeValue {
    let padding = try string("padding", default: "valid")
    switch padding {
    case "valid": return "valid"
    case "same": return "same_upper"
    default:
      throw LaminaError(
        .unsupported, "expected padding 'valid' or 'same', found '\(padding.escapedForDisplay())'",
        path: path)
    }
  }

  /// Maps must have their channels last.
  func expectChannelsLast() throws {
    let format = try string("data_format", default: "channels_last")
    guard format == "channels_last" else {
      throw LaminaError(
        .unsupported, "expected data_format 'channels_last', found '\(format.escapedForDisplay())'",
        path: path)
    }
  }

  /// The name of an activation, which Keras 3 may write as an object.
  func activation(_ field: String = "activation") throws -> String {
    guard let value = value(field) else { return "linear" }
    if let name = value.string { return name }
    if value["class_name"]?.string == "function", let name = value["config"]?.string { return name }
    if let name = value["class_name"]?.string, value["config"]?.members?.count ?? 0 <= 1 {
      return kerasSnakeCase(name)
    }
    throw LaminaError(
      .unsupported, "expected the name of an activation, found an object", path: "\(path).\(field)")
  }
}
