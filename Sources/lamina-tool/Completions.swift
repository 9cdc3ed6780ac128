import Lamina

/// A shell whose completions the program can write.
enum Shell: String, CaseIterable {
  case bash, fish, zsh

  /// - Throws: `UsageError` for another shell.
  init(named name: String) throws {
    guard let shell = Shell(rawValue: name) else {
      throw UsageError("expected bash, fish or zsh, found '\(name.escapedForDisplay())'")
    }
    self = shell
  }

  /// A script that completes commands and options of `lamina`, and files behind them.
  var completions: String {
    switch self {
    case .bash: bash
    case .fish: fish
    case .zsh: zsh
    }
  }

  private var bash: String {
    let cases = Command.all.map { command in
      let names = command.allOptions.map { "--\($0.name)" } + ["--help"]
      return "    \(command.name)) words='\(names.joined(separator: " "))' ;;\n"
    }
    return """
      _lamina() {
        local current=${COMP_WORDS[COMP_CWORD]} words=
        COMPREPLY=()
        if [[ $COMP_CWORD -eq 1 ]]; then
          words='\(Command.all.map(\.name).joined(separator: " ")) --help --version'
        elif [[ $current == -* ]]; then
          case ${COMP_WORDS[1]} in
      \(cases.joined().dropLast())
          esac
        fi
        [[ -z $words ]] || COMPREPLY=($(compgen -W "$words" -- "$current"))
      }
      complete -o default -F _lamina lamina

      """
  }

  private var fish: String {
    let commands = Command.all.map { command in
      """
      complete -c lamina -n __fish_use_subcommand -f -a \(command.name) -d '\(command.summary.quoted)'
      \(command.allOptions.map { option in
        let letter = option.letter.map { " -s \($0)" } ?? ""
        let value = option.takesValue ? " -r" : ""
        return "complete -c lamina -n '__fish_seen_subcommand_from \(command.name)'"
          + " -l \(option.name)\(letter)\(value) -d '\(option.help.quoted)'\n"
      }.joined())
      """
    }
    return commands.joined()
  }

  private var zsh: String {
    let cases = Command.all.map { command in
      let options = command.allOptions.map { option in
        let names = ["--\(option.name)"] + (option.letter.map { ["-\($0)"] } ?? [])
        let before = option.repeats ? "*" : "(\(names.joined(separator: " ")))"
        let value = option.takesValue ? ":value:_files" : ""
        return names.map { " '\(before)\($0)[\(option.help.quoted.bracketed)]\(value)'" }.joined()
      }
      let arguments = options.joined() + " '--help[print help]' '*:file:_files'"
      return "    \(command.name)) _arguments\(arguments) ;;\n"
    }
    let commands = Command.all.map { " '\($0.name):\($0.summary.quoted)'" }.joined()
    return """
      #compdef lamina
      _lamina() {
        local -a commands=(\(commands) )
        if (( CURRENT == 2 )); then
          _describe command commands
          return
        fi
        shift words
        (( CURRENT-- ))
        case $words[1] in
      \(cases.joined().dropLast())
        esac
      }
      _lamina "$@"

      """
  }
}

extension Option {
  fileprivate var takesValue: Bool {
    if case .none = value { false } else { true }
  }
}

extension String {
  /// The text between single quotes that bash, fish and zsh all read the same way: without quotes and backslashes.
  fileprivate var quoted: String {
    map { $0 == "'" ? "’" : $0 == "\\" ? "/" : String($0) }.joined()
  }

  /// The text between brackets of an option of zsh.
  fileprivate var bracketed: String {
    map { "[]:".contains($0) ? "\\\($0)" : String($0) }.joined()
  }
}
