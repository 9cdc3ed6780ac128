import CLamina
import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What became of plugins when they were probed, a file for each in the user's cache folder. A verdict holds while the
/// plugin's file has the same size and time of change. Without such a folder every load probes.
struct PluginVerdicts {
  private let folder: String?

  private static let format = "lamina.plugin-verdict.1"

  /// - Parameter folder: nil: `lamina/plugins` in `XDG_CACHE_HOME`, or in `.cache` of the home folder.
  init(folder: String? = nil) {
    func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }.flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
    self.folder =
      folder
      ?? (variable("XDG_CACHE_HOME") ?? variable("HOME").map { "\($0)/.cache" }).map {
        "\($0)/lamina/plugins"
      }
  }

  /// A verdict: the reason not to load the file, or nil when there is none.
  struct Verdict {
    var reason: String?
  }

  private func path(of file: PluginFile) -> String? {
    guard let folder else { return nil }
    var sum = SHA256()
    sum.update(file.path.utf8)
    return "\(folder)/\(sum.hexadecimal().prefix(32)).json"
  }

  private func identity(_ file: PluginFile) -> [JSON.Member] {
    [
      JSON.Member("format", .string(Self.format)), JSON.Member("path", .string(file.path)),
      JSON.Member("bytes", .int(Int64(file.byteCount))),
      JSON.Member("modified", .int(file.modified)),
      JSON.Member("inode", .string(String(file.inode))),
      JSON.Member(
        "interface", .string("\(LAMINA_PLUGIN_ABI_MAJOR).\(LAMINA_PLUGIN_ABI_MINOR)")),
    ]
  }

  /// The verdict on a file as it now is.
  func verdict(on file: PluginFile) -> Verdict? {
    guard let path = path(of: file),
      let bytes = try? FileReader(path: path, maximumBytes: 1 << 16).allBytes(),
      let members = (try? JSON.parse(bytes, path: path))?.members
    else { return nil }
    for expected in identity(file)
    where members.first(where: { $0.key == expected.key })?.value != expected.value { return nil }
    return Verdict(reason: members.first { $0.key == "reason" }?.value.string)
  }

  /// Writes a verdict; where that cannot be done, the next load probes again.
  func record(_ verdict: Verdict, on file: PluginFile) {
    guard let folder, let path = path(of: file) else { return }
    var parent = ""
    for part in folder.split(separator: "/") {
      parent += "/\(part)"
      mkdir(parent, 0o700)
    }
    var members = identity(file)
    if let reason = verdict.reason { members.append(JSON.Member("reason", .string(reason))) }
    guard let writer = try? AtomicFileWriter(path: path) else { return }
    try? writer.write(Array((JSON.object(members).text(pretty: true) + "\n").utf8))
    try? writer.commit()
  }

  /// Forgets the verdict on a file.
  func forget(_ file: PluginFile) { if let path = path(of: file) { unlink(path) } }
}
