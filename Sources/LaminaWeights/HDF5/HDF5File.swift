import LaminaCore

/// A read-only view of an HDF5 file: superblocks 0 to 3, groups of both styles, datasets of numbers
/// that are contiguous, compact or chunked with deflate and shuffle. Links out of the file and
/// what else the format knows are refused by name.
///
/// Source: HDF5 File Format Specification, version 3.0.
struct HDF5File: Sendable {
  let format: HDF5Format
  let rootAddress: Int

  /// Where the signature stands: at 0, or behind a user block of 512, 1024, 2048, … bytes.
  static func signatureOffset(_ source: ByteSource) throws -> Int? {
    let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
    var offset = 0
    while offset <= source.byteCount - signature.count {
      if try source.bytes(offset..<offset + signature.count) == signature { return offset }
      offset = offset == 0 ? 512 : offset * 2
    }
    return nil
  }

  init(_ source: ByteSource, limits: Limits) throws {
    guard let start = try HDF5File.signatureOffset(source) else {
      throw LaminaError(.format, "expected the signature of HDF5, found none", path: source.name)
    }
    var format = HDF5Format(source: source, limits: limits)
    let head = HDF5Reader(format)
    var cursor = try head.cursor(at: start, upTo: 96, of: "superblock")
    try cursor.skip(8, "signature")
    let version = try cursor.expect(version: 0...3, of: "a superblock")
    func readSizes() throws {
      format.offsetSize = try cursor.byte("size of offsets")
      format.lengthSize = try cursor.byte("size of lengths")
      guard [2, 4, 8].contains(format.offsetSize), [2, 4, 8].contains(format.lengthSize) else {
        throw cursor.failure(
          "expected offsets and lengths of 2, 4 or 8 bytes, found \(format.offsetSize) and \(format.lengthSize)"
        )
      }
      cursor.format = format
    }
    let base: Int
    let end: Int
    if version < 2 {
      try cursor.skip(4, "versions")
      try readSizes()
      try cursor.skip(version == 0 ? 9 : 13, "sizes of tree nodes")
      base = try cursor.address("base address")
      try cursor.skip(format.offsetSize, "address of free space")
      end = try cursor.address("end of file")
      try cursor.skip(2 * format.offsetSize, "addresses of a superblock")
      rootAddress = try cursor.address("root group")
    } else {
      try readSizes()
      let flags = try cursor.byte("consistency flags")
      guard flags & 3 == 0 else {
        throw cursor.failure("the file was not closed by the program that wrote it")
      }
      base = try cursor.address("base address")
      try cursor.skip(format.offsetSize, "address of the superblock's extension")
      end = try cursor.address("end of file")
      rootAddress = try cursor.address("root group")
      try cursor.expectChecksum(of: "the superblock")
    }
    guard base == 0 || base == start else {
      throw cursor.failure("expected the base address \(start), found \(base)")
    }
    guard end <= source.byteCount else {
      throw cursor.failure("expected \(end) bytes of file, found \(source.byteCount)")
    }
    format.base = start
    self.format = format
  }

  /// The object that a path of member names leads to; nil when there is none.
  func object(_ path: [String], from start: HDF5Object, _ reader: HDF5Reader) throws -> HDF5Object?
  {
    var object = start
    for name in path {
      guard object.isGroup,
        let member = try object.members(reader).first(where: { $0.name == name })
      else { return nil }
      object = try HDF5Object(reader, at: member.address)
    }
    return object
  }

  func root(_ reader: HDF5Reader) throws -> HDF5Object {
    let root = try HDF5Object(reader, at: rootAddress)
    guard root.isGroup else {
      throw LaminaError(
        .format, "expected a root group, found an object of another kind", path: format.source.name)
    }
    return root
  }
}
