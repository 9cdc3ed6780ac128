import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Runs code that may crash, hang or end the process in a child of this one, in a group of its own.
enum PluginProbe {
  /// How the child fared.
  enum Verdict {
    /// It did all, and gave this text.
    case done(String)
    /// It said what was wrong.
    case failed(LaminaError)
    /// It did not come back; how it ended, for people.
    case lost(String)
  }

  /// Memory that the child may take beyond what the process has.
  private static let memoryBytes = 4 << 30

  /// Most bytes of the text that a child gives.
  private static let textLimit = 1 << 20

  /// Children that may take too long: one also does when another thread of this process held a lock as it was made,
  /// which it never sees released, whatever the plugin does.
  private static let attempts = 2

  /// Runs `body` in a child for at most `seconds`, and once more where that was too short, and ends each child with all
  /// that it started.
  ///
  /// - Throws: `io` when the system makes no child.
  static func run(seconds: Double, _ body: () throws -> String) throws -> Verdict {
    #if os(Linux)
      for _ in 0..<attempts {
        if let verdict = try attempt(seconds, body) { return verdict }
      }
      return .lost("took longer than \(Int(seconds)) s")
    #else
      return .done(try body())
    #endif
  }

  #if os(Linux)
    /// nil for a child that took longer.
    private static func attempt(_ seconds: Double, _ body: () throws -> String) throws -> Verdict? {
      var ends: [Int32] = [-1, -1]
      guard pipe(&ends) == 0 else { throw LaminaError(.io, "the system makes no pipe") }
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      let addressSpace = Self.addressSpace
      let child = fork()
      if child == 0 {
        isolate(addressSpace, seconds)
        report(body, to: ends[1])
      }
      close(ends[1])
      defer { close(ends[0]) }
      guard child > 0 else { throw LaminaError(.io, "the system makes no process") }
      setpgid(child, child)
      let deadline = ContinuousClock.now + .seconds(seconds)
      let answer = read(from: ends[0], until: deadline)
      var status: Int32 = 0
      var hasEnded = false
      while answer == nil, !hasEnded, ContinuousClock.now < deadline {
        hasEnded = waitpid(child, &status, WNOHANG) == child
        if !hasEnded { usleep(2000) }
      }
      kill(-child, SIGKILL)
      if !hasEnded {
        kill(child, SIGKILL)
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
      }
      if let answer { return answer }
      guard hasEnded else { return nil }
      let signal = status & 0x7F
      return .lost(
        signal == 0
          ? "ended the process with status \(status >> 8 & 0xFF)"
          : "ended by signal \(signal)\(name(of: signal))")
    }

    private static func name(of signal: Int32) -> String {
      switch signal {
      case SIGSEGV: " (segmentation fault)"
      case SIGABRT: " (abort)"
      case SIGILL: " (illegal instruction)"
      case SIGBUS: " (bus error)"
      case SIGFPE: " (arithmetic fault)"
      default: ""
      }
    }

    /// Bytes of address space that the process has.
    private static var addressSpace: Int {
      guard let file = fopen("/proc/self/statm", "re") else { return 0 }
      defer { fclose(file) }
      var line = [CChar](repeating: 0, count: 128)
      guard fgets(&line, 128, file) != nil else { return 0 }
      return Int(atoll(line)).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE)))
        .partialValue
    }

    /// In the child: cuts it off from what the process has to do with others.
    private static func isolate(_ addressSpace: Int, _ seconds: Double) {
      setpgid(0, 0)
      // It ends even when the process that would end it does not live to do so.
      alarm(UInt32(min(max(seconds, 0), 1e6)) + 2)
      for number in 1..<Int32(32) where number != SIGKILL && number != SIGSTOP {
        signal(number, SIG_DFL)
      }
      var none = sigset_t()
      sigemptyset(&none)
      sigprocmask(SIG_SETMASK, &none, nil)
      let null = open("/dev/null", O_RDWR)
      for descriptor in 0..<Int32(3) { dup2(null, descriptor) }
      var limit = rlimit(rlim_cur: 0, rlim_max: 0)
      setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
      if addressSpace > 0 {
        let bytes = UInt(clamping: addressSpace.addingReportingOverflow(memoryBytes).partialValue)
        limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
        setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
      }
    }

    /// In the child: runs the body, writes length, code and text of what it returns or throws, and ends.
    private static func report(_ body: () throws -> String, to descriptor: Int32) -> Never {
      var message: [UInt8] = []
      var code: Int32 = 0
      do {
        message = Array(try body().utf8.prefix(textLimit))
      } catch {
        let failure = error as? LaminaError ?? LaminaError(.internal, "\(error)")
        code = failure.code.rawValue
        message = Array(failure.message.utf8.prefix(4096))
      }
      var bytes: [UInt8] = []
      for number in [UInt32(message.count), UInt32(bitPattern: code)] {
        withUnsafeBytes(of: number) { bytes += $0 }
      }
      bytes += message
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { break }
        rest = rest.dropFirst(count)
      }
      _exit(0)
    }

    /// What the child wrote; nil when it wrote less than a whole answer before it ended or the time was over.
    private static func read(
      from descriptor: Int32, until deadline: ContinuousClock.Instant
    ) -> Verdict? {
      var bytes: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 8192)
      while true {
        if bytes.count >= 8 {
          let numbers = bytes.withUnsafeBytes {
            ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: Int32.self))
          }
          guard Int(numbers.0) <= textLimit else { return nil }
          if bytes.count >= 8 + Int(numbers.0) {
            let text = String(decoding: bytes[8..<8 + Int(numbers.0)], as: UTF8.self)
            guard numbers.1 != 0 else { return .done(text) }
            return .failed(LaminaError(LaminaError.Code(rawValue: numbers.1) ?? .internal, text))
          }
        }
        let left = (deadline - ContinuousClock.now) / .milliseconds(1)
        guard left > 0 else { return nil }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let ready = poll(&entry, 1, Int32(min(left.rounded(.up), 60_000)))
        if ready < 0, errno == EINTR { continue }
        guard ready > 0 else { continue }
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return nil }
        bytes += buffer[..<count]
      }
    }
  #endif
}
