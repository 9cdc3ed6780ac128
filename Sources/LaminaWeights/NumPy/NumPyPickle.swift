import LaminaCore

/// A pickle of NumPy arrays: one array, or dictionaries, lists and tuples of them. The arrays' names are the
/// keys and positions on the way to them, joined by dots; members that are no arrays are left out.
///
/// The pickle is read as data: nothing in it is imported or called.
public struct NumPyPickle: TensorSource {
  /// Names in the order of the file.
  public let keys: [String]
  /// `params.pkl (NumPy pickle)`.
  public let provenance: String
  private let source: ByteSource
  private let arrays: [String: PickleArray]

  /// Deepest nesting of dictionaries and lists.
  static let maximumDepth = 16
  /// Most bytes in the names of all values on the way.
  private static let maximumNameBytes = 16 << 20
  /// Most members that wait to be seen.
  private static let maximumPending = 1 << 16

  /// Reads names, shapes and types.
  ///
  /// - Throws: `format` with the place for broken files, `unsupported` naming what is not data, `limit`, `io`.
  public init(_ source: ByteSource, limits: Limits = Limits()) throws {
    self.source = source
    provenance = "\(source.name) (NumPy pickle)"
    var reader = try ByteReader(try source.allBytes(), path: source.name)
    let pickle = try PickleMachine.run(&reader, limits: limits)
    guard reader.isAtEnd else {
      throw reader.failure("expected the end behind STOP, found \(reader.remaining) bytes")
    }
    var keys: [String] = []
    var arrays: [String: PickleArray] = [:]
    var byteCount = 0
    var visited = 0
    var nameBytes = 0
    // What is still to be seen, the next last.
    var pending: [(name: String, depth: Int, value: PickleValue)] = [("", 0, pickle.root)]
    while let (name, depth, value) = pending.popLast() {
      visited += 1
      nameBytes += name.utf8.count
      guard visited <= PickleMachine.maximumValues, nameBytes <= Self.maximumNameBytes else {
        throw LaminaError(
          .limit,
          "expected at most \(PickleMachine.maximumValues) values and \(Self.maximumNameBytes) bytes of names",
          path: source.name)
      }
      guard depth <= Self.maximumDepth else {
        throw LaminaError(
          .limit, "expected at most \(Self.maximumDepth) dictionaries within each other",
          path: "\(source.name): \(name.escapedForDisplay())")
      }
      let prefix = name.isEmpty ? "" : "\(name)."
      switch value {
      case .array(let index):
        let key = name.isEmpty ? "arr_0" : name
        guard let array = pickle.arrays[index] else {
          throw LaminaError(
            .format, "expected an array with elements, found one without a state",
            path: "\(source.name): \(key.escapedForDisplay())")
        }
        guard arrays.updateValue(array, forKey: key) == nil else {
          throw LaminaError(
            .format, "two arrays are named '\(key.escapedForDisplay())'", path: source.name)
        }
        keys.append(key)
        guard keys.count <= limits.tensorsPerFile else {
          throw LaminaError(
            .limit, "expected at most \(limits.tensorsPerFile) tensors, found more",
            path: source.name)
        }
        byteCount += array.layout.byteCount
        try limits.checkMemory(byteCount, for: "\(source.name) up to '\(key.escapedForDisplay())'")
      case .dictionary:
        for (key, value) in (pickle.dictionary(value) ?? []).reversed() {
          let text: String
          if let name = pickle.text(key) {
            text = name
          } else if case .int(let number) = key {
            text = String(number)
          } else {
            throw LaminaError(
              .format, "expected names as strings or integers, found \(key.typeName)",
              path: source.name)
          }
          try Self.push((prefix + text, depth + 1, value), to: &pending, source)
        }
      case .list(let index), .tuple(let index):
        for (position, value) in pickle.sequences[index].enumerated().reversed() {
          try Self.push(("\(prefix)\(position)", depth + 1, value), to: &pending, source)
        }
      default: break
      }
    }
    guard !keys.isEmpty else {
      throw LaminaError(
        .unsupported,
        "expected an array, or a dictionary or list of arrays, found \(pickle.root.typeName)",
        path: source.name)
    }
    self.keys = keys
    self.arrays = arrays
  }

  private static func push(
    _ element: (name: String, depth: Int, value: PickleValue),
    to pending: inout [(name: String, depth: Int, value: PickleValue)], _ source: ByteSource
  ) throws {
    guard pending.count < Self.maximumPending else {
      throw LaminaError(
        .limit, "expected at most \(Self.maximumPending) members", path: source.name)
    }
    guard element.name.utf8.count <= 1024 else {
      throw LaminaError(.limit, "expected names of at most 1024 bytes", path: source.name)
    }
    pending.append(element)
  }

  /// Shape and type of an array.
  public func spec(_ key: String) throws -> TensorSpec {
    guard let array = arrays[key] else { throw unknownKey(key) }
    return array.layout.spec
  }

  /// Reads the elements of an array in row-major order.
  public func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    guard let array = arrays[key] else { throw unknownKey(key) }
    try withErrorPath("\(source.name): \(key.escapedForDisplay())") {
      try array.layout.read(into: target) {
        try source.read(at: array.range.lowerBound, into: $0)
      }
    }
  }
}
