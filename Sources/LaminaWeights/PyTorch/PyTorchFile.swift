import LaminaCore
import Synchronization

/// A file of `torch.save`: a zip archive (since PyTorch 1.6) or the stream of pickles and raw
/// storages before it. The tensors of its state dict are read; nothing in the file is called.
///
/// The state dict is the saved dictionary itself when one of its values is a tensor, otherwise its
/// first member among `state_dict`, `model_state_dict` and `model` that is such a dictionary.
/// Members that are no tensors are left out.
public final class PyTorchFile: TensorSource {
  /// Names in the order of the state dict.
  public let keys: [String]
  /// `resnet20.th (PyTorch legacy, state_dict)`.
  public let provenance: String
  private let source: ByteSource
  private let tensors: [String: PickleTensor]
  private let storages: [PickleStorage]
  private let records: [StorageRecord]
  private let archive: ZipArchive?
  /// The last storage of which only a part was wanted: neighbours usually share it.
  private let lastStorage = Mutex<(index: Int, bytes: [UInt8])?>(nil)

  /// Where a storage's bytes lie.
  private enum StorageRecord {
    case entry(ZipArchive.Entry)
    case range(Range<Int>)
    /// No tensor needs it.
    case absent
  }

  private struct Content {
    var pickle: PickleResult
    var records: [StorageRecord]
    var archive: ZipArchive?
    var container: String
  }

  /// The names under which training scripts keep the state dict.
  static let stateDictionaryNames = ["state_dict", "model_state_dict", "model"]

  /// Reads names and shapes and finds the storages.
  ///
  /// - Throws: `format` with the place for broken files, `unsupported` naming what is not data,
  ///   `limit`, `io`.
  public init(_ source: ByteSource, limits: Limits = Limits()) throws {
    let head = try source.bytes(0..<min(source.byteCount, 4))
    let content =
      try head.starts(with: [0x50, 0x4B])
      ? PyTorchFile.readArchive(source, limits: limits)
      : PyTorchFile.readLegacy(source, limits: limits)
    let pickle = content.pickle
    let (name, members) = try PyTorchFile.stateDictionary(pickle, path: source.name)
    var keys: [String] = []
    var tensors: [String: PickleTensor] = [:]
    var byteCount = 0
    for (key, value) in members {
      guard case .tensor(let index) = value else { continue }
      guard let key = pickle.text(key) else {
        throw LaminaError(
          .format, "expected tensor names as strings, found \(key.typeName)", path: source.name)
      }
      let tensor = pickle.tensors[index]
      guard tensors.updateValue(tensor, forKey: key) == nil else {
        throw LaminaError(
          .format, "two tensors are named '\(key.escapedForDisplay())'", path: source.name)
      }
      keys.append(key)
      // At most 2^40 elements of 8 bytes in each of 10^6 tensors: the sum fits.
      byteCount += tensor.shape.count * (pickle.storages[tensor.storage].type?.byteCount ?? 0)
      try limits.checkMemory(byteCount, for: "\(source.name) up to '\(key.escapedForDisplay())'")
    }
    guard keys.count <= limits.tensorsPerFile else {
      throw LaminaError(
        .limit, "expected at most \(limits.tensorsPerFile) tensors, found \(keys.count)",
        path: source.name)
    }
    self.keys = keys
    self.tensors = tensors
    self.source = source
    storages = pickle.storages
    records = content.records
    archive = content.archive
    provenance = "\(source.name) (\(content.container)\(name.map { ", \($0)" } ?? ""))"
  }

  private static func stateDictionary(
    _ pickle: PickleResult, path: String
  ) throws -> (name: String?, members: [(key: PickleValue, value: PickleValue)]) {
    func hasTensor(_ members: [(key: PickleValue, value: PickleValue)]) -> Bool {
      members.contains { if case .tensor = $0.value { true } else { false } }
    }
    guard let top = pickle.dictionary(pickle.root) else {
      throw LaminaError(
        .unsupported, "expected a dictionary of tensors, found \(pickle.root.typeName)", path: path)
    }
    if hasTensor(top) { return (nil, top) }
    for name in stateDictionaryNames {
      if let member = top.first(where: { pickle.text($0.key) == name }),
        let members = pickle.dictionary(member.value), hasTensor(members)
      {
        return (name, members)
      }
    }
    let names = top.prefix(16).map {
      "'\((pickle.text($0.key) ?? $0.key.typeName).escapedForDisplay())'"
    }
    throw LaminaError(
      .unsupported,
      "expected a dictionary of tensors, or one under \(stateDictionaryNames.joined(separator: ", ")); found \(names.isEmpty ? "an empty one" : names.joined(separator: ", "))",
      path: path)
  }

  // MARK: - Zip archive

