@preconcurrency import Dispatch
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Ends the process on Ctrl-C and SIGTERM without leaving anything half-written.
enum Interruption {
  private static let output = Mutex<String?>(nil)
  private static let requests = Mutex<(finishes: Bool, count: Int)>((false, 0))

  /// Whether `finishing` was asked to come to an end.
  static var isRequested: Bool { requests.withLock { $0.count > 0 } }

  /// Runs `body`, which ends soon once `isRequested`; only a second signal ends the process at once.
  static func finishing<T>(_ body: () throws -> T) rethrows -> T {
    requests.withLock { $0.finishes = true }
    defer { requests.withLock { $0.finishes = false } }
    return try body()
  }
  private static let sources = [SIGINT, SIGTERM].map { number in
    signal(number, SIG_IGN)
    let queue = DispatchQueue(label: "lamina.interruption")
    let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
    source.setEventHandler {
      let waits = requests.withLock { requests in
        requests.count += 1
        return requests.finishes && requests.count == 1
      }
      if waits { return }
      output.withLock { path in
        if let path {
          for attempt in 0..<100 { unlink("\(path).\(getpid()).\(attempt).tmp") }
        }
        if Terminal.isWatched { Terminal.draw("\r\u{1B}[K") }
        _exit(number == SIGINT ? ExitStatus.interrupted.rawValue : 128 + number)
      }
    }
    source.resume()
    return source
  }

  /// Starts to watch.
  static func watch() { _ = sources }

  /// Runs `body`, which writes `path` by way of a temporary file `PATH.PID.N.tmp`.
  static func removingTemporaryFile<T>(of path: String, _ body: () throws -> T) rethrows -> T {
    output.withLock { $0 = path }
    defer { output.withLock { $0 = nil } }
    return try body()
  }
}
