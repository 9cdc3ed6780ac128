#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A regular file opened for reading. Reads are `pread`s into owned memory: a file that shrinks is an error,
/// not a signal.
public final class FileReader: Sendable {
  /// The path it was opened with.
  public let path: String
  /// Size when it was opened, in bytes.
  public let byteCount: Int
  private let descriptor: Int32

  /// Opens `path`.
  ///
  /// - Throws: `notFound`, `io`, `argument` when it is no regular file, `limit` when it is larger than
  ///   `maximumBytes`.
  public convenience init(path: String, maximumBytes: Int = Limits().weightFileBytes) throws {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw LaminaError(.argument, "expected a path, found an empty one or one with a NUL")
    }
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let descriptor = retryingInterrupts { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else {
      let code: LaminaError.Code = errno == ENOENT || errno == ENOTDIR ? .notFound : .io
      throw LaminaError(code, systemMessage(), path: path.escapedForDisplay(limit: 512))
    }
    try self.init(owning: descriptor, path: path, maximumBytes: maximumBytes)
  }

  /// Reads from a copy of a caller's descriptor, which stays the caller's.
  public convenience init(
    descriptor: Int32, name: String = "file descriptor",
    maximumBytes: Int = Limits().weightFileBytes
  ) throws {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw LaminaError(.argument, systemMessage(), path: name) }
    try self.init(owning: copy, path: name, maximumBytes: maximumBytes)
  }

  private init(owning descriptor: Int32, path: String, maximumBytes: Int) throws {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let message = systemMessage()
      close(descriptor)
      throw LaminaError(.io, message, path: path)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw LaminaError(
        .argument, "expected a regular file, found \(FileReader.kind(of: status.st_mode))",
        path: path.escapedForDisplay(limit: 512))
    }
    guard status.st_size <= maximumBytes else {
      close(descriptor)
      throw LaminaError(
        .limit, "expected at most \(maximumBytes) bytes, found \(status.st_size)",
        path: path.escapedForDisplay(limit: 512))
    }
    self.descriptor = descriptor
    self.path = path
    byteCount = Int(status.st_size)
  }

  deinit { close(descriptor) }

  private static func kind(of mode: mode_t) -> String {
    switch mode & S_IFMT {
    case S_IFDIR: "a directory"
    case S_IFIFO: "a FIFO"
    case S_IFCHR, S_IFBLK: "a device"
    case S_IFSOCK: "a socket"
    default: "another kind of file"
    }
  }

  /// Fills `target` with the bytes from `offset` on.
  ///
  /// - Throws: `format` when the file ends before, `io`.
  public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws {
    guard let base = target.baseAddress else { return }
    var done = 0
    while done < target.count {
      let got = retryingInterrupts {
        pread(descriptor, base + done, min(target.count - done, 1 << 30), off_t(offset + done))
      }
      guard got >= 0 else { throw LaminaError(.io, systemMessage(), path: path) }
      guard got > 0 else {
        throw LaminaError(
          .format, "expected \(target.count) bytes, found \(done)", path: "\(path) @ \(offset)")
      }
      done += got
    }
  }

  /// The bytes of `range`.
  ///
  /// - Throws: `format` when the range lies outside the file.
  public func bytes(_ range: Range<Int>) throws -> [UInt8] {
    guard range.lowerBound >= 0, range.upperBound <= byteCount else {
      throw LaminaError(
        .format, "expected \(range.upperBound) bytes, found \(byteCount)", path: path)
    }
    return try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      try read(
        at: range.lowerBound,
        into: UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(buffer)[0..<range.count]))
      count = range.count
    }
  }

  /// All bytes.
  public func allBytes() throws -> [UInt8] { try bytes(0..<byteCount) }
}

/// Writes a file so that the path holds either the old content or all of the new: a temporary file in the
/// same folder, fsync, a look at what was written where the caller wants one, rename, fsync of the folder.
public final class AtomicFileWriter {
  private let path: String
  private let temporaryPath: String
  private var descriptor: Int32

  /// Opens the temporary file next to `path`.
  ///
  /// - Throws: `io`, `notFound` when the folder does not exist.
  public init(path: String) throws {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw LaminaError(.argument, "expected a path, found an empty one or one with a NUL")
    }
    self.path = path
    var attempt = 0
    var temporary = ""
    var opened: Int32 = -1
    repeat {
      temporary = "\(path).\(getpid()).\(attempt).tmp"
      opened = retryingInterrupts {
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      }
      attempt += 1
    } while opened < 0 && errno == EEXIST && attempt < 100
    guard opened >= 0 else {
      let code: LaminaError.Code = errno == ENOENT ? .notFound : .io
      throw LaminaError(code, systemMessage(), path: path.escapedForDisplay(limit: 512))
    }
    var status = stat()
    if stat(path, &status) == 0 { fchmod(opened, status.st_mode & 0o7777) }
    temporaryPath = temporary
    descriptor = opened
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    unlink(temporaryPath)
  }

  /// Appends bytes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let count = retryingInterrupts {
        #if canImport(Glibc)
          Glibc.write(descriptor, base + done, min(bytes.count - done, 1 << 30))
        #elseif canImport(Musl)
          Musl.write(descriptor, base + done, min(bytes.count - done, 1 << 30))
        #else
          Darwin.write(descriptor, base + done, min(bytes.count - done, 1 << 30))
        #endif
      }
      guard count > 0 else { throw LaminaError(.io, systemMessage(), path: path) }
      done += count
    }
  }

  /// Appends bytes.
  public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

  /// Makes the file appear under its path.
  ///
  /// - Parameter verify: is given the path of what was written, which appears only when this does not throw.
  public func commit(verifying verify: (_ temporaryPath: String) throws -> Void = { _ in }) throws {
    guard fsync(descriptor) == 0 else { throw LaminaError(.io, systemMessage(), path: path) }
    let result = close(descriptor)
    descriptor = -1
    do {
      guard result == 0 else { throw LaminaError(.io, systemMessage(), path: path) }
      try verify(temporaryPath)
      guard rename(temporaryPath, path) == 0 else {
        throw LaminaError(.io, systemMessage(), path: path)
      }
    } catch {
      unlink(temporaryPath)
      throw error
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let folderDescriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard folderDescriptor >= 0 else { return }
    defer { close(folderDescriptor) }
    // EINVAL: a file system that does not sync folders.
    guard fsync(folderDescriptor) == 0 || errno == EINVAL else {
      throw LaminaError(.io, systemMessage(), path: path)
    }
  }
}

/// The system's text for `errno`, lower case.
func systemMessage() -> String {
  var buffer = [CChar](repeating: 0, count: 256)
  let number = errno
  guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
  let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
  return String(decoding: text, as: UTF8.self).lowercased()
}

/// Repeats a system call while a signal interrupts it.
func retryingInterrupts<T: FixedWidthInteger & SignedInteger>(_ body: () -> T) -> T {
  while true {
    let result = body()
    if result == -1 && errno == EINTR { continue }
    return result
  }
}
