import LaminaCore

/// The header of a `.npy` array: `\x93NUMPY`, a version, a length, and a Python dictionary of `descr`,
/// `fortran_order` and `shape`, read as a literal of texts, Booleans and numbers; nothing is evaluated.
///
/// Source: NumPy's `numpy/lib/format.py`, format versions 1.0, 2.0 and 3.0.
struct NumPyHeader {
  /// What the elements are.
  let layout: NumPyLayout
  /// Bytes before the elements.
  let byteCount: Int

  /// Longest dictionary, as in NumPy.
  static let maximumCount = 10_000

  /// Reads a header.
  ///
  /// - Parameter next: gives the next bytes of the file, that many.
  /// - Throws: `format` for what is no header, `unsupported` for an element type that Lamina has not.
  init(path: String, next: (Int) throws -> [UInt8]) throws {
    let start = try next(8)
    guard start.starts(with: Self.magic) else {
      throw LaminaError(.format, "expected an array of NumPy, found other bytes", path: path)
    }
    guard (1...3).contains(start[6]), start[7] == 0 else {
      throw LaminaError(
        .unsupported, "expected format version 1.0, 2.0 or 3.0, found \(start[6]).\(start[7])",
        path: path)
    }
    let lengthCount = start[6] == 1 ? 2 : 4
    let count = try next(lengthCount).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard count <= Self.maximumCount else {
      throw LaminaError(
        .limit, "expected a header of at most \(Self.maximumCount) bytes, found \(count)",
        path: path)
    }
    var literal = try PythonLiteral(next(count), path: path, offset: 8 + lengthCount)
    layout = try literal.header()
    byteCount = 8 + lengthCount + count
  }

  static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]

  /// The bytes of a header of version 1.0, padded so that the elements start at a multiple of 64.
  static func bytes(_ spec: TensorSpec) -> [UInt8] {
    let extents = spec.shape.dimensions.map(String.init).joined(separator: ", ")
    let comma = spec.shape.rank == 1 ? "," : ""
    var text =
      "{'descr': '\(NumPyType.name(of: spec.type) ?? "")', 'fortran_order': False, 'shape': (\(extents)\(comma)), }"
    while (10 + text.utf8.count + 1) % 64 != 0 { text += " " }
    text += "\n"
    let count = UInt16(truncatingIfNeeded: text.utf8.count)
    return magic + [1, 0, UInt8(truncatingIfNeeded: count), UInt8(truncatingIfNeeded: count >> 8)]
      + Array(text.utf8)
  }
}

/// Reads the one dictionary that a header holds.
private struct PythonLiteral {
  private let bytes: [UInt8]
  private var position = 0
  private let path: String
  private let offset: Int

  init(_ bytes: [UInt8], path: String, offset: Int) throws {
    self.bytes = bytes
    self.path = path
    self.offset = offset
  }

  private func failure(_ message: String) -> LaminaError {
    LaminaError(.format, message, path: "\(path) @ \(offset + position)")
  }

  private mutating func skipSpaces() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) {
      position += 1
    }
  }

  private mutating func take(_ character: Character) -> Bool {
    skipSpaces()
    guard position < bytes.count, bytes[position] == character.asciiValue else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Character) throws {
    guard take(character) else { throw failure("expected '\(character)' in the header") }
  }

  private mutating func text() throws -> String {
    skipSpaces()
    guard position < bytes.count, bytes[position] == 0x27 || bytes[position] == 0x22 else {
      throw failure("expected a string in the header")
    }
    let quote = bytes[position]
    let start = position + 1
    guard let end = bytes[start...].firstIndex(of: quote),
      let text = String(validating: bytes[start..<end], as: UTF8.self), !text.contains("\\")
    else { throw failure("expected a string of UTF-8 without escapes in the header") }
    position = end + 1
    return text
  }

  private mutating func word(_ word: String) -> Bool {
    skipSpaces()
    guard bytes[position...].starts(with: word.utf8) else { return false }
    position += word.utf8.count
    return true
  }

  private mutating func bool() throws -> Bool {
    if word("True") { return true }
    if word("False") { return false }
    throw failure("expected True or False for 'fortran_order'")
  }

  /// A decimal number; Python 2 wrote an `L` behind it.
  private mutating func number() throws -> Int {
    skipSpaces()
    let digits = bytes[position...].prefix { (0x30...0x39).contains($0) }
    guard !digits.isEmpty, let number = Int(String(decoding: digits, as: UTF8.self)) else {
      throw failure("expected an extent from 0 below 2^63 in 'shape'")
    }
    position = digits.endIndex
    _ = word("L")
    return number
  }

  private mutating func shape() throws -> Shape {
    guard take("(") else { throw failure("expected a tuple for 'shape'") }
    var extents: [Int] = []
    while !take(")") {
      guard extents.count < 64 else { throw failure("expected at most 8 axes, found more than 64") }
      extents.append(try number())
      if take(",") { continue }
      guard extents.count != 1 else {
        throw failure("expected a tuple for 'shape', found a number")
      }
      try expect(")")
      break
    }
    do { return try Shape(extents) } catch let error as LaminaError {
      throw LaminaError(error.code, error.message, path: "\(path) @ \(offset + position)")
    }
  }

  mutating func header() throws -> NumPyLayout {
    var type: NumPyType?
    var isFortran: Bool?
    var shape: Shape?
    try expect("{")
    while !take("}") {
      let key = try text()
      try expect(":")
      switch key {
      case "descr" where type == nil:
        skipSpaces()
        guard position < bytes.count, bytes[position] != UInt8(ascii: "[") else {
          throw LaminaError(.unsupported, "structured arrays are not supported", path: path)
        }
        let name = try text()
        type = try withErrorPath(path) { try NumPyType(name) }
      case "fortran_order" where isFortran == nil: isFortran = try bool()
      case "shape" where shape == nil: shape = try self.shape()
      case "descr", "fortran_order", "shape": throw failure("the header gives '\(key)' twice")
      default:
        throw failure(
          "expected 'descr', 'fortran_order' and 'shape', found '\(key.escapedForDisplay())'")
      }
      if take(",") { continue }
      try expect("}")
      break
    }
    skipSpaces()
    guard position == bytes.count else { throw failure("expected the end of the header") }
    guard let type, let isFortran, let shape else {
      let missing = type == nil ? "descr" : isFortran == nil ? "fortran_order" : "shape"
      throw failure("the header has no '\(missing)'")
    }
    return NumPyLayout(type: type, shape: shape, isFortran: isFortran)
  }
}
