import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Bytes of memory that the process has in use.
func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "re") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 128)
  guard fgets(&line, 128, file) != nil else { return 0 }
  let fields = line.split(separator: CChar(32))
  guard fields.count > 1 else { return 0 }
  return Int(String(decoding: fields[1].map { UInt8(bitPattern: $0) }, as: UTF8.self))
    .map { $0 * sysconf(Int32(_SC_PAGESIZE)) } ?? 0
}

/// Calls `body` again and again and throws when memory grows by 64 bytes or more a call.
func expectNoGrowth(_ name: String, _ body: () throws -> Void) throws {
  let deadline = ContinuousClock.now + .seconds(4)
  for _ in 0..<500 where ContinuousClock.now < deadline { try body() }
  let before = residentBytes()
  var count = 0
  while count < 10_000, ContinuousClock.now < deadline {
    try body()
    count += 1
  }
  let growth = residentBytes() - before
  guard growth < max(384 << 10, 64 * count) else {
    throw LaminaError(
      .limit,
      "expected \(name) to free what it takes, found \(growth) bytes more after \(count) calls")
  }
}

/// What belongs to the whole process and a plugin may not change.
struct ProcessState {
  private let facts: [String: String]

  private let countsThreads: Bool

  /// - Parameter countsThreads: whether threads may not be started, nor files be left open.
  init(countsThreads: Bool = false) {
    self.countsThreads = countsThreads
    var facts: [String: String] = [:]
    facts["the locale"] = setlocale(LC_ALL, nil).map { String(cString: $0) }
    facts["the working directory"] = getcwd(nil, 0).map { folder in
      defer { free(folder) }
      return String(cString: folder)
    }
    var mask = sigset_t()
    sigprocmask(SIG_BLOCK, nil, &mask)
    facts["the mask of signals"] = withUnsafeBytes(of: mask) { "\($0.prefix(8).map { $0 })" }
    for number in 1..<Int32(32) {
      var action = sigaction()
      sigaction(number, nil, &action)
      facts["the handler of signal \(number)"] = withUnsafeBytes(of: action) {
        "\($0.prefix(8).map { $0 })"
      }
    }
    facts["the rounding of numbers"] = "\(fegetround())"
    facts["how denormal numbers count"] = "\(Self.halved(.leastNormalMagnitude) > 0)"
    if countsThreads {
      facts["the number of threads"] = Self.entries(of: "/proc/self/task")
      facts["the number of open files"] = Self.entries(of: "/proc/self/fd")
    }
    self.facts = facts
  }

  @inline(never) private static func halved(_ number: Float) -> Float { number / 2 }

  private static func entries(of path: String) -> String? {
    guard let folder = opendir(path) else { return nil }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return "\(count)"
  }

  /// Throws what `function` changed.
  func expectSame(after function: String) throws {
    let now = ProcessState(countsThreads: countsThreads).facts
    let changed = facts.keys.sorted().filter { facts[$0] != now[$0] }
    guard changed.isEmpty else {
      throw LaminaError(.format, "\(function) changes \(changed.joined(separator: ", "))")
    }
  }
}
