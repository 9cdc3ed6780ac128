import CZlib
import LaminaCore

/// A zip archive, read by its central directory and checked against its local headers: entries may
/// not overlap, names may not repeat or leave the archive, and every entry's CRC-32 is compared
/// when it is read.
///
/// Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4.
struct ZipArchive: Sendable {
  struct Entry: Sendable {
    var name: String
    var isDeflated: Bool
    var compressedCount: Int
    var count: Int
    var checksum: UInt32
    /// First byte of the data in the file.
    var offset: Int
  }

  /// In the order of the central directory.
  let entries: [Entry]
  private let indices: [String: Int]
  let source: ByteSource

  /// An inflated entry may be 100 times its stored size, above a floor of 16 MiB.
  static let maximumRatio = 100
  static let ratioFloor = 16 << 20

  /// The entry of that name.
  subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

  init(_ source: ByteSource, limits: Limits) throws {
    self.source = source
    let directory = try Directory(source)
    guard directory.entryCount <= min(limits.tensorsPerFile, 1 << 20) else {
      throw LaminaError(
        .limit, "expected at most \(limits.tensorsPerFile) entries, found \(directory.entryCount)",
        path: source.name)
    }
    let bytes = try source.bytes(directory.range)
    var reader = try ByteReader(bytes, path: "\(source.name) central directory")
    var entries: [Entry] = []
    var indices: [String: Int] = [:]
    var extents: [Range<Int>] = []
    for _ in 0..<directory.entryCount {
      let record = try CentralRecord(&reader)
      guard indices.updateValue(entries.count, forKey: record.name) == nil else {
        throw reader.failure("two entries are named '\(record.name.escapedForDisplay())'")
      }
      let (entry, extent) = try ZipArchive.locate(
        record, in: source, before: directory.range.lowerBound)
      entries.append(entry)
      extents.append(extent)
    }
    guard reader.isAtEnd else {
      throw reader.failure("expected the end of the directory, found \(reader.remaining) bytes")
    }
    let order = extents.indices.sorted { extents[$0].lowerBound < extents[$1].lowerBound }
    for (a, b) in zip(order, order.dropFirst()) where extents[a].upperBound > extents[b].lowerBound
    {
      throw source.failure(
        "entries '\(entries[a].name.escapedForDisplay())' and '\(entries[b].name.escapedForDisplay())' overlap",
        at: extents[b].lowerBound)
    }
    self.entries = entries
    self.indices = indices
  }

  /// Fills `target`, which has the entry's size.
  ///
  /// - Throws: `format` when the data do not inflate to that size or their CRC-32 differs.
  func read(_ entry: Entry, into target: UnsafeMutableRawBufferPointer) throws {
    let path = "\(source.name): \(entry.name.escapedForDisplay())"
    guard target.count == entry.count else {
      throw LaminaError(
        .format, "expected \(target.count) bytes, found \(entry.count)", path: path)
    }
    if entry.isDeflated {
      let packed = try source.bytes(entry.offset..<entry.offset + entry.compressedCount)
      try Deflate.inflate(packed, into: target, path: path)
    } else {
      try source.read(at: entry.offset, into: target)
    }
    let checksum = Deflate.checksum(UnsafeRawBufferPointer(target))
    guard checksum == entry.checksum else {
      throw LaminaError(
        .format,
        "expected crc32 \(String(entry.checksum, radix: 16)), found \(String(checksum, radix: 16))",
        path: path)
    }
  }

