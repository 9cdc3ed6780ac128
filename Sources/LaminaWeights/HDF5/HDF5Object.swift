import LaminaCore

/// A group or a dataset: the messages of its object header, of version 1 or 2.
struct HDF5Object {
  struct Message {
    var type: Int
    var cursor: HDF5Cursor
  }

  /// Types of the messages that are read.
  enum Kind {
    static let dataspace = 0x01
    static let linkInfo = 0x02
    static let datatype = 0x03
    static let link = 0x06
    static let externalFiles = 0x07
    static let layout = 0x08
    static let filters = 0x0B
    static let attribute = 0x0C
    static let continuation = 0x10
    static let symbolTable = 0x11
    static let attributeInfo = 0x15
  }

  private(set) var messages: [Message] = []

  init(_ reader: HDF5Reader, at address: Int) throws {
    var head = try reader.cursor(at: address, upTo: 6, of: "object header")
    var blocks: [HDF5Cursor] = []
    let isNew = head.bytes.starts(with: Array("OHDR".utf8))
    var tracksOrder = false
    if isNew {
      try head.skip(4, "signature")
      _ = try head.expect(version: 2...2, of: "an object header")
      let flags = try head.byte("flags of an object header")
      tracksOrder = flags & 4 != 0
      let prefix = 6 + (flags & 0x20 != 0 ? 16 : 0) + (flags & 0x10 != 0 ? 4 : 0)
      let sizeBytes = 1 << (flags & 3)
      var start = try reader.cursor(at: address, count: prefix + sizeBytes, of: "object header")
      try start.skip(prefix, "prefix of an object header")
      let size = try start.integer(sizeBytes, "size of an object header")
      let (count, overflow) = size.addingReportingOverflow(prefix + sizeBytes + 4)
      guard !overflow else { throw start.failure("expected a size below 2^63, found \(size)") }
      var whole = try reader.cursor(at: address, count: count, of: "object header")
      try whole.skip(count - 4, "object header")
      try whole.expectChecksum(of: "an object header")
      blocks.append(
        HDF5Cursor(
          bytes: Array(whole.bytes[(prefix + sizeBytes)..<(count - 4)]),
          start: whole.start + prefix + sizeBytes, format: reader.format))
    } else {
      _ = try head.expect(version: 1...1, of: "an object header")
      var start = try reader.cursor(at: address, count: 16, of: "object header")
      try start.skip(8, "prefix of an object header")
      let size = try start.word("size of an object header")
      blocks.append(try reader.cursor(at: address + 16, count: size, of: "object header"))
    }
    var seen: Set<Int> = [address]
    var next = 0
    while next < blocks.count {
      var block = blocks[next]
      next += 1
      let headCount = isNew ? (tracksOrder ? 6 : 4) : 8
      while block.remaining >= headCount {
        let type = isNew ? try block.byte("message type") : try block.short("message type")
        let size = try block.short("message size")
        let flags = try block.byte("message flags")
        try block.skip(headCount - (isNew ? 4 : 5), "head of a message")
        let position = block.position
        let body = try block.slice(size, "message of type \(type)")
        if type == 0 { continue }
        var message = HDF5Cursor(bytes: Array(body), start: position, format: reader.format)
        guard flags & 2 == 0 else {
          throw LaminaError(
            .unsupported, "shared messages are not supported",
            path: "\(reader.format.source.name) @ \(position)")
        }
        guard type == Kind.continuation else {
          messages.append(Message(type: type, cursor: message))
          continue
        }
        let address = try message.address("continuation of an object header")
        let count = try message.length("size of a continuation")
        guard seen.insert(address).inserted else {
          throw message.failure("the object header continues in a block that it already has")
        }
        var continued = try reader.cursor(at: address, count: count, of: "object header")
        if isNew {
          guard count >= 8 else {
            throw continued.failure("expected 8 bytes of a continuation, found \(count)")
          }
          try continued.expect(signature: "OCHK")
          try continued.skip(count - 8, "continuation")
          try continued.expectChecksum(of: "a continuation")
          continued = HDF5Cursor(
            bytes: Array(continued.bytes[4..<count - 4]), start: continued.start + 4,
            format: reader.format)
        }
        blocks.append(continued)
      }
    }
  }