  private static func readArchive(_ source: ByteSource, limits: Limits) throws -> Content {
    let archive = try ZipArchive(source, limits: limits)
    let pickles = archive.entries.filter { $0.name == "data.pkl" || $0.name.hasSuffix("/data.pkl") }
    guard let entry = pickles.first else {
      throw LaminaError(
        .format, "expected an entry 'data.pkl' of torch.save, found none", path: source.name)
    }
    guard pickles.count == 1 else {
      throw LaminaError(
        .format, "expected one entry 'data.pkl', found \(pickles.count)", path: source.name)
    }
    if archive.entries.contains(where: { $0.name.hasSuffix("constants.pkl") }) {
      throw LaminaError(
        .unsupported, "contains code: a TorchScript archive; save model.state_dict() and load that",
        path: source.name)
    }
    let prefix = String(entry.name.dropLast("data.pkl".count))
    if let order = archive[prefix + "byteorder"] {
      guard order.count <= 16 else {
        throw LaminaError(
          .format, "expected a byte order, found \(order.count) bytes", path: source.name)
      }
      let text = String(decoding: try archive.bytes(order), as: UTF8.self)
      guard text == "little" else {
        throw LaminaError(
          .unsupported, "expected byte order 'little', found '\(text.escapedForDisplay())'",
          path: source.name)
      }
    }
    var reader = try ByteReader(
      try archive.bytes(entry), path: "\(source.name): \(entry.name.escapedForDisplay())")
    let pickle = try PickleMachine.run(&reader, limits: limits)
    guard reader.isAtEnd else {
      throw reader.failure("expected the end behind STOP, found \(reader.remaining) bytes")
    }
    let records = try pickle.storages.map { storage -> StorageRecord in
      guard let type = storage.type else { return .absent }
      let path =
        "\(source.name): \(prefix.escapedForDisplay())data/\(storage.key.escapedForDisplay())"
      guard let record = archive["\(prefix)data/\(storage.key)"] else {
        throw LaminaError(.format, "expected an entry of that name, found none", path: path)
      }
      guard record.count == storage.count * type.byteCount else {
        throw LaminaError(
          .format, "expected \(storage.count * type.byteCount) bytes, found \(record.count)",
          path: path)
      }
      return .entry(record)
    }
    return Content(pickle: pickle, records: records, archive: archive, container: "PyTorch zip")
  }

  // MARK: - Legacy stream

  /// The pickle of the integer 0x1950a86a20f9469cfc6c.
  private static let legacyMagic: [UInt8] = [
    0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
  ]

  static func isLegacy(_ source: ByteSource) throws -> Bool {
    try source.bytes(0..<min(source.byteCount, legacyMagic.count)) == legacyMagic
  }

  /// Magic, protocol version, system information, the object, the storages' keys, then for each key
  /// its number of elements and its bytes.
  private static func readLegacy(_ source: ByteSource, limits: Limits) throws -> Content {
    guard try isLegacy(source) else {
      throw LaminaError(
        .unsupported, "expected a file of torch.save, found another pickle", path: source.name)
    }
    // The pickles come first and are small beside the storages; their length is known only by
    // reading them.
    var windowCount = min(source.byteCount, 4 << 20)
    while true {
      do {
        return try readLegacy(
          source, try source.bytes(0..<windowCount), limits: limits)
      } catch let error as LaminaError where windowCount < source.byteCount && error.code == .format
      {
        windowCount = min(source.byteCount, windowCount * 8)
      }
    }
  }

  private static func readLegacy(_ source: ByteSource, _ bytes: [UInt8], limits: Limits) throws
    -> Content
  {
    var reader = try ByteReader(bytes, range: legacyMagic.count..<bytes.count, path: source.name)
    let version = try PickleMachine.run(&reader, limits: limits)
    guard case .int(1001) = version.root else {
      throw LaminaError(
        .unsupported, "expected protocol version 1001 of torch.save", path: source.name)
    }
    let system = try PickleMachine.run(&reader, limits: limits)
    let order = system.dictionary(system.root)?.first { system.text($0.key) == "little_endian" }?
      .value
    guard case .bool(true) = order else {
      throw LaminaError(.unsupported, "expected little-endian storages", path: source.name)
    }
    let pickle = try PickleMachine.run(&reader, limits: limits)
    let names = try PickleMachine.run(&reader, limits: limits)
    guard case .list(let index) = names.root else {
      throw reader.failure("expected a list of storage keys, found \(names.root.typeName)")
    }
    let indices = Dictionary(
      pickle.storages.enumerated().map { ($0.element.key, $0.offset) },
      uniquingKeysWith: { first, _ in first })
    var records = [StorageRecord](repeating: .absent, count: pickle.storages.count)
    var found = [Bool](repeating: false, count: pickle.storages.count)
    var position = reader.offset
    for key in names.sequences[index] {
      guard let name = names.text(key), let index = indices[name] else {
        throw source.failure(
          "expected the key of a storage in use, found \(names.text(key).map { "'\($0.escapedForDisplay())'" } ?? key.typeName)",
          at: position)
      }
      guard !found[index] else {
        throw source.failure("storage '\(name.escapedForDisplay())' is listed twice", at: position)
      }
      found[index] = true
      guard let type = pickle.storages[index].type else {
        throw LaminaError(
          .unsupported, "storage '\(name.escapedForDisplay())' has an unsupported element type",
          path: source.name)
      }
      guard position <= source.byteCount - 8 else {
        throw source.failure(
          "expected the size of storage '\(name.escapedForDisplay())'", at: position)
      }
      var count = Int64(0)
      try withUnsafeMutableBytes(of: &count) { try source.read(at: position, into: $0) }
      position += 8
      guard Int64(littleEndian: count) == pickle.storages[index].count else {
        throw source.failure(
          "expected \(pickle.storages[index].count) elements in storage '\(name.escapedForDisplay())', found \(Int64(littleEndian: count))",
          at: position - 8)
      }
      let byteCount = pickle.storages[index].count * type.byteCount
      guard byteCount <= source.byteCount - position else {
        throw source.failure(
          "expected \(byteCount) bytes in storage '\(name.escapedForDisplay())', found \(source.byteCount - position)",
          at: position)
      }
      records[index] = .range(position..<position + byteCount)
      position += byteCount
    }
    if let missing = found.firstIndex(of: false) {
      throw source.failure(
        "storage '\(pickle.storages[missing].key.escapedForDisplay())' is not in the file",
        at: position)
    }
    guard position == source.byteCount else {
      throw source.failure(
        "expected the end, found \(source.byteCount - position) bytes", at: position)
    }
    return Content(pickle: pickle, records: records, archive: nil, container: "PyTorch legacy")
  }