  /// The bytes of an entry.
  func bytes(_ entry: Entry) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: entry.count) { buffer, count in
      try read(
        entry,
        into: UnsafeMutableRawBufferPointer(
          UnsafeMutableBufferPointer(rebasing: buffer[..<entry.count])))
      count = entry.count
    }
  }

  // MARK: - Records

  private struct Directory {
    var entryCount: Int
    var range: Range<Int>

    init(_ source: ByteSource) throws {
      let tailCount = min(source.byteCount, 22 + 0xFFFF)
      let tailStart = source.byteCount - tailCount
      let tail = try source.bytes(tailStart..<source.byteCount)
      // The end record is the one whose comment reaches exactly to the end of the file.
      var found: [Int] = []
      var position = tailCount - 22
      while position >= 0 {
        if tail[position] == 0x50, tail[position + 1] == 0x4B, tail[position + 2] == 5,
          tail[position + 3] == 6,
          Int(tail[position + 20]) + Int(tail[position + 21]) << 8 == tailCount - position - 22
        {
          found.append(position)
        }
        position -= 1
      }
      guard let end = found.first else {
        throw source.failure(
          "expected the end record of a zip archive, found none", at: source.byteCount)
      }
      guard found.count == 1 else {
        throw source.failure("expected one end record, found \(found.count)", at: tailStart + end)
      }
      var reader = try ByteReader(tail, path: source.name)
      try reader.seek(to: end + 4)
      let disks = try [reader.integer(UInt16.self), reader.integer(UInt16.self)]
      let counts = try [reader.integer(UInt16.self), reader.integer(UInt16.self)]
      let size32 = try reader.integer(UInt32.self)
      let offset32 = try reader.integer(UInt32.self)
      var count = UInt64(counts[1])
      var size = UInt64(size32)
      var offset = UInt64(offset32)
      var directoryEnd = tailStart + end
      var isSplit = disks != [0, 0] || counts[0] != counts[1]
      if let zip64 = try Zip64End(source, endRecord: tailStart + end) {
        guard counts[1] == 0xFFFF || UInt64(counts[1]) == zip64.count,
          size32 == .max || UInt64(size32) == zip64.size,
          offset32 == .max || UInt64(offset32) == zip64.offset
        else { throw source.failure("the two end records differ", at: zip64.start) }
        (count, size, offset) = (zip64.count, zip64.size, zip64.offset)
        directoryEnd = zip64.start
        isSplit = zip64.isSplit
      }
      guard !isSplit else {
        throw LaminaError(
          .unsupported, "archives of several disks are not supported", path: source.name)
      }
      let (sum, overflow) = offset.addingReportingOverflow(size)
      guard !overflow, sum == UInt64(directoryEnd), let start = Int(exactly: offset) else {
        throw source.failure(
          "expected a directory that ends at \(directoryEnd), found one of \(size) bytes from \(offset)",
          at: tailStart + end)
      }
      // A central record has at least 46 bytes.
      guard count <= size / 46, let entryCount = Int(exactly: count) else {
        throw source.failure("expected \(count) entries in \(size) bytes of directory", at: start)
      }
      range = start..<directoryEnd
      self.entryCount = entryCount
    }
  }

  private struct Zip64End {
    var start: Int
    var count: UInt64
    var size: UInt64
    var offset: UInt64
    var isSplit: Bool

    /// Nil when no zip64 locator stands before the end record.
    init?(_ source: ByteSource, endRecord: Int) throws {
      guard endRecord >= 20 else { return nil }
      var locator = try ByteReader(
        source.bytes(endRecord - 20..<endRecord), path: "\(source.name) zip64 locator")
      guard try locator.integer(UInt32.self) == 0x0706_4B50 else { return nil }
      let disk = try locator.integer(UInt32.self)
      let offset = try locator.integer(UInt64.self)
      let diskCount = try locator.integer(UInt32.self)
      guard let start = Int(exactly: offset), start <= endRecord - 20 - 56 else {
        throw source.failure(
          "expected the zip64 end record before the locator, found \(offset)", at: endRecord - 20)
      }
      var reader = try ByteReader(
        source.bytes(start..<start + 56), path: "\(source.name) zip64 end record")
      let signature = try reader.integer(UInt32.self)
      let length = try reader.integer(UInt64.self)
      guard signature == 0x0606_4B50, length == UInt64(endRecord - 20 - start - 12) else {
        throw source.failure("expected a zip64 end record up to the locator", at: start)
      }
      _ = try reader.integer(UInt32.self, "versions")
      let disks = try [reader.integer(UInt32.self), reader.integer(UInt32.self)]
      let counts = try [reader.integer(UInt64.self), reader.integer(UInt64.self)]
      self.start = start
      count = counts[1]
      size = try reader.integer(UInt64.self)
      self.offset = try reader.integer(UInt64.self)
      isSplit = disk != 0 || diskCount > 1 || disks != [0, 0] || counts[0] != counts[1]
    }
  }

  private struct CentralRecord {
    var name: String
    var flags: UInt16
    var method: UInt16
    var checksum: UInt32
    var compressedCount: UInt64
    var count: UInt64
    var headerOffset: UInt64

    init(_ reader: inout ByteReader) throws {
      let start = reader.offset
      guard try reader.integer(UInt32.self, "signature") == 0x0201_4B50 else {
        throw reader.failure("expected a central record", at: start)
      }
      _ = try reader.integer(UInt32.self, "versions")
      flags = try reader.integer()
      method = try reader.integer()
      _ = try reader.integer(UInt32.self, "time")
      checksum = try reader.integer()
      let compressed32 = try reader.integer(UInt32.self)
      let count32 = try reader.integer(UInt32.self)
      let nameCount = Int(try reader.integer(UInt16.self))
      let extraCount = Int(try reader.integer(UInt16.self))
      let commentCount = Int(try reader.integer(UInt16.self))
      let disk = try reader.integer(UInt16.self)
      _ = try reader.range(6, of: "attributes")
      let offset32 = try reader.integer(UInt32.self)
      name = try reader.string(nameCount, "entry name")
      let extra = try reader.range(extraCount, of: "extra field")
      _ = try reader.range(commentCount, of: "comment")
      try ZipArchive.checkName(name, reader, start)
      guard disk == 0 else { throw reader.failure("expected disk 0, found \(disk)", at: start) }
      var wide = try ZipArchive.zip64Numbers(reader.bytes, extra, path: reader.path)
      func widened(_ value: UInt32, _ what: String) throws -> UInt64 {
        guard value == .max else { return UInt64(value) }
        guard !wide.isEmpty else { throw reader.failure("expected a zip64 \(what)", at: start) }
        return wide.removeFirst()
      }
      count = try widened(count32, "size")
      compressedCount = try widened(compressed32, "compressed size")
      headerOffset = try widened(offset32, "offset")
    }
  }

  /// The 64-bit numbers of the zip64 extra field; empty when there is none.
  private static func zip64Numbers(_ bytes: [UInt8], _ range: Range<Int>, path: String) throws
    -> [UInt64]
  {
    var reader = try ByteReader(Array(bytes[range]), path: "\(path) extra field")
    var numbers: [UInt64] = []
    while reader.remaining >= 4 {
      let id = try reader.integer(UInt16.self)
      let count = Int(try reader.integer(UInt16.self))
      let field = try reader.range(count, of: "extra field")
      guard id == 1 else { continue }
      var words = try ByteReader(Array(reader.bytes[field]), path: reader.path)
      while words.remaining >= 8 { numbers.append(try words.integer()) }
    }
    return numbers
  }

  private static func checkName(_ name: String, _ reader: ByteReader, _ start: Int) throws {
    let isBad =
      name.isEmpty || name.utf8.count > 4096 || name.hasPrefix("/") || name.contains("\\")
      || name.utf8.contains(0)
      || name.split(separator: "/", omittingEmptySubsequences: false).contains("..")
    guard !isBad else {
      throw reader.failure("entry name '\(name.escapedForDisplay())' is not allowed", at: start)
    }
  }

  /// Checks the local header against the central record and finds the data.
  private static func locate(
    _ record: CentralRecord, in source: ByteSource, before limit: Int
  ) throws -> (Entry, extent: Range<Int>) {
    let path = "\(source.name): \(record.name.escapedForDisplay())"
    func failure(_ message: String) -> LaminaError { LaminaError(.format, message, path: path) }
    guard record.flags & 0x2041 == 0 else {
      throw LaminaError(.unsupported, "encrypted entries are not supported", path: path)
    }
    guard record.method == 0 || record.method == 8 else {
      throw LaminaError(
        .unsupported, "expected compression method 0 or 8, found \(record.method)", path: path)
    }
    guard let compressedCount = Int(exactly: record.compressedCount),
      let count = Int(exactly: record.count)
    else {
      throw failure(
        "expected a size below 2^63, found \(max(record.compressedCount, record.count))")
    }
    guard let start = Int(exactly: record.headerOffset), start <= limit - 30
    else { throw failure("expected a local header before \(limit), found \(record.headerOffset)") }
    var reader = try ByteReader(source.bytes(start..<start + 30), path: path)
    let signature = try reader.integer(UInt32.self)
    guard signature == 0x0403_4B50 else { throw failure("expected a local header at \(start)") }
    _ = try reader.integer(UInt16.self, "version")
    let flags = try reader.integer(UInt16.self)
    let method = try reader.integer(UInt16.self)
    _ = try reader.integer(UInt32.self, "time")
    let checksum = try reader.integer(UInt32.self)
    let compressed32 = try reader.integer(UInt32.self)
    let count32 = try reader.integer(UInt32.self)
    let nameCount = Int(try reader.integer(UInt16.self))
    let extraCount = Int(try reader.integer(UInt16.self))
    let dataStart = start + 30 + nameCount + extraCount
    guard dataStart <= limit, compressedCount <= limit - dataStart else {
      throw failure("expected \(compressedCount) bytes of data, found \(max(limit - dataStart, 0))")
    }
    let name = try source.bytes(start + 30..<start + 30 + nameCount)
    guard name.elementsEqual(record.name.utf8) else {
      throw failure(
        "the local header has another name: '\(String(decoding: name, as: UTF8.self).escapedForDisplay())'"
      )
    }
    // With bit 3, sizes and checksum stand behind the data and the local ones may be zero.
    let isStreamed = flags & 8 != 0
    func agrees(_ local: UInt32, _ central: UInt64) -> Bool {
      local == .max || UInt64(local) == central || (isStreamed && local == 0)
    }
    guard flags & 0x2041 == 0, method == record.method,
      agrees(compressed32, record.compressedCount),
      agrees(count32, record.count), agrees(checksum, UInt64(record.checksum))
    else { throw failure("the local header differs from the central directory") }
    if method == 0 {
      guard count == compressedCount else {
        throw failure("expected \(compressedCount) stored bytes, found \(count)")
      }
    } else {
      let (most, overflow) = compressedCount.multipliedReportingOverflow(by: maximumRatio)
      guard count <= ratioFloor || overflow || count <= most else {
        throw LaminaError(
          .limit, "expected at most \(maximumRatio) times \(compressedCount) bytes, found \(count)",
          path: path)
      }
    }
    let entry = Entry(
      name: record.name, isDeflated: method == 8, compressedCount: compressedCount, count: count,
      checksum: record.checksum, offset: dataStart)
    return (entry, start..<dataStart + compressedCount)
  }
}
