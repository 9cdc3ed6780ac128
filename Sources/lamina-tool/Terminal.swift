#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Standard output could not be written.
struct OutputError: Error {
  let number: Int32
}

/// The two streams of the process.
enum Terminal {
  /// Makes the three standard descriptors exist, so that no file is opened in their place, and lets a closed
  /// pipe and a file that may not grow be errors instead of signals.
  static func prepare() {
    while true {
      let descriptor = open("/dev/null", O_RDONLY)
      guard descriptor >= 0, descriptor <= 2 else {
        close(descriptor)
        break
      }
    }
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }

  /// Writes to standard output.
  ///
  /// - Throws: `OutputError`.
  static func write(_ text: String) throws {
    guard let number = write(text, to: STDOUT_FILENO) else { return }
    throw OutputError(number: number)
  }

  /// Writes one line to standard error.
  static func report(_ line: String) { _ = write(line + "\n", to: STDERR_FILENO) }

  /// Writes to standard error as it is, for a bar that overwrites itself.
  static func draw(_ text: String) { _ = write(text, to: STDERR_FILENO) }

  /// Whether a person watches standard error.
  static let isWatched = isatty(STDERR_FILENO) == 1

  /// Writes all of `text`; the system's error number when it refuses.
  private static func write(_ text: String, to descriptor: Int32) -> Int32? {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return errno }
      bytes = bytes.dropFirst(count)
    }
    return nil
  }
}

/// `write(2)`, whose name `Terminal.write` hides.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  write(descriptor, bytes, count)
}
