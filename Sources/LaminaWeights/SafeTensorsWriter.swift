import LaminaCore

extension SafeTensors {
  /// Writes tensors as safetensors: names sorted within descending element size, the header padded
  /// with spaces to a multiple of 8 bytes, equal input giving equal bytes. The file appears whole
  /// or not at all.
  ///
  /// - Throws: `argument` for a tensor named `__metadata__` or too large a header, `io`,
  ///   `notFound`.
  public static func write(
    _ tensors: [String: Tensor], metadata: [(key: String, value: String)] = [], to path: String
  ) throws {
    let order = try sortedKeys(tensors)
    let writer = try AtomicFileWriter(path: path)
    try writer.write(try header(tensors, order, metadata))
    for key in order {
      try tensors[key]?.withBytes { try writer.write($0) }
    }
    try writer.commit()
  }

  /// The bytes of the file that `write` makes.
  public static func bytes(
    _ tensors: [String: Tensor], metadata: [(key: String, value: String)] = []
  ) throws -> [UInt8] {
    let order = try sortedKeys(tensors)
    var bytes = try header(tensors, order, metadata)
    bytes.reserveCapacity(bytes.count + tensors.values.reduce(0) { $0 + $1.byteCount })
    for key in order {
      tensors[key]?.withBytes { bytes.append(contentsOf: $0) }
    }
    return bytes
  }

  /// Wider elements first, so that every tensor is aligned to its element size.
  private static func sortedKeys(_ tensors: [String: Tensor]) throws -> [String] {
    guard tensors[metadataKey] == nil else {
      throw LaminaError(.argument, "expected another tensor name than '\(metadataKey)'")
    }
    return tensors.sorted {
      ($1.value.type.byteCount, $0.key) < ($0.value.type.byteCount, $1.key)
    }.map(\.key)
  }

  private static func header(
    _ tensors: [String: Tensor], _ order: [String], _ metadata: [(key: String, value: String)]
  ) throws -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      members.append(
        JSON.Member(metadataKey, .object(metadata.map { JSON.Member($0.key, .string($0.value)) })))
    }
    var position = 0
    for key in order {
      guard let tensor = tensors[key],
        let name = typeNames.first(where: { $0.type == tensor.type })?.name
      else { continue }
      let end = position + tensor.byteCount
      members.append(
        JSON.Member(
          key,
          .object([
            "dtype": .string(name),
            "shape": .array(tensor.shape.dimensions.map { .int(Int64($0)) }),
            "data_offsets": .array([.int(Int64(position)), .int(Int64(end))]),
          ])))
      position = end
    }
    var text = Array(JSON.object(members).text().utf8)
    text.append(contentsOf: repeatElement(0x20, count: (8 - text.count % 8) % 8))
    guard text.count <= maximumHeaderByteCount else {
      throw LaminaError(
        .argument,
        "expected a header of at most \(maximumHeaderByteCount) bytes, found \(text.count)")
    }
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    return length + text
  }
}
