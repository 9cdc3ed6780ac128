#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif
import LaminaCore

/// An error of code `io` with the system's text for `errno`.
func systemError(_ path: String) -> LaminaError {
  let number = errno
  let text = strerror(number).map { String(cString: $0).lowercased() } ?? "error \(number)"
  return LaminaError(.io, text, path: path.escapedForDisplay(limit: 512))
}

/// Makes a folder and those above it, where they are not there.
func makeFolder(_ path: String) throws {
  guard !path.isEmpty, !path.utf8.contains(0) else {
    throw LaminaError(.argument, "expected a path, found an empty one or one with a NUL")
  }
  var made = path.hasPrefix("/") ? "/" : ""
  for part in path.split(separator: "/") {
    made += (made.isEmpty || made == "/" ? "" : "/") + part
    if mkdir(made, 0o777) != 0 && errno != EEXIST && errno != EISDIR {
      throw systemError(made)
    }
  }
}

/// Names of what is in a folder.
func namesInFolder(_ path: String) throws -> [String] {
  guard let folder = opendir(path) else { throw systemError(path) }
  defer { closedir(folder) }
  var names: [String] = []
  while let entry = readdir(folder) {
    names.append(
      withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      })
  }
  return names
}

/// Removes temporary files `….PID.N.tmp` that processes left which are no more.
func removeAbandonedFiles(in folder: String, prefix: String) {
  for name in (try? namesInFolder(folder)) ?? []
  where name.hasPrefix(prefix) && name.hasSuffix(".tmp") {
    let parts = name.split(separator: ".")
    guard parts.count > 3, let process = pid_t(parts[parts.count - 3]), process > 0,
      kill(process, 0) != 0, errno == ESRCH
    else { continue }
    unlink("\(folder)/\(name)")
  }
}

/// A log that grows at its end. What was appended is with the system when `append` returns.
final class LogFile {
  private let path: String
  private let descriptor: Int32

  init(path: String, keepsContent: Bool) throws {
    self.path = path
    descriptor = open(
      path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (keepsContent ? 0 : O_TRUNC), 0o666)
    guard descriptor >= 0 else { throw systemError(path) }
  }

  deinit { close(descriptor) }

  var isEmpty: Bool { lseek(descriptor, 0, SEEK_END) == 0 }

  func append(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count, let base = buffer.baseAddress {
        let count = write(descriptor, base + done, buffer.count - done)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { throw systemError(path) }
        done += count
      }
    }
  }
}

/// Seconds since 1970.
func secondsSince1970() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// The number of this process.
func processNumber() -> Int { Int(getpid()) }

/// The name of this machine.
func machineName() -> String {
  var buffer = [CChar](repeating: 0, count: 256)
  guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
  return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
