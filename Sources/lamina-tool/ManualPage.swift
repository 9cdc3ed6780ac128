import Lamina

extension Command {
  /// The manual page of the program, section 1, from the declarations that the help is made of.
  static var manualPage: String {
    let commands = all.map(\.manualSection).joined()
    return """
      .TH LAMINA 1 "" "lamina \(laminaVersion)" "User Commands"
      .SH NAME
      lamina \\- \(purpose.roff)
      .SH SYNOPSIS
      .B lamina
      .I COMMAND
      [operands] [options]
      .br
      .B lamina
      .I COMMAND
      .B \\-\\-help
      .br
      .B lamina \\-\\-version
      .SH COMMANDS
      \(commands).SH EXIT STATUS
      \(exitStatus.roff).
      .SH ENVIRONMENT
      .TP
      .B LAMINA_PLUGIN_PATH
      Absolute paths of plugins, or of folders with plugins, with : between them.
      .TP
      .B XDG_CACHE_HOME
      Where the folder lamina lies, in which is noted what became of plugins that were tried.
      .SH SEE ALSO
      .BR pkg\\-config (1)
      and the headers lamina.h, lamina_training.h and lamina_plugin.h.

      """
  }

  private var manualSection: String {
    let usage = [operands, "[options]"].filter { !$0.isEmpty }.joined(separator: " ")
    let options = allOptions.map { ".TP\n.B \($0.heading.roff)\n\($0.help.roff)\n" }.joined()
    return """
      .SS lamina \(name.roff) \(usage.roff)
      \((summary.prefix(1).uppercased() + summary.dropFirst()).roff).
      \(options).PP
      .nf
      \(example.roff)
      .fi

      """
  }
}

extension String {
  /// The text for a manual page: nothing in it is a request or an escape.
  fileprivate var roff: String {
    split(separator: "\n", omittingEmptySubsequences: false).map { line in
      let text = line.map { $0 == "\\" ? "\\e" : $0 == "-" ? "\\-" : String($0) }.joined()
      return text.first.map { ".'".contains($0) } ?? false ? "\\&\(text)" : text
    }.joined(separator: "\n")
  }
}
