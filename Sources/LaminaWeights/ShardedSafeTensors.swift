import LaminaCore

/// Tensors spread over several safetensors files by an index: `*.safetensors.index.json`, whose `weight_map`
/// names the file of each tensor. The files lie beneath the index's folder.
public struct ShardedSafeTensors: TensorSource {
  /// Names in the order of the index.
  public let keys: [String]
  /// `model.safetensors.index.json (safetensors, 3 files)`.
  public let provenance: String
  private let shards: [String: SafeTensors]
  private let locations: [String: String]

  /// Most files of one index.
  static let maximumFiles = 1024

  /// Whether the bytes are JSON that speaks of a `weight_map`.
  static func isIndex(_ source: ByteSource) throws -> Bool {
    let head = try source.bytes(0..<min(source.byteCount, 64))
    return head.first { !SafeTensors.isWhitespace($0) } == UInt8(ascii: "{")
  }

  /// Reads the index and the headers of its files.
  ///
  /// - Throws: `format` for a broken index or file, a tensor that its file has not, one that lies in two files,
  ///   and a location outside the folder; `notFound` for a missing file; `limit`, `io`.
  init(_ source: ByteSource, folder: String, limits: Limits) throws {
    guard source.byteCount <= limits.jsonBytes else {
      throw LaminaError(
        .limit, "expected at most \(limits.jsonBytes) bytes, found \(source.byteCount)",
        path: source.name)
    }
    let json = try JSON.parse(source.allBytes(), path: source.name, limits: limits)
    let index = try ObjectReader(json, path: source.name)
    try index.rejectUnknown(["metadata", "weight_map"])
    guard let value = try index.optional("weight_map") else {
      throw LaminaError(
        .format, "expected member 'weight_map', found none", path: source.name)
    }
    let map = try ObjectReader(value, path: "\(source.name): weight_map")
    guard map.members.count <= limits.tensorsPerFile else {
      throw LaminaError(
        .limit,
        "expected at most \(limits.tensorsPerFile) tensors, found \(map.members.count)",
        path: source.name)
    }
    var keys: [String] = []
    var shards: [String: SafeTensors] = [:]
    var locations: [String: String] = [:]
    for member in map.members {
      let path = "\(source.name): \(member.key.escapedForDisplay())"
      guard let location = member.value.string else {
        throw LaminaError(
          .format, "expected the name of a file, found \(member.value.typeName)", path: path)
      }
      if shards[location] == nil {
        guard shards.count < Self.maximumFiles else {
          throw LaminaError(
            .limit, "expected at most \(Self.maximumFiles) files, found more", path: source.name)
        }
        let file = try withErrorPath(path) {
          try FileReader.beneath(
            folder, location, what: "tensors", maximumBytes: limits.weightFileBytes)
        }
        shards[location] = try SafeTensors(.file(file), limits: limits)
      }
      keys.append(member.key)
      locations[member.key] = location
    }
    guard !keys.isEmpty else {
      throw LaminaError(.format, "expected tensors, found an empty weight_map", path: source.name)
    }
    for (location, shard) in shards.sorted(by: { $0.key < $1.key }) {
      for key in shard.keys where locations[key] != location {
        let other = locations[key].map { "'\($0.escapedForDisplay())'" } ?? "no file"
        throw LaminaError(
          .format,
          "expected tensor '\(key.escapedForDisplay())' in \(other), as the index says, found it in '\(location.escapedForDisplay())'",
          path: source.name)
      }
    }
    for key in keys {
      guard let location = locations[key], let shard = shards[location] else { continue }
      _ = try shard.spec(key)
    }
    self.keys = keys
    self.shards = shards
    self.locations = locations
    provenance =
      "\(source.name) (safetensors, \(shards.count) file\(shards.count == 1 ? "" : "s"))"
  }

  private func shard(of key: String) throws -> SafeTensors {
    guard let location = locations[key], let shard = shards[location] else {
      throw unknownKey(key)
    }
    return shard
  }

  /// Shape and type of a tensor.
  public func spec(_ key: String) throws -> TensorSpec { try shard(of: key).spec(key) }

  /// Reads the elements of a tensor.
  public func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    try shard(of: key).read(key, into: target)
  }
}