  // MARK: - Reading

  private func tensor(named key: String) throws -> (PickleTensor, ElementType) {
    guard let tensor = tensors[key] else { throw unknownKey(key) }
    guard let type = storages[tensor.storage].type else {
      throw LaminaError(
        .unsupported, "the tensor's element type is not supported",
        path: "\(source.name): \(key.escapedForDisplay())")
    }
    return (tensor, type)
  }

  /// Shape and type of a tensor.
  public func spec(_ key: String) throws -> TensorSpec {
    let (tensor, type) = try tensor(named: key)
    return TensorSpec(tensor.shape, type)
  }

  /// Reads the elements of a tensor, in row-major order whatever its strides.
  public func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    let (tensor, type) = try tensor(named: key)
    let path = "\(source.name): \(key.escapedForDisplay())"
    guard target.count == tensor.shape.count * type.byteCount else {
      throw LaminaError(
        .argument,
        "expected a buffer of \(tensor.shape.count * type.byteCount) bytes, found \(target.count)",
        path: path)
    }
    guard !target.isEmpty else { return }
    let isWhole =
      tensor.offset == 0 && tensor.isContiguous
      && tensor.shape.count == storages[tensor.storage].count
    if isWhole {
      try readStorage(tensor.storage, into: target)
    } else {
      try lastStorage.withLock { last in
        if last?.index != tensor.storage {
          last = nil
          let count = storages[tensor.storage].count * type.byteCount
          let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            try readStorage(
              tensor.storage,
              into: UnsafeMutableRawBufferPointer(
                UnsafeMutableBufferPointer(rebasing: buffer[..<count])))
            filled = count
          }
          last = (tensor.storage, bytes)
        }
        last?.bytes.withUnsafeBytes {
          tensor.gather(from: $0, elementBytes: type.byteCount, into: target)
        }
      }
    }
    if type == .bool, !target.allSatisfy({ $0 <= 1 }) {
      throw LaminaError(.format, "expected bytes 0 or 1 in a tensor of bool", path: path)
    }
  }

  private func readStorage(_ index: Int, into target: UnsafeMutableRawBufferPointer) throws {
    switch records[index] {
    case .entry(let entry): try archive?.read(entry, into: target)
    case .range(let range): try source.read(at: range.lowerBound, into: target)
    case .absent:
      throw LaminaError(
        .format, "storage '\(storages[index].key.escapedForDisplay())' is not in the file",
        path: source.name)
    }
  }
}

extension PickleTensor {
  /// Whether elements lie in row-major order without gaps.
  var isContiguous: Bool {
    zip(zip(shape.dimensions, strides), shape.strides).allSatisfy { pair, expected in
      pair.0 == 1 || pair.1 == expected
    }
  }

  /// Copies the elements that the view shows, row by row; the bounds were checked when it was
  /// built.
  func gather(
    from storage: UnsafeRawBufferPointer, elementBytes: Int,
    into target: UnsafeMutableRawBufferPointer
  ) {
    guard let source = storage.baseAddress, let target = target.baseAddress else { return }
    let rowCount = shape.rank == 0 ? 1 : shape[shape.rank - 1]
    let rowStride = shape.rank == 0 ? 1 : strides[shape.rank - 1]
    var odometer = IndexOdometer(Array(shape.dimensions.dropLast()))
    var written = 0
    for _ in 0..<shape.count / max(rowCount, 1) {
      var position = offset
      for (index, stride) in zip(odometer.index, strides) { position += index * stride }
      for column in 0..<rowCount {
        (target + written * elementBytes).copyMemory(
          from: source + (position + column * rowStride) * elementBytes, byteCount: elementBytes)
        written += 1
      }
      odometer.advance()
    }
  }
}
