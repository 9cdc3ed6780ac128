import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Reads tensor data from files beside the model.
///
/// A location is resolved component by component beneath the model's folder: no `..`, no absolute path, no
/// symbolic link on the way; the file must be a regular one with a single name, so that a model cannot make
/// a host read what was not put beside it.
final class ONNXExternalData {
  private let folder: String?
  private let limits: Limits
  private var files: [String: FileReader] = [:]
  private(set) var hasUncheckedChecksums = false

  /// - Parameter folder: nil when the model did not come from a folder.
  init(folder: String?, limits: Limits) {
    self.folder = folder
    self.limits = limits
  }

  /// The data of a tensor of `byteCount` bytes.
  func read(_ tensor: ONNXTensor, byteCount: Int) throws -> [UInt8] {
    var location: String?
    var offset = 0
    var length: Int?
    var seen: Set<String> = []
    for (key, value) in tensor.external {
      guard seen.insert(key).inserted else {
        throw LaminaError(.format, "external data gives '\(key.escapedForDisplay())' twice")
      }
      switch key {
      case "location": location = value
      case "offset": offset = try Self.number(key, value)
      case "length": length = try Self.number(key, value)
      case "checksum": hasUncheckedChecksums = true
      default:
        throw LaminaError(
          .format,
          "expected external data of location, offset, length or checksum, found '\(key.escapedForDisplay())'"
        )
      }
    }
    guard let location else { throw LaminaError(.format, "external data has no location") }
    let file = try open(location)
    let shown = location.escapedForDisplay()
    let (end, overflow) = offset.addingReportingOverflow(length ?? byteCount)
    guard !overflow, end <= file.byteCount else {
      throw LaminaError(
        .format,
        "expected \(length ?? byteCount) bytes at \(offset) of '\(shown)', which has \(file.byteCount)"
      )
    }
    guard end - offset == byteCount else {
      throw LaminaError(
        .format, "expected \(byteCount) bytes of external data, found a length of \(end - offset)")
    }
    return try file.bytes(offset..<end)
  }

  private static func number(_ key: String, _ text: String) throws -> Int {
    guard let number = Int(text), number >= 0 else {
      throw LaminaError(
        .format,
        "expected the \(key) of external data to be a number, found '\(text.escapedForDisplay())'")
    }
    return number
  }

  private func open(_ location: String) throws -> FileReader {
    if let file = files[location] { return file }
    let shown = location.escapedForDisplay()
    guard let folder else {
      throw LaminaError(
        .unsupported,
        "the data lies in the file '\(shown)', and a model from memory has no folder to look in")
    }
    let components = location.split(separator: "/", omittingEmptySubsequences: false).map(
      String.init)
    guard !location.utf8.contains(0), !location.utf8.contains(UInt8(ascii: "\\")),
      !components.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." })
    else {
      throw LaminaError(
        .format, "expected external data in a file beneath the model's folder, found '\(shown)'")
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
      case ENOENT: throw LaminaError(.notFound, "external data '\(shown)' does not exist")
      case ELOOP, ENOTDIR:
        throw LaminaError(
          .format, "expected external data in a regular file, found a link in '\(shown)'")
      default: throw LaminaError(.io, "external data '\(shown)' cannot be opened: error \(reason)")
      }
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw LaminaError(.io, "external data '\(shown)' cannot be read: error \(errno)")
    }
    guard status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1 else {
      throw LaminaError(
        .format,
        status.st_mode & S_IFMT == S_IFREG
          ? "expected external data in a file of one name, found hard links to '\(shown)'"
          : "expected external data in a regular file, found '\(shown)'")
    }
    let file = try FileReader(
      descriptor: descriptor, name: shown, maximumBytes: limits.weightFileBytes)
    files[location] = file
    return file
  }

  private static func openBeneath(_ folder: Int32, _ name: String, _ flags: Int32) -> Int32 {
    var result: Int32
    repeat { result = openat(folder, name, flags) } while result < 0 && errno == EINTR
    return result
  }
}
