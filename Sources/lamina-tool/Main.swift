import Lamina

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

@main
enum Program {
  /// When the program began.
  static let start = ContinuousClock.now

  /// Seconds since then.
  static var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }

  static func main() {
    _ = start
    Terminal.prepare()
    Interruption.watch()
    exit(run(Array(CommandLine.arguments.dropFirst())).rawValue)
  }

  static func run(_ words: [String]) -> ExitStatus {
    var place = "lamina"
    do {
      guard let first = words.first, first != "--help", first != "-h" else {
        try Terminal.write(Command.overview)
        return .done
      }
      if first == "--version" {
        try Terminal.write("lamina \(laminaVersion)\n")
        return .done
      }
      if first == "--manual" {
        try Terminal.write(Command.manualPage)
        return .done
      }
      if first == "--completions" {
        try Terminal.write(Shell(named: words.dropFirst().first ?? "").completions)
        return .done
      }
      let command = try Command.named(first)
      place = "lamina \(command.name)"
      let arguments = try Arguments(words.dropFirst(), for: command)
      if arguments.wantsHelp {
        try Terminal.write(command.help)
        return .done
      }
      return try command.run(arguments)
    } catch let error as UsageError {
      Terminal.report("\(place): \(error.message); see '\(place) --help'")
      return .usage
    } catch let error as LaminaError {
      Terminal.report("\(place): \(error)")
      return ExitStatus(error)
    } catch let error as OutputError {
      if error.number != EPIPE {
        let reason = String(cString: strerror(error.number)).lowercased()
        Terminal.report("\(place): standard output: \(reason)")
      }
      return .failure
    } catch {
      Terminal.report("\(place): \(error)".escapedForDisplay(limit: 1024))
      return .failure
    }
  }
}
