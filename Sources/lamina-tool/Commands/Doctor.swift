import Lamina

extension Command {
  static let doctor = Command(
    name: "doctor", summary: "tell what Lamina finds on this machine", options: [.json],
    example: """
      $ lamina doctor
      Put its output into a bug report.
      """
  ) { arguments in
    let sets = Processor.instructionSets.joined(separator: ", ")
    let findings: [(String, String)] =
      [
        ("lamina", laminaVersion),
        ("processor", System.processorModel),
        ("instruction sets", sets),
        ("in use", Processor.instructionSet),
        ("threads", String(ThreadPool.defaultThreadCount)),
        ("processors online", String(System.processorCount)),
        ("affinity mask", System.affinity.map(String.init) ?? "none"),
        ("cgroup quota", System.cgroupQuota.map { "\($0.decimal(2)) processors" } ?? "none"),
        ("memory", "\(System.memory >> 20) MiB"),
        ("system", System.description),
      ] + ImageLibraries.versions.map { ($0.name, $0.version) }
    if arguments.has(.json) {
      let members = findings.map {
        JSON.Member(String($0.0.map { $0 == " " ? "_" : $0 }), .string($0.1))
      }
      try Terminal.write(JSON.object(members).text(pretty: true) + "\n")
    } else {
      try Terminal.write(Table(findings.map { [$0.0, $0.1] }).text)
    }
    return .done
  }
}
