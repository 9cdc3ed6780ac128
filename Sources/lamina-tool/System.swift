import Lamina

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Questions to the operating system.
enum System {
  static func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The folder that relative paths begin at; nil when it is gone.
  static var workingFolder: String? { absolutePath(".") }

  /// The path from the root to what lies at `path`, links followed; nil when nothing does.
  static func absolutePath(_ path: String) -> String? {
    guard let found = realpath(path, nil) else { return nil }
    defer { free(found) }
    return String(cString: found)
  }

  /// Makes relative paths begin at another folder; false when it cannot be entered.
  static func enter(_ folder: String) -> Bool { chdir(folder) == 0 }

  /// Whether two paths lead to one file, by links or otherwise.
  static func isSameFile(_ a: String, _ b: String) -> Bool {
    var first = stat()
    var second = stat()
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev
      && first.st_ino == second.st_ino
  }

  /// What the files of /proc and /sys hold, whose sizes are 0; empty when the file cannot be read.
  static func text(of path: String) -> String {
    guard let file = fopen(path, "re") else { return "" }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&buffer, 1, buffer.count, file)
    return String(decoding: buffer[..<count], as: UTF8.self)
  }

  /// What the kernel says about this process under `name`.
  private static func status(_ name: String) -> Substring? {
    let lines = text(of: "/proc/self/status").split(separator: "\n")
    return lines.first { $0.hasPrefix("\(name):") }?.dropFirst(name.count + 1)
  }

  /// Most bytes of memory that this process had at once.
  static var peakMemory: Int? {
    let words = status("VmHWM")?.split(whereSeparator: \.isWhitespace)
    return words?.first.flatMap { Int($0) }.map { $0 << 10 }
  }

  /// Processors in the affinity mask of this process.
  static var affinity: Int? {
    status("Cpus_allowed")?.reduce(0) { $0 + ($1.hexDigitValue ?? 0).nonzeroBitCount }
  }

  /// Processors' worth of time that the cgroup of this process may use.
  static var cgroupQuota: Double? {
    let groups = text(of: "/proc/self/cgroup").split(separator: "\n")
    let group = groups.first { $0.hasPrefix("0::") }?.dropFirst(3) ?? "/"
    for path in ["/sys/fs/cgroup\(group)/cpu.max", "/sys/fs/cgroup/cpu.max"] {
      let numbers = text(of: path).split(whereSeparator: \.isWhitespace).map { Double($0) }
      if numbers.count == 2, let quota = numbers[0], let period = numbers[1], period > 0 {
        return quota / period
      }
    }
    return nil
  }

  /// Memory of the machine, in bytes.
  static var memory: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// Processors that are switched on.
  static var processorCount: Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }

  /// Name, release and architecture of the operating system.
  static var description: String {
    var names = utsname()
    guard uname(&names) == 0 else { return "unknown" }
    func text<T>(_ field: T) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    return "\(text(names.sysname)) \(text(names.release)) \(text(names.machine))"
  }
}

extension Double {
  /// The number with `places` digits behind the point.
  func decimal(_ places: Int) -> String { formatted("%.*f", places) }

  /// The number with so many digits in all, with an exponent where it is small or large.
  func significant(_ digits: Int) -> String { formatted("%.*g", digits) }

  private func formatted(_ format: String, _ digits: Int) -> String {
    var buffer = [CChar](repeating: 0, count: 400)
    let count = withVaList([Int32(digits), self]) { vsnprintf(&buffer, buffer.count, format, $0) }
    return String(
      decoding: buffer.prefix(Int(max(count, 0))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
