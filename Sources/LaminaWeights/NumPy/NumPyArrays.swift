import LaminaCore

/// The arrays of a `.npy` or `.npz` file.
///
/// A `.npz` is a zip archive of `.npy` files, stored or deflated; its keys are their names without `.npy`. The
/// array of a `.npy` file has the name `arr_0`, as `numpy.savez` gives to arrays without one.
public struct NumPyArrays: TensorSource {
  /// Names in the order of the file.
  public let keys: [String]
  /// `weights.npz (NumPy npz)`.
  public let provenance: String
  private let source: ByteSource
  private let archive: ZipArchive?
  private let arrays: [String: Stored]

  private struct Stored: Sendable {
    var layout: NumPyLayout
    /// Bytes before the elements.
    var start: Int
    var entry: ZipArchive.Entry?
  }

  /// Reads the headers.
  ///
  /// - Throws: `format` with the place for broken files, `unsupported` for element types that Lamina has not
  ///   and for arrays of objects, `limit`, `io`.
  public init(_ source: ByteSource, limits: Limits = Limits()) throws {
    let isArchive = try source.bytes(0..<min(source.byteCount, 2)) == [0x50, 0x4B]
    try self.init(
      source, archive: isArchive ? try ZipArchive(source, limits: limits) : nil, limits: limits)
  }

  init(_ source: ByteSource, archive: ZipArchive?, limits: Limits) throws {
    self.source = source
    self.archive = archive
    guard let archive else {
      var position = 0
      let header = try NumPyHeader(path: source.name) { count in
        guard count <= source.byteCount - position else {
          throw source.failure(
            "expected \(count) bytes of header, found \(source.byteCount - position)", at: position)
        }
        defer { position += count }
        return try source.bytes(position..<position + count)
      }
      try Self.check(header, source.byteCount, source.name)
      try limits.checkMemory(header.layout.byteCount, for: source.name)
      keys = ["arr_0"]
      arrays = ["arr_0": Stored(layout: header.layout, start: header.byteCount)]
      provenance = "\(source.name) (NumPy npy)"
      return
    }
    var keys: [String] = []
    var arrays: [String: Stored] = [:]
    var byteCount = 0
    for entry in archive.entries {
      let path = "\(source.name): \(entry.name.escapedForDisplay())"
      guard entry.name.hasSuffix(".npy"), entry.name != ".npy" else {
        throw LaminaError(.format, "expected entries named *.npy only", path: path)
      }
      let reader = try ZipEntryReader(entry, of: archive)
      let header = try NumPyHeader(path: path) { try reader.bytes($0) }
      try Self.check(header, entry.count, path)
      let (sum, overflow) = byteCount.addingReportingOverflow(header.layout.byteCount)
      byteCount = overflow ? .max : sum
      try limits.checkMemory(byteCount, for: "\(path) with those before it")
      let key = String(entry.name.dropLast(4))
      keys.append(key)
      arrays[key] = Stored(layout: header.layout, start: header.byteCount, entry: entry)
    }
    self.keys = keys
    self.arrays = arrays
    provenance = "\(source.name) (NumPy npz)"
  }

  private static func check(_ header: NumPyHeader, _ byteCount: Int, _ path: String) throws {
    guard byteCount - header.byteCount == header.layout.byteCount else {
      throw LaminaError(
        .format,
        "expected \(header.layout.byteCount) bytes for \(header.layout.spec), found \(byteCount - header.byteCount)",
        path: path)
    }
  }

  /// Whether an archive is one of NumPy arrays.
  static func isArchive(_ archive: ZipArchive) -> Bool {
    archive.entries.contains { $0.name.hasSuffix(".npy") }
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
      try array.layout.read(into: target) { stored in
        guard let archive, let entry = array.entry else {
          return try source.read(at: array.start, into: stored)
        }
        let reader = try ZipEntryReader(entry, of: archive)
        _ = try reader.bytes(array.start)
        try reader.read(into: stored)
        try reader.finish()
      }
    }
  }
}