  /// The cursor over the only message of a type; nil when there is none.
  func message(_ type: Int) throws -> HDF5Cursor? {
    let found = messages.filter { $0.type == type }
    guard found.count <= 1 else {
      throw found[1].cursor.failure("expected one message of type \(type), found \(found.count)")
    }
    return found.first?.cursor
  }

  var isGroup: Bool {
    messages.contains { $0.type == Kind.symbolTable || $0.type == Kind.linkInfo }
  }
  var isDataset: Bool { messages.contains { $0.type == Kind.layout } }

  // MARK: - Members of a group

  /// Names and addresses of the group's members, in the order of their creation where the file
  /// tracks it, otherwise in that of their headers' addresses.
  func members(_ reader: HDF5Reader) throws -> [(name: String, address: Int)] {
    var links: [(name: String, address: Int, order: Int?)] = []
    if let table = try message(Kind.symbolTable) {
      links = try HDF5SymbolTable.members(reader, table).map { ($0.name, $0.address, nil) }
    }
    for message in messages where message.type == Kind.link {
      var cursor = message.cursor
      links.append(try HDF5Object.link(&cursor))
    }
    if var info = try message(Kind.linkInfo) {
      _ = try info.expect(version: 0...0, of: "link info")
      let flags = try info.byte("flags of link info")
      if flags & 1 != 0 { try info.skip(8, "creation index") }
      for object in try HDF5FractalHeap.objects(reader, &info, prefix: [5: 4, 6: 8]) {
        var cursor = object
        links.append(try HDF5Object.link(&cursor))
      }
    }
    var names: Set<String> = []
    for link in links where !names.insert(link.name).inserted {
      throw LaminaError(
        .format, "two members of a group are named '\(link.name.escapedForDisplay())'",
        path: reader.format.source.name)
    }
    return links.sorted { ($0.order ?? 0, $0.address) < ($1.order ?? 0, $1.address) }
      .map { ($0.name, $0.address) }
  }

  private static func link(_ cursor: inout HDF5Cursor) throws -> (
    name: String, address: Int, order: Int?
  ) {
    _ = try cursor.expect(version: 1...1, of: "a link")
    let flags = try cursor.byte("flags of a link")
    let kind = flags & 8 != 0 ? try cursor.byte("type of a link") : 0
    let order = flags & 4 != 0 ? try cursor.integer(8, "creation order") : nil
    if flags & 16 != 0 { try cursor.skip(1, "character set") }
    let count = try cursor.integer(1 << (flags & 3), "length of a link's name")
    let name = try hdf5Text(try cursor.slice(count, "name of a link"), cursor)
    guard kind == 0 else { throw unsupportedLink(name, kind == 1 ? "soft" : "external", cursor) }
    return (name, try cursor.address("address of '\(name.escapedForDisplay())'"), order)
  }

  // MARK: - Attributes

  /// The attribute of that name.
  func attribute(_ name: String, _ reader: HDF5Reader) throws -> HDF5Attribute? {
    for message in messages where message.type == Kind.attribute {
      var cursor = message.cursor
      let attribute = try HDF5Attribute(&cursor)
      if attribute.name == name { return attribute }
    }
    if var info = try message(Kind.attributeInfo) {
      _ = try info.expect(version: 0...0, of: "attribute info")
      let flags = try info.byte("flags of attribute info")
      if flags & 1 != 0 { try info.skip(2, "creation index") }
      for object in try HDF5FractalHeap.objects(reader, &info, prefix: [8: 0, 9: 0]) {
        var cursor = object
        let attribute = try HDF5Attribute(&cursor)
        if attribute.name == name { return attribute }
      }
    }
    return nil
  }

