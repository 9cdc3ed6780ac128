import LaminaCore

extension NumPyArrays {
  /// Writes tensors as `.npz`: a zip archive of stored `.npy` files, names sorted, equal input giving equal
  /// bytes. `bfloat16`, which NumPy has not, becomes `float32`. The file appears whole or not at all.
  ///
  /// - Throws: `argument` for a name that an archive cannot hold or more than 4 GiB, `io`, `notFound`.
  public static func write(_ tensors: [String: Tensor], to path: String) throws {
    let plan = try plan(tensors)
    let writer = try AtomicFileWriter(path: path)
    for entry in plan.entries {
      try writer.write(entry.start)
      try entry.tensor.withBytes { try writer.write($0) }
    }
    try writer.write(plan.end)
    try writer.commit()
  }

  /// The bytes of the file that `write` makes.
  public static func bytes(_ tensors: [String: Tensor]) throws -> [UInt8] {
    let plan = try plan(tensors)
    var bytes: [UInt8] = []
    for entry in plan.entries {
      bytes += entry.start
      entry.tensor.withBytes { bytes.append(contentsOf: $0) }
    }
    return bytes + plan.end
  }

  private static func little<T: FixedWidthInteger>(_ number: T) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { [UInt8]($0) }
  }

  /// The bytes before each tensor's elements, and those behind the last.
  private static func plan(_ tensors: [String: Tensor]) throws -> (
    entries: [(start: [UInt8], tensor: Tensor)], end: [UInt8]
  ) {
    guard tensors.count < 0xFFFF else {
      throw LaminaError(.argument, "expected fewer than 65535 tensors, found \(tensors.count)")
    }
    var entries: [(start: [UInt8], tensor: Tensor)] = []
    var directory: [UInt8] = []
    var offset = 0
    for (key, stored) in tensors.sorted(by: { $0.key < $1.key }) {
      let name = [UInt8]("\(key).npy".utf8)
      let isAllowed =
        !key.isEmpty && name.count <= 4096 && !name.contains(0) && !key.hasPrefix("/")
        && !key.contains("\\")
        && !key.split(separator: "/", omittingEmptySubsequences: false).contains("..")
      guard isAllowed else {
        throw LaminaError(
          .argument, "expected a name that a file can have, found '\(key.escapedForDisplay())'")
      }
      let tensor = stored.type == .bfloat16 ? try stored.convertedToFloat32() : stored
      let header = NumPyHeader.bytes(tensor.spec)
      let size = header.count + tensor.byteCount
      var checksum = header.withUnsafeBytes { Deflate.checksum($0) }
      checksum = tensor.withBytes { Deflate.checksum($0, after: checksum) }
      guard offset + size + directory.count + 2 * (name.count + 100) < Int(UInt32.max) else {
        throw LaminaError(.argument, "expected tensors of less than 4 GiB for a .npz")
      }
      // Version 2.0, UTF-8 names, stored, the first of January 1980.
      let common =
        little(UInt16(20)) + little(UInt16(0x800)) + little(UInt16(0)) + little(UInt16(0))
        + little(UInt16(0x21)) + little(checksum) + little(UInt32(size)) + little(UInt32(size))
        + little(UInt16(name.count)) + little(UInt16(0))
      let start = [0x50, 0x4B, 3, 4] + common + name + header
      directory += [0x50, 0x4B, 1, 2] + little(UInt16(20)) + common
      directory += [UInt8](repeating: 0, count: 10) + little(UInt32(offset)) + name
      entries.append((start, tensor))
      offset += start.count + tensor.byteCount
    }
    let end =
      [0x50, 0x4B, 5, 6] + little(UInt32(0)) + little(UInt16(entries.count))
      + little(UInt16(entries.count)) + little(UInt32(directory.count)) + little(UInt32(offset))
      + little(UInt16(0))
    return (entries, directory + end)
  }
}
