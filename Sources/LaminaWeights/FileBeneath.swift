import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension FileReader {
  /// Opens a file that another one names.
  ///
  /// A location is resolved component by component beneath the folder: no `..`, no absolute path, no
  /// symbolic link on the way; the file must be a regular one with a single name, so that a model cannot make
  /// a host read what was not put beside it.
  ///
  /// - Parameter what: what the file holds, for messages.
  static func beneath(_ folder: String, _ location: String, what: String, maximumBytes: Int) throws
    -> FileReader
  {
    let shown = location.escapedForDisplay()
    let components = location.split(separator: "/", omittingEmptySubsequences: false).map(
      String.init)
    guard !location.utf8.contains(0), !location.utf8.contains(UInt8(ascii: "\\")),
      !components.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." })
    else {
      throw LaminaError(
        .format, "expected \(what) in a file beneath the model's folder, found '\(shown)'")
    }
    var descriptor = Self.openBeneath(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    for (index, component) in components.enumerated() where descriptor >= 0 {
      let isLast = index == components.count - 1
      // O_NONBLOCK: opening a FIFO must not wait for a writer.
      let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (isLast ? O_NONBLOCK : O_DIRECTORY)
      let next = Self.openBeneath(descriptor, component, flags)
      close(descriptor)
      descriptor = next
    }
    guard descriptor >= 0 else {
      let reason = errno
      switch reason {
      case ENOENT: throw LaminaError(.notFound, "\(what) '\(shown)' does not exist")
      case ELOOP, ENOTDIR:
        throw LaminaError(
          .format, "expected \(what) in a regular file, found a link in '\(shown)'")
      default: throw LaminaError(.io, "\(what) '\(shown)' cannot be opened: error \(reason)")
      }
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw LaminaError(.io, "\(what) '\(shown)' cannot be read: error \(errno)")
    }
    guard status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1 else {
      throw LaminaError(
        .format,
        status.st_mode & S_IFMT == S_IFREG
          ? "expected \(what) in a file of one name, found hard links to '\(shown)'"
          : "expected \(what) in a regular file, found '\(shown)'")
    }
    return try FileReader(
      descriptor: descriptor, name: shown, maximumBytes: maximumBytes)
  }

  private static func openBeneath(_ folder: Int32, _ name: String, _ flags: Int32) -> Int32 {
    var result: Int32
    repeat { result = openat(folder, name, flags) } while result < 0 && errno == EINTR
    return result
  }
}
