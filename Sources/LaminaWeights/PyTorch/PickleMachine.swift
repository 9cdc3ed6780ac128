import LaminaCore

/// A value that a pickle may build. Containers and texts are indices into the machine's arenas, so
/// that a value is flat, may be shared or contain itself, and is freed without recursion.
enum PickleValue: Sendable {
  case none
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case text(Int)
  /// Integers beyond 64 bits: nothing reads them, so nothing keeps them.
  case opaque
  /// Bytes of the file.
  case bytes(Int)
  case list(Int)
  case tuple(Int)
  /// Keys and values in turn.
  case dictionary(Int)
  case global(PickleGlobal)
  case storage(Int)
  case tensor(Int)
  case dtype(Int)
  case array(Int)

  var typeName: String {
    switch self {
    case .none: "None"
    case .bool: "a bool"
    case .int: "an integer"
    case .double: "a float"
    case .text: "a string"
    case .opaque: "a long integer"
    case .bytes: "bytes"
    case .list: "a list"
    case .tuple: "a tuple"
    case .dictionary: "a dictionary"
    case .global: "a class"
    case .storage: "a storage"
    case .tensor: "a tensor"
    case .dtype: "an element type"
    case .array: "an array"
    }
  }
}

/// The names a pickle may call. Everything else is refused by name when it is named.
enum PickleGlobal: Sendable, Hashable {
  case orderedDictionary
  case rebuildTensor
  case rebuildTensorVersion2
  case rebuildParameter
  case size
  case device
  case reconstructArray
  case array
  case dtype
  case storage(ElementType)
  /// A storage or number type that Lamina does not compute with; refused where a tensor uses it.
  case unsupportedStorage

  private static let storages: [String: ElementType] = [
    "FloatStorage": .float32, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
    "DoubleStorage": .float64, "LongStorage": .int64, "IntStorage": .int32,
    "ShortStorage": .int16, "CharStorage": .int8, "ByteStorage": .uint8, "BoolStorage": .bool,
  ]

  /// - Throws: `unsupported` for a name that is not known, saying so when it is a class of a model.
  init(module: String, name: String, path: String) throws {
    switch (module, name) {
    case ("collections", "OrderedDict"): self = .orderedDictionary
    case ("torch._utils", "_rebuild_tensor"): self = .rebuildTensor
    case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensorVersion2
    case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
    case ("torch", "Size"): self = .size
    case ("torch", "device"): self = .device
    case ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"):
      self = .reconstructArray
    case ("numpy", "ndarray"): self = .array
    case ("numpy", "dtype"): self = .dtype
    default:
      let isTorch = module == "torch" || module == "torch.storage" || module == "torch.cuda"
      if isTorch, let type = PickleGlobal.storages[name] {
        self = .storage(type)
      } else if isTorch, name.hasSuffix("Storage") {
        self = .unsupportedStorage
      } else {
        let full = "\(module).\(name)".escapedForDisplay()
        let isModel =
          module.hasPrefix("torch.nn.") || module.hasPrefix("torchvision.models")
          || module.hasPrefix("timm.") || module.hasPrefix("__main__")
        throw LaminaError(
          .unsupported,
          isModel
            ? "contains code: class '\(full)'; save model.state_dict() and load that"
            : "expected tensors only, found a reference to '\(full)', which is not called",
          path: path)
      }
    }
  }
}

/// Numbers of one storage that several tensors may share.
struct PickleStorage: Sendable {
  var key: String
  /// Nil for a type that Lamina has not.
  var type: ElementType?
  var count: Int
}

/// A view of a storage: element `i` lies at `offset + Σ index·stride`.
struct PickleTensor: Sendable {
  var storage: Int
  var offset: Int
  var shape: Shape
  var strides: [Int]
}

/// An array of NumPy: its elements as they are stored, and where they lie in the file.
struct PickleArray: Sendable {
  var layout: NumPyLayout
  var range: Range<Int>
}

