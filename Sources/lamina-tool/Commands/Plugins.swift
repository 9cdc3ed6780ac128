import Lamina

extension Option {
  static let plugin = Option(
    name: "plugin", value: .text("FILE"), repeats: true,
    help: "load a plugin, beside those of LAMINA_PLUGIN_PATH; may be given more than once")

  static let pluginReplace = Option(
    name: "plugin-replace", value: .text("FILE"), repeats: true,
    help: "the same, but its layers take the place of present ones of their kinds")

  static let plugins = [plugin, pluginReplace]
}

extension Arguments {
  /// The standard layers, those of the plugins in `LAMINA_PLUGIN_PATH`, those of `--plugin`, and in the place of these
  /// those of `--plugin-replace`.
  ///
  /// - Throws: what is wrong with a plugin; `argument` when a kind is taken.
  func registry() throws -> LayerRegistry {
    let replacing = try list(.pluginReplace).map(plugin)
    let others = try plugins(list(.plugin)).filter { plugin in
      !replacing.contains { $0 === plugin }
    }
    return try replacing.reduce(LayerRegistry.standard.adding(others)) {
      try $0.adding($1, replacing: true)
    }
  }

  /// How pictures are decoded: by Lamina, and by all these plugins.
  ///
  /// - Throws: what is wrong with a plugin.
  func decoding() throws -> ImageDecodingOptions {
    ImageDecodingOptions(
      decoders: try plugins(Option.plugins.flatMap(list)).flatMap(\.imageDecoders))
  }

  fileprivate func plugins(_ paths: [String]) throws -> [Plugin] {
    try Plugin.loadEnvironment(logger: PluginMessages.shared) + paths.map(plugin)
  }

  private func plugin(_ path: String) throws -> Plugin {
    try Plugin.load(path: path, logger: PluginMessages.shared)
  }
}

/// Shows what plugins log.
private final class PluginMessages: PluginLogger {
  static let shared = PluginMessages()

  func pluginLogs(_ level: Int, _ message: String) { Terminal.report("plugin: \(message)") }
}

extension Command {
  static let plugin = Command(
    name: "plugin", summary: "tell what plugins supply, check one, or begin a new one",
    operands: "list|info|check|new|retry [FILE…]", operandCount: 1...Int.max,
    options: [
      .json, .checkCase, .checkSeed, .checkSeconds, .checkAttributes, .checkInput, .language,
      .folder, .package,
    ],
    example: """
      $ lamina plugin info ./mish.so
      com.example.mish 1.0.0 of Example, for interface 1.0
        com.example.mish  version 1, 1 input, can be trained through
      'list' shows those of LAMINA_PLUGIN_PATH too. 'retry' loads a plugin that is in quarantine.
      $ lamina plugin new --language c prelu && cd prelu && make
      $ lamina plugin check ./prelu.so
      ./prelu.so
        passed   load
        …
      'new NAME' writes a plugin with one layer, to be changed. 'check FILE' tries every layer of
      a plugin in some 60 ways, each in a process of its own; exit status 1: one of them failed.
      """
  ) { arguments in
    let (verb, files) = (arguments.operands[0], Array(arguments.operands.dropFirst()))
    for (owner, options) in optionsOfVerbs where owner != verb {
      for option in options where arguments.has(option) {
        throw UsageError("'\(verb.escapedForDisplay())' takes no option '--\(option.name)'")
      }
    }
    let plugins: [Plugin]
    switch verb {
    case "check":
      return try PluginChecking(only(files, "check FILE"), arguments).run()
    case "new":
      return try PluginTemplate(only(files, "new NAME"), arguments).write()
    case "list": plugins = try arguments.plugins(files)
    case "info", "retry":
      guard !files.isEmpty else { throw UsageError("expected \(verb) FILE…, found only '\(verb)'") }
      var options = PluginOptions()
      options.retries = verb == "retry"
      plugins = try files.map {
        try Plugin.load(path: $0, options: options, logger: PluginMessages.shared)
      }
    default:
      throw UsageError(
        "expected list, info, check, new or retry, found '\(verb.escapedForDisplay())'")
    }
    if arguments.has(.json) {
      try Terminal.write(JSON.array(plugins.map(\.json)).text(pretty: true) + "\n")
    } else if verb == "list" {
      try Terminal.write(
        Table(
          plugins.map {
            [$0.id, $0.version, $0.supplies.joined(separator: ", "), $0.path]
          }
        ).text)
    } else {
      try Terminal.write(plugins.map(\.text).joined())
    }
    return .done
  }
}

/// Options that belong to one verb.
private let optionsOfVerbs: [(verb: String, options: [Option])] = [
  ("check", [.checkCase, .checkSeed, .checkSeconds, .checkAttributes, .checkInput]),
  ("new", [.language, .folder, .package]),
]

/// The one word behind a verb.
private func only(_ words: [String], _ expected: String) throws -> String {
  guard words.count == 1 else {
    let verb = expected.prefix { $0 != " " }
    let found = words.isEmpty ? "only '\(verb)'" : "\(words.count) words behind '\(verb)'"
    throw UsageError("expected \(expected), found \(found)")
  }
  return words[0]
}

extension Plugin {
  /// Kinds of layers, and of pictures.
  fileprivate var supplies: [String] {
    layers.map(\.kind.name) + imageDecoders.map { $0.name.escapedForDisplay() }
  }

  fileprivate var text: String {
    "\(id) \(version.escapedForDisplay()) of \(vendor.escapedForDisplay()), "
      + "for interface \(interface.major).\(interface.minor)\n"
      + Table(
        layers.map { ["  \($0.kind)", $0.facts] }
          + imageDecoders.map {
            [
              "  \($0.name.escapedForDisplay())",
              "decodes pictures (\($0.suffixes.joined(separator: ", ").escapedForDisplay()))",
            ]
          }
      ).text
  }

  fileprivate var json: JSON {
    .object([
      "id": .string(id), "version": .string(version), "vendor": .string(vendor),
      "path": .string(path),
      "interface": .string("\(interface.major).\(interface.minor)"),
      "layers": .array(
        layers.map { layer in
          .object([
            "kind": .string(layer.kind.name), "version": .int(Int64(layer.version)),
            "trainable": .bool(layer.gradient != .unsupported),
          ])
        }),
      "image_decoders": .array(imageDecoders.map { .string($0.name) }),
    ])
  }
}

extension LayerDefinition {
  fileprivate var facts: String {
    let inputs =
      arity.upperBound == .max
      ? "\(arity.lowerBound) or more inputs"
      : arity.count > 1
        ? "\(arity.lowerBound) to \(arity.upperBound) inputs"
        : arity.lowerBound == 1 ? "1 input" : "\(arity.lowerBound) inputs"
    let training = gradient == .unsupported ? "for inference only" : "can be trained through"
    return "version \(version), \(inputs), \(training)"
  }
}