  /// The strings of an attribute, or of `name0`, `name1`, … as Keras splits long ones.
  func strings(_ name: String, _ reader: HDF5Reader) throws -> [String]? {
    if let attribute = try attribute(name, reader) { return try attribute.strings(reader) }
    var result: [String]?
    var number = 0
    while let part = try attribute("\(name)\(number)", reader) {
      result = (result ?? []) + (try part.strings(reader))
      number += 1
    }
    return result
  }
}

func unsupportedLink(_ name: String, _ kind: String, _ cursor: HDF5Cursor) -> LaminaError {
  LaminaError(
    .unsupported, "\(kind) links are not supported, found '\(name.escapedForDisplay())'",
    path: cursor.format.source.name)
}

/// Bytes up to a zero as UTF-8.
func hdf5Text(_ bytes: ArraySlice<UInt8>, _ cursor: HDF5Cursor) throws -> String {
  guard let text = String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self) else {
    throw cursor.failure("text is not UTF-8")
  }
  return text
}

/// A named value of a group or dataset.
struct HDF5Attribute {
  let name: String
  private let type: HDF5Type
  private let dimensions: [Int]
  private let value: HDF5Cursor

  init(_ cursor: inout HDF5Cursor) throws {
    let version = try cursor.expect(version: 1...3, of: "an attribute")
    let flags = try cursor.byte("flags of an attribute")
    guard version == 1 || flags & 3 == 0 else {
      throw LaminaError(
        .unsupported, "shared messages are not supported",
        path: "\(cursor.format.source.name) @ \(cursor.position)")
    }
    let counts = try (0..<3).map { _ in try cursor.short("size of an attribute's parts") }
    if version == 3 { try cursor.skip(1, "character set") }
    let format = cursor.format
    func part(_ count: Int, _ what: String) throws -> HDF5Cursor {
      let padded = version == 1 ? (count + 7) / 8 * 8 : count
      let start = cursor.position
      return HDF5Cursor(
        bytes: Array(try cursor.slice(padded, what).prefix(count)), start: start, format: format)
    }
    let text = try part(counts[0], "name of an attribute")
    name = try hdf5Text(text.bytes[...], text)
    var typePart = try part(counts[1], "datatype of '\(name.escapedForDisplay())'")
    type = try HDF5Type(&typePart)
    var spacePart = try part(counts[2], "dataspace of '\(name.escapedForDisplay())'")
    dimensions = try HDF5Dataspace.read(&spacePart)
    value = HDF5Cursor(
      bytes: Array(try cursor.slice(cursor.remaining, "value")), start: cursor.position,
      format: cursor.format)
  }

  /// The elements as text.
  func strings(_ reader: HDF5Reader) throws -> [String] {
    let path = "\(value.format.source.name): attribute '\(name.escapedForDisplay())'"
    // Empty lists are written as lists of numbers.
    if dimensions.contains(0) { return [] }
    guard let size = type.byteCount(value.format), type == .variableString || isFixedText else {
      throw LaminaError(.format, "expected strings, found \(type.name)", path: path)
    }
    let count = try withErrorPath(path) { try Shape(dimensions).count }
    guard count <= value.bytes.count / size else {
      throw LaminaError(
        .format, "expected \(count) strings of \(size) bytes, found \(value.bytes.count) bytes",
        path: path)
    }
    var cursor = value
    return try (0..<count).map { _ in
      guard type == .variableString else {
        return try hdf5Text(try cursor.slice(size, "text"), cursor)
      }
      let length = try cursor.word("length of text")
      let heap = try cursor.optionalAddress("global heap")
      let index = try cursor.word("index in a global heap")
      guard length > 0, let heap else { return "" }
      let bytes = try reader.globalObject(heap: heap, index: index)
      guard length <= bytes.count else {
        throw cursor.failure("expected \(length) bytes of text, found \(bytes.count)")
      }
      return try hdf5Text(bytes.prefix(length), cursor)
    }
  }

  private var isFixedText: Bool { if case .string = type { true } else { false } }
}