/// What a pickle built.
struct PickleResult: Sendable {
  var root: PickleValue
  var texts: [String]
  /// Lists, tuples and dictionaries.
  var sequences: [[PickleValue]]
  var storages: [PickleStorage]
  var tensors: [PickleTensor]
  /// Where bytes lie.
  var ranges: [Range<Int>] = []
  /// Element types of NumPy.
  var types: [NumPyType] = []
  /// Arrays; nil until their state is set.
  var arrays: [PickleArray?] = []

  func text(_ value: PickleValue) -> String? {
    if case .text(let index) = value { texts[index] } else { nil }
  }

  func dictionary(_ value: PickleValue) -> [(key: PickleValue, value: PickleValue)]? {
    guard case .dictionary(let index) = value else { return nil }
    let flat = sequences[index]
    return stride(from: 0, to: flat.count - 1, by: 2).map { (flat[$0], flat[$0 + 1]) }
  }
}

/// Runs the pickle opcodes of protocols 2 to 4 that build data: numbers, texts, lists, tuples,
/// dictionaries, and PyTorch's storages and tensors. Nothing is imported and nothing is called.
///
/// Source: the comments of CPython's `pickletools.py`.
struct PickleMachine {
  /// Most values one pickle may build.
  static let maximumValues = 500_000

  private var reader: ByteReader
  private let limits: Limits
  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo: [UInt32: PickleValue] = [:]
  private var result: PickleResult
  private var storageIndices: [String: Int] = [:]
  private var valueCount = 0
  private var opcodeOffset = 0
  private var opcodeName = ""

  private init(_ reader: ByteReader, limits: Limits) {
    self.reader = reader
    self.limits = limits
    result = PickleResult(root: .none, texts: [], sequences: [], storages: [], tensors: [])
  }

  /// Reads one pickle from the reader's position, which moves behind its STOP.
  ///
  /// - Throws: `format` with the offset for broken data, `unsupported` for a name or an opcode that
  ///   builds more than data, `limit` for too many values.
  static func run(_ reader: inout ByteReader, limits: Limits) throws -> PickleResult {
    var machine = PickleMachine(reader, limits: limits)
    try machine.run()
    reader = machine.reader
    return machine.result
  }

  private func failure(_ message: String, _ code: LaminaError.Code = .format) -> LaminaError {
    LaminaError(code, message, path: "\(reader.path) @ \(opcodeOffset)")
  }

  private mutating func run() throws {
    opcodeOffset = reader.offset
    guard reader.remaining >= 2, try reader.byte() == 0x80 else {
      throw failure("expected a pickle of protocol 2 to 4")
    }
    let version = try reader.byte("protocol")
    guard (2...4).contains(version) else {
      throw failure("expected pickle protocol 2 to 4, found \(version)", .unsupported)
    }
    while true {
      opcodeOffset = reader.offset
      let code = try reader.byte("pickle opcode")
      if code == UInt8(ascii: ".") { break }
      try execute(code)
    }
    guard marks.isEmpty else { throw failure("a mark is never closed") }
    guard stack.count == 1 else {
      throw failure("expected one value at the end, found \(stack.count)")
    }
    result.root = stack[0]
  }

  // MARK: - Stack

  /// Marks, memo entries and copies count too: every one of them takes memory.
  private mutating func charge(_ count: Int = 1) throws {
    valueCount += count
    guard valueCount <= PickleMachine.maximumValues else {
      throw failure("expected at most \(PickleMachine.maximumValues) values", .limit)
    }
  }

  private mutating func push(_ value: PickleValue) throws {
    try charge()
    stack.append(value)
  }

