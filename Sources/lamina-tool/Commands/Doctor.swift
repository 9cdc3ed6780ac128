import Lamina

extension Command {
  private static let probe = Option(
    name: "probe", help: "measure what the processor can do; takes some seconds")

  static let doctor = Command(
    name: "doctor", summary: "tell what Lamina finds on this machine", options: [probe, .json],
    example: """
      $ lamina doctor
      Put its output into a bug report.
      """
  ) { arguments in
    let sets = Processor.instructionSets.joined(separator: ", ")
    let caches = [1, 2, 3].compactMap { level in
      Processor.cacheBytes(level: level).map { "L\(level) \($0 >> 10) KiB" }
    }
    var findings: [(String, String)] = [
      ("lamina", laminaVersion),
      ("processor", Processor.model),
      ("instruction sets", sets),
      ("in use", Processor.instructionSet),
      ("caches", caches.isEmpty ? "unknown" : caches.joined(separator: ", ")),
      ("threads", String(ThreadPool.defaultThreadCount)),
      ("processors online", String(System.processorCount)),
      ("affinity mask", System.affinity.map(String.init) ?? "none"),
      ("cgroup quota", System.cgroupQuota.map { "\($0.decimal(2)) processors" } ?? "none"),
      ("memory", "\(System.memory >> 20) MiB"),
      ("system", System.description),
    ]
    findings += ImageLibraries.versions.map { ($0.name, $0.version) }
    let measured = arguments.has(probe) ? try MachineProbe() : nil
    if arguments.has(.json) {
      var members = findings.map {
        JSON.Member(String($0.0.map { $0 == " " ? "_" : $0 }), .string($0.1))
      }
      if let measured { members.append(JSON.Member("probe", measured.json)) }
      try Terminal.write(JSON.object(members).text(pretty: true) + "\n")
    } else {
      try Terminal.write(Table(findings.map { [$0.0, $0.1] } + (measured?.rows ?? [])).text)
    }
    return .done
  }
}
