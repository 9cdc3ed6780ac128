import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file that may be a plugin, looked at before any of its code runs.
struct PluginFile: Hashable {
  /// The path with links followed.
  let path: String
  let device: UInt64
  let inode: UInt64
  let byteCount: Int
  /// When it was last written, in nanoseconds.
  let modified: Int64

  /// - Throws: `notFound`, `io`; `argument` when it is no regular file, or others may write it; `format` when it is
  ///   no shared library for this processor.
  init(path: String) throws {
    let shown = path.escapedForDisplay(limit: 512)
    guard !path.isEmpty, !path.utf8.contains(0), let resolved = realpath(path, nil) else {
      throw LaminaError(.notFound, "no such file", path: shown)
    }
    defer { free(resolved) }
    self.path = String(cString: resolved)
    let reader = try FileReader(path: self.path, maximumBytes: 1 << 30)
    var status = stat()
    guard stat(self.path, &status) == 0 else {
      throw LaminaError(.notFound, "no such file", path: shown)
    }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    inode = UInt64(truncatingIfNeeded: status.st_ino)
    byteCount = Int(status.st_size)
    #if os(Linux)
      let time = status.st_mtim
    #else
      let time = status.st_mtimespec
    #endif
    modified = Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    try withErrorPath(shown) {
      guard status.st_mode & S_IWOTH == 0 else {
        throw LaminaError(.argument, "expected a file that others may not write")
      }
      let user = geteuid()
      guard user == 0 || status.st_uid == user || status.st_uid == 0 else {
        throw LaminaError(
          .argument,
          "expected a file of root or of user \(user), found one of user \(status.st_uid)")
      }
      #if os(Linux)
        try Self.checkHeader(of: reader)
      #endif
    }
  }

  #if arch(x86_64)
    private static let machine: (number: Int, name: String) = (62, "x86-64")
  #else
    private static let machine: (number: Int, name: String) = (183, "AArch64")
  #endif

  /// Reads the ELF header and the list of segments, all little-endian.
  private static func checkHeader(of reader: FileReader) throws {
    guard reader.byteCount > 0 else {
      throw LaminaError(.format, "expected a shared library, found an empty file")
    }
    let head = try reader.bytes(0..<min(64, reader.byteCount))
    guard head.starts(with: [0x7F, 0x45, 0x4C, 0x46]) else {
      throw LaminaError(.format, "expected a shared library (ELF), found another kind of file")
    }
    guard head.count == 64 else {
      throw LaminaError(.format, "expected an ELF header of 64 bytes, found \(head.count)")
    }
    guard head[4] == 2, head[5] == 1 else {
      throw LaminaError(
        .format, "expected a 64-bit little-endian library, found one of another kind")
    }
    func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int {
      var result: UInt64 = 0
      for byte in bytes[offset..<offset + count].reversed() { result = result << 8 | UInt64(byte) }
      return Int(clamping: result)
    }
    let found = number(head, 18, 2)
    guard found == machine.number else {
      throw LaminaError(
        .format,
        "expected a library for \(machine.name) (machine \(machine.number)), found machine \(found)"
      )
    }
    let type = number(head, 16, 2)
    guard type == 3 else {
      throw LaminaError(.format, "expected a shared library (type 3), found type \(type)")
    }
    let (start, size, count) = (number(head, 32, 8), number(head, 54, 2), number(head, 56, 2))
    guard size == 56, start <= reader.byteCount, count * 56 <= reader.byteCount - start else {
      throw LaminaError(.format, "the list of segments lies outside the file")
    }
    let segments = try reader.bytes(start..<start + count * 56)
    for segment in 0..<count {
      let (offset, bytes) = (
        number(segments, segment * 56 + 8, 8), number(segments, segment * 56 + 32, 8)
      )
      guard offset <= reader.byteCount, bytes <= reader.byteCount - offset else {
        throw LaminaError(
          .format,
          "segment \(segment) ends behind the \(reader.byteCount) bytes of the file: it is truncated"
        )
      }
    }
  }
}