  private mutating func pop() throws -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
      throw failure("\(opcodeName) takes a value from an empty stack")
    }
    return value
  }

  private func top() throws -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.last else {
      throw failure("\(opcodeName) takes a value from an empty stack")
    }
    return value
  }

  private mutating func popToMark() throws -> [PickleValue] {
    guard let mark = marks.popLast() else { throw failure("\(opcodeName) finds no mark") }
    let values = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return values
  }

  private mutating func makeText(_ text: String) throws -> PickleValue {
    result.texts.append(text)
    return .text(result.texts.count - 1)
  }

  private mutating func makeSequence(_ values: [PickleValue]) -> Int {
    result.sequences.append(values)
    return result.sequences.count - 1
  }

  private mutating func memoize(_ index: UInt32) throws {
    if memo.updateValue(try top(), forKey: index) == nil { try charge() }
  }

  private mutating func pushMemo(_ index: UInt32) throws {
    guard let value = memo[index] else {
      throw failure("\(opcodeName) finds nothing under \(index)")
    }
    try push(value)
  }

  private mutating func text(count: UInt64) throws -> String {
    guard let count = Int(exactly: count), count <= reader.remaining else {
      throw failure("expected \(count) bytes of text, found \(reader.remaining)")
    }
    return try reader.string(count)
  }

  private mutating func pushBytes(count: UInt64) throws {
    guard let count = Int(exactly: count), count <= reader.remaining else {
      throw failure("expected \(count) bytes, found \(reader.remaining)")
    }
    result.ranges.append(try reader.range(count))
    try push(.bytes(result.ranges.count - 1))
  }

  private mutating func line() throws -> String {
    guard let end = reader.bytes[reader.offset..<reader.end].firstIndex(of: 0x0A) else {
      throw failure("\(opcodeName) has no end of line")
    }
    let text = try reader.string(end - reader.offset, "name")
    _ = try reader.byte()
    return text
  }

  // MARK: - Opcodes

  private mutating func execute(_ code: UInt8) throws {
    guard let name = PickleMachine.opcodeNames[code] else {
      throw failure("unknown opcode 0x\(String(code, radix: 16))")
    }
    opcodeName = name
    switch name {
    case "PROTO": throw failure("PROTO stands inside a pickle")
    case "FRAME":
      let count = try reader.integer(UInt64.self, "frame length")
      guard count <= UInt64(reader.remaining) else {
        throw failure("expected a frame of \(count) bytes, found \(reader.remaining)")
      }
    case "MARK":
      try charge()
      marks.append(stack.count)
    case "POP":
      if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
    case "POP_MARK": _ = try popToMark()
    case "DUP": try push(try top())

    case "NONE": try push(.none)
    case "NEWTRUE": try push(.bool(true))
    case "NEWFALSE": try push(.bool(false))
    case "BININT": try push(.int(Int64(try reader.integer(Int32.self))))
    case "BININT1": try push(.int(Int64(try reader.byte("number"))))
    case "BININT2": try push(.int(Int64(try reader.integer(UInt16.self))))
    case "LONG1": try pushLong(count: UInt64(try reader.byte("length")))
    case "LONG4": try pushLong(count: UInt64(try reader.integer(UInt32.self, "length")))
    case "BINFLOAT":
      let bits = try reader.integer(UInt64.self)
      try push(.double(Double(bitPattern: bits.byteSwapped)))

    case "SHORT_BINUNICODE", "SHORT_BINSTRING":
      try push(makeText(text(count: UInt64(try reader.byte("length")))))
    case "BINUNICODE", "BINSTRING":
      try push(makeText(text(count: UInt64(try reader.integer(UInt32.self, "length")))))
    case "BINUNICODE8": try push(makeText(text(count: try reader.integer(UInt64.self, "length"))))
    case "SHORT_BINBYTES":
      try pushBytes(count: UInt64(try reader.byte("length")))
    case "BINBYTES":
      try pushBytes(count: UInt64(try reader.integer(UInt32.self, "length")))
    case "BINBYTES8":
      try pushBytes(count: try reader.integer(UInt64.self, "length"))

    case "EMPTY_LIST", "EMPTY_SET": try push(.list(makeSequence([])))
    case "EMPTY_TUPLE": try push(.tuple(makeSequence([])))
    case "EMPTY_DICT": try push(.dictionary(makeSequence([])))
    case "TUPLE": try push(.tuple(makeSequence(popToMark())))
    case "LIST", "FROZENSET": try push(.list(makeSequence(popToMark())))
    case "TUPLE1", "TUPLE2", "TUPLE3":
      var values: [PickleValue] = []
      for _ in 0..<Int(code - 0x84) { values.append(try pop()) }
      try push(.tuple(makeSequence(values.reversed())))
    case "DICT":
      let members = try popToMark()
      try push(.dictionary(makeSequence([])))
      try addMembers(members)
    case "APPEND": try addElements([try pop()])
    case "APPENDS", "ADDITEMS": try addElements(popToMark())
    case "SETITEM":
      let value = try pop()
      try addMembers([try pop(), value])
    case "SETITEMS": try addMembers(popToMark())

    case "BINPUT": try memoize(UInt32(try reader.byte("index")))
    case "LONG_BINPUT": try memoize(try reader.integer(UInt32.self, "index"))
    case "MEMOIZE": try memoize(UInt32(truncatingIfNeeded: memo.count))
    case "BINGET": try pushMemo(UInt32(try reader.byte("index")))
    case "LONG_BINGET": try pushMemo(try reader.integer(UInt32.self, "index"))

    case "GLOBAL":
      let module = try line()
      try pushGlobal(module, line())
    case "STACK_GLOBAL":
      let name = try pop()
      let module = try pop()
      guard let module = result.text(module), let name = result.text(name) else {
        throw failure("STACK_GLOBAL expects two strings")
      }
      try pushGlobal(module, name)
    case "REDUCE": try reduce()
    case "NEWOBJ":
      // `collections.OrderedDict` without arguments; protocol 2 spells it so.
      let arguments = try pop()
      guard case .global(.orderedDictionary) = try pop(), case .tuple(let index) = arguments,
        result.sequences[index].isEmpty
      else { throw failure("NEWOBJ makes an object, expected tensors only", .unsupported) }
      try push(.dictionary(makeSequence([])))
    case "BUILD":
      // The attribute `_metadata` of a state dict holds versions of modules, which nothing here
      // reads.
      let state = try pop()
      switch try top() {
      case .dtype(let index): return try setTypeState(index, state)
      case .array(let index): return try setArrayState(index, state)
      default: break
      }
      guard case .dictionary = try top() else {
        throw failure(
          "BUILD sets the state of \(try top().typeName), expected a dictionary", .unsupported)
      }
      guard case .dictionary = state else {
        throw failure("BUILD expects a dictionary, found \(state.typeName)")
      }
    case "BINPERSID": try pushStorage(try pop())
    default:
      throw failure("opcode \(name) is not allowed in a file of tensors", .unsupported)
    }
  }

  private mutating func pushLong(count: UInt64) throws {
    guard let count = Int(exactly: count), count <= reader.remaining else {
      throw failure("expected \(count) bytes of integer, found \(reader.remaining)")
    }
    let bytes = try reader.slice(count)
    guard count <= 8 else {
      try push(.opaque)
      return
    }
    var number: Int64 = 0
    for byte in bytes.reversed() { number = number << 8 | Int64(byte) }
    if count > 0, count < 8, let last = bytes.last, last & 0x80 != 0 {
      number -= 1 << Int64(8 * count)
    }
    try push(.int(number))
  }

  private mutating func addElements(_ values: [PickleValue]) throws {
    guard case .list(let index) = try top() else {
      throw failure("\(opcodeName) expects a list, found \(try top().typeName)")
    }
    result.sequences[index].append(contentsOf: values)
  }

  private mutating func addMembers(_ values: [PickleValue]) throws {
    guard case .dictionary(let index) = try top() else {
      throw failure("\(opcodeName) expects a dictionary, found \(try top().typeName)")
    }
    guard values.count % 2 == 0 else { throw failure("\(opcodeName) has a key without a value") }
    result.sequences[index].append(contentsOf: values)
  }

  private mutating func pushGlobal(_ module: String, _ name: String) throws {
    let path = "\(reader.path) @ \(opcodeOffset)"
    try push(.global(try PickleGlobal(module: module, name: name, path: path)))
  }

  // MARK: - Tensors

  private mutating func reduce() throws {
    let argument = try pop()
    let callable = try pop()
    guard case .global(let global) = callable else {
      throw failure("REDUCE calls \(callable.typeName), expected a known name")
    }
    guard case .tuple(let index) = argument else {
      throw failure("REDUCE expects a tuple, found \(argument.typeName)")
    }
    let arguments = result.sequences[index]
    switch global {
    case .orderedDictionary:
      guard arguments.count <= 1 else {
        throw failure("OrderedDict expects at most 1 argument, found \(arguments.count)")
      }
      try push(.dictionary(makeSequence([])))
      guard let pairs = arguments.first else { return }
      guard case .list(let list) = pairs else {
        throw failure("OrderedDict expects a list of pairs, found \(pairs.typeName)")
      }
      try charge(2 * result.sequences[list].count)
      for pair in result.sequences[list] {
        guard case .list(let pair) = pair.asList, result.sequences[pair].count == 2 else {
          throw failure("OrderedDict expects a list of pairs")
        }
        try addMembers(result.sequences[pair])
      }
    case .rebuildTensor:
      try pushTensor(arguments, counts: 4...4)
    case .rebuildTensorVersion2:
      try pushTensor(arguments, counts: 6...7)
    case .rebuildParameter:
      guard arguments.count == 3, case .tensor = arguments[0] else {
        throw failure("_rebuild_parameter expects a tensor, a bool and a dictionary")
      }
      try push(arguments[0])
    case .size:
      guard arguments.count == 1, case .tuple = arguments[0] else {
        throw failure("torch.Size expects a tuple")
      }
      try push(arguments[0])
    case .device: try push(.none)
    case .reconstructArray:
      guard arguments.count == 3, case .global(.array) = arguments[0] else {
        throw failure("_reconstruct expects numpy.ndarray, a shape and a type")
      }
      result.arrays.append(nil)
      try push(.array(result.arrays.count - 1))
    case .dtype:
      guard let first = arguments.first, let name = result.text(first), arguments.count <= 3 else {
        throw failure("numpy.dtype expects a name")
      }
      result.types.append(
        try withErrorPath("\(reader.path) @ \(opcodeOffset)") { try NumPyType(name) })
      try push(.dtype(result.types.count - 1))
    case .array:
      throw failure("numpy.ndarray is called, expected it as an argument only", .unsupported)
    case .storage, .unsupportedStorage:
      throw failure("a storage class is called, expected it in a persistent id only", .unsupported)
    }
  }

  /// `('storage', class, key, device, count)`; the legacy stream adds a view, which must be None.
  private mutating func pushStorage(_ id: PickleValue) throws {
    guard case .tuple(let index) = id else {
      throw failure("a persistent id is \(id.typeName), expected a tuple")
    }
    let parts = result.sequences[index]
    guard parts.count == 5 || parts.count == 6, result.text(parts[0]) == "storage" else {
      if let first = parts.first, result.text(first) == "module" {
        throw failure("contains code; save model.state_dict() and load that", .unsupported)
      }
      throw failure("expected a persistent id ('storage', class, key, device, count)")
    }
    let type: ElementType?
    switch parts[1] {
    case .global(.storage(let known)): type = known
    case .global(.unsupportedStorage): type = nil
    default: throw failure("expected a storage class, found \(parts[1].typeName)")
    }
    guard let key = result.text(parts[2]) else {
      throw failure("expected a storage key, found \(parts[2].typeName)")
    }
    guard case .int(let count64) = parts[4], count64 >= 0, count64 <= Shape.maximumCount else {
      throw failure("expected a storage of 0 to 2^40 elements")
    }
    if parts.count == 6 {
      guard case .none = parts[5] else {
        throw failure(
          "views of storages are not supported: save again with a later PyTorch", .unsupported)
      }
    }
    let storage = PickleStorage(key: key, type: type, count: Int(count64))
    if let present = storageIndices[key] {
      let other = result.storages[present]
      guard other.type == storage.type, other.count == storage.count else {
        throw failure("storage '\(key.escapedForDisplay())' occurs with two types or sizes")
      }
      try push(.storage(present))
      return
    }
    result.storages.append(storage)
    storageIndices[key] = result.storages.count - 1
    try push(.storage(result.storages.count - 1))
  }

  private func numbers(_ value: PickleValue, _ what: String) throws -> [Int] {
    guard case .tuple(let index) = value else {
      throw failure("expected \(what) as a tuple, found \(value.typeName)")
    }
    let elements = result.sequences[index]
    guard elements.count <= Shape.maximumRank else {
      throw failure("expected at most \(Shape.maximumRank) axes, found \(elements.count)")
    }
    return try elements.map { element in
      guard case .int(let number) = element, number >= 0, number <= Shape.maximumCount else {
        throw failure("expected \(what) of integers in 0...2^40")
      }
      return Int(number)
    }
  }

  /// `(storage, offset, size, stride, …)`; what follows concerns gradients.
  private mutating func pushTensor(_ arguments: [PickleValue], counts: ClosedRange<Int>) throws {
    guard counts.contains(arguments.count) else {
      throw failure(
        "expected \(counts.lowerBound) arguments for a tensor, found \(arguments.count)")
    }
    guard case .storage(let storage) = arguments[0] else {
      throw failure("expected a tensor's storage, found \(arguments[0].typeName)")
    }
    guard case .int(let offset64) = arguments[1], offset64 >= 0, offset64 <= Shape.maximumCount
    else {
      throw failure("expected a tensor's offset in 0...2^40")
    }
    let dimensions = try numbers(arguments[2], "a tensor's size")
    let strides = try numbers(arguments[3], "a tensor's stride")
    guard dimensions.count == strides.count else {
      throw failure("expected \(dimensions.count) strides, found \(strides.count)")
    }
    let shape: Shape
    do { shape = try Shape(dimensions) } catch let error as LaminaError {
      throw error.at("\(reader.path) @ \(opcodeOffset)")
    }
    // Offset and strides are at most 2^40 and extents below 2^31: products need checking, sums of
    // nine do not.
    var last = Int(offset64)
    var overflow = false
    for (extent, stride) in zip(dimensions, strides) where shape.count > 0 {
      let (reach, isTooLarge) = (extent - 1).multipliedReportingOverflow(by: stride)
      overflow = overflow || isTooLarge || reach > Shape.maximumCount
      if !overflow { last += reach }
    }
    let available = result.storages[storage].count
    guard !overflow, shape.count == 0 || last < available else {
      throw failure(
        "a tensor of size \(shape) and stride \(strides) reaches beyond its storage of \(available)"
      )
    }
    result.tensors.append(
      PickleTensor(storage: storage, offset: Int(offset64), shape: shape, strides: strides))
    try push(.tensor(result.tensors.count - 1))
  }

  // MARK: - Arrays of NumPy

  /// `(version, byte order, …)`; what follows concerns structured types, which are refused by name.
  private mutating func setTypeState(_ index: Int, _ state: PickleValue) throws {
    guard case .tuple(let parts) = state, result.sequences[parts].count >= 2,
      let order = result.text(result.sequences[parts][1]), ["<", ">", "|", "="].contains(order)
    else { throw failure("expected the state of an element type: a tuple with a byte order") }
    result.types[index].isBigEndian = order == ">" && result.types[index].type.byteCount > 1
  }

  /// `(version, shape, element type, whether in Fortran's order, bytes)`.
  private mutating func setArrayState(_ index: Int, _ state: PickleValue) throws {
    guard case .tuple(let tuple) = state, result.sequences[tuple].count == 5,
      case .dtype(let type) = result.sequences[tuple][2],
      case .bool(let isFortran) = result.sequences[tuple][3]
    else {
      throw failure("expected the state of an array: version, shape, type, order and bytes")
    }
    let parts = result.sequences[tuple]
    guard case .bytes(let bytes) = parts[4] else {
      throw failure("expected an array's elements as bytes, found \(parts[4].typeName)")
    }
    guard result.arrays[index] == nil else { throw failure("an array gets its state twice") }
    let extents = try numbers(parts[1], "an array's shape")
    let shape: Shape
    do { shape = try Shape(extents) } catch let error as LaminaError {
      throw error.at("\(reader.path) @ \(opcodeOffset)")
    }
    let layout = NumPyLayout(type: result.types[type], shape: shape, isFortran: isFortran)
    guard result.ranges[bytes].count == layout.byteCount else {
      throw failure(
        "expected \(layout.byteCount) bytes for \(layout.spec), found \(result.ranges[bytes].count)"
      )
    }
    result.arrays[index] = PickleArray(layout: layout, range: result.ranges[bytes])
  }

  // MARK: - Names

  private static let opcodeNames: [UInt8: String] = [
    0x80: "PROTO", 0x95: "FRAME", 0x28: "MARK", 0x30: "POP", 0x31: "POP_MARK", 0x32: "DUP",
    0x4E: "NONE", 0x88: "NEWTRUE", 0x89: "NEWFALSE", 0x4A: "BININT", 0x4B: "BININT1",
    0x4D: "BININT2", 0x8A: "LONG1", 0x8B: "LONG4", 0x47: "BINFLOAT",
    0x58: "BINUNICODE", 0x8C: "SHORT_BINUNICODE", 0x8D: "BINUNICODE8", 0x54: "BINSTRING",
    0x55: "SHORT_BINSTRING", 0x42: "BINBYTES", 0x43: "SHORT_BINBYTES", 0x8E: "BINBYTES8",
    0x29: "EMPTY_TUPLE", 0x74: "TUPLE", 0x85: "TUPLE1", 0x86: "TUPLE2", 0x87: "TUPLE3",
    0x5D: "EMPTY_LIST", 0x6C: "LIST", 0x61: "APPEND", 0x65: "APPENDS", 0x7D: "EMPTY_DICT",
    0x64: "DICT", 0x73: "SETITEM", 0x75: "SETITEMS", 0x8F: "EMPTY_SET", 0x90: "ADDITEMS",
    0x91: "FROZENSET", 0x71: "BINPUT", 0x72: "LONG_BINPUT", 0x94: "MEMOIZE", 0x68: "BINGET",
    0x6A: "LONG_BINGET", 0x63: "GLOBAL", 0x93: "STACK_GLOBAL", 0x52: "REDUCE", 0x81: "NEWOBJ",
    0x62: "BUILD", 0x51: "BINPERSID",
    // Refused by name.
    0x49: "INT", 0x4C: "LONG", 0x46: "FLOAT", 0x53: "STRING", 0x56: "UNICODE", 0x70: "PUT",
    0x67: "GET", 0x50: "PERSID", 0x69: "INST", 0x6F: "OBJ", 0x82: "EXT1", 0x83: "EXT2",
    0x84: "EXT4", 0x92: "NEWOBJ_EX", 0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
  ]
}

extension PickleValue {
  /// A tuple seen as a list; anything else as it is.
  fileprivate var asList: PickleValue {
    if case .tuple(let index) = self { .list(index) } else { self }
  }
}
