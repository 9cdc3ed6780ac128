import LaminaCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The plugins of this process by their files: a library is loaded once and never closed.
private let loadedPlugins = Mutex<[PluginFile: Plugin]>([:])

/// The plugins of the program's own by the addresses of their entry functions, which are immortal.
private let ownPlugins = Mutex<[Int: Plugin]>([:])

/// How plugins are looked at before they are loaded.
public struct PluginOptions: Sendable {
  /// Longest that a plugin may take in the child process in which it is loaded first.
  public var probeSeconds = 5.0
  /// Folder of the verdicts on plugins; nil: in the user's cache folder.
  public var cacheFolder: String?
  /// Whether a plugin that crashed or hung before is given another try.
  public var retries = false

  /// 5 s, the user's folder, no other try.
  public init() {}
}

extension Plugin {
  /// Loads a shared library. One that was not seen before is loaded by a child process first: what crashes or hangs
  /// there is not loaded, now or later, until its file changes.
  ///
  /// A plugin is code: to load one is like linking it. Nothing loads a plugin because a model asks for it.
  ///
  /// - Parameter logger: receives what the plugin logs, beside those of earlier loads of the same file.
  /// - Throws: `notFound`, `io`; `argument` for a file that others may write; `format` when it is no library or no
  ///   plugin, or its tables break a rule; `unsupported` when it was made for another interface, or is in quarantine;
  ///   `state` when the process has loaded another file from the path.
  public static func load(
    path: String, options: PluginOptions = PluginOptions(), logger: (any PluginLogger)? = nil
  ) throws -> Plugin {
    let file = try PluginFile(path: path)
    if let plugin = loadedPlugins.withLock({ $0[file] }) {
      if let logger { plugin.log.add(logger) }
      return plugin
    }
    return try withErrorPath(path.escapedForDisplay(limit: 512)) {
      // The system gives what it loaded from a path for as long as the process lives.
      guard !loadedPlugins.withLock({ $0.keys.contains { $0.path == file.path && $0 != file } })
      else {
        throw LaminaError(
          .state, "another file was loaded from this path; a new process loads the one there now")
      }
      try probe(file, options)
      let plugin = try Plugin(entry: entry(of: file), path: file.path, logger: logger)
      return loadedPlugins.withLock { plugins in
        if let other = plugins[file] {
          if let logger { other.log.add(logger) }
          return other
        }
        plugins[file] = plugin
        return plugin
      }
    }
  }

  /// Loads the libraries of a list of absolute paths with `:` between them; for a folder those in it whose names end in
  /// `.so`, sorted.
  ///
  /// - Throws: what is wrong with any of them, all at once.
  public static func load(
    list: String, options: PluginOptions = PluginOptions(), logger: (any PluginLogger)? = nil
  ) throws -> [Plugin] {
    var problems: [LaminaError] = []
    var plugins: [Plugin] = []
    for entry in list.split(separator: ":").map(String.init) {
      do {
        guard entry.hasPrefix("/"), !entry.split(separator: "/").contains("..") else {
          throw LaminaError(
            .argument, "expected an absolute path without '..'",
            path: entry.escapedForDisplay(limit: 512))
        }
        for path in libraries(in: entry) ?? [entry] {
          do {
            plugins.append(try load(path: path, options: options, logger: logger))
          } catch let error as LaminaError {
            problems.append(error)
          }
        }
      } catch let error as LaminaError {
        problems.append(error)
      }
    }
    if let error = LaminaError.combining(problems) { throw error }
    return plugins
  }

  /// Loads what the variable `LAMINA_PLUGIN_PATH` lists; it does not count in a program that runs with more rights
  /// than its caller has.
  ///
  /// - Throws: as `load(list:)`, with the variable's name.
  public static func loadEnvironment(
    options: PluginOptions = PluginOptions(), logger: (any PluginLogger)? = nil
  ) throws -> [Plugin] {
    guard getuid() == geteuid(), getgid() == getegid() else { return [] }
    guard let value = getenv("LAMINA_PLUGIN_PATH") else { return [] }
    do {
      return try load(list: String(cString: value), options: options, logger: logger)
    } catch let error as LaminaError {
      throw LaminaError(error.code, error.description, path: "LAMINA_PLUGIN_PATH")
    }
  }

  /// The plugin whose tables `entry`, a function of the program's own, returns: one for all who ask.
  ///
  /// - Parameter logger: receives what the plugin logs, beside those of earlier calls with the same function.
  /// - Throws: as `init(entry:)`.
  package static func load(entry: Entry, logger: (any PluginLogger)? = nil) throws -> Plugin {
    let address = unsafeBitCast(entry, to: Int.self)
    let known = ownPlugins.withLock { $0[address] }
    let made = try known ?? Plugin(entry: entry)
    let plugin = ownPlugins.withLock { plugins in
      let plugin = plugins[address] ?? made
      plugins[address] = plugin
      return plugin
    }
    if let logger { plugin.log.add(logger) }
    return plugin
  }

  /// The libraries in a folder; nil when it is none.
  private static func libraries(in path: String) -> [String]? {
    guard let folder = opendir(path) else { return nil }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name.hasSuffix(".so"), !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted().map { "\(path)/\($0)" }
  }

  private static func probe(_ file: PluginFile, _ options: PluginOptions) throws {
    let verdicts = PluginVerdicts(folder: options.cacheFolder)
    if !options.retries, let verdict = verdicts.verdict(on: file) {
      guard let reason = verdict.reason else { return }
      throw LaminaError(
        .unsupported,
        "in quarantine since it \(reason) when it was loaded; 'lamina plugin retry' loads it again")
    }
    switch try PluginProbe.run(
      seconds: options.probeSeconds,
      {
        _ = try Plugin(entry: entry(of: file))
        return ""
      })
    {
    case .done: verdicts.record(PluginVerdicts.Verdict(reason: nil), on: file)
    case .failed(let error):
      verdicts.forget(file)
      throw error
    case .lost(let reason):
      verdicts.record(PluginVerdicts.Verdict(reason: reason), on: file)
      throw LaminaError(.unsupported, "\(reason) when it was loaded by a process of its own")
    }
  }

  /// Opens the library and finds its one function.
  static func entry(of file: PluginFile) throws -> Entry {
    guard let library = dlopen(file.path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) else {
      var reason = dlerror().map { String(cString: $0) } ?? "no reason"
      if reason.hasPrefix("\(file.path): ") { reason.removeFirst(file.path.count + 2) }
      throw LaminaError(.format, "the system does not load it: \(reason)")
    }
    guard let symbol = dlsym(library, "lamina_plugin_entry") else {
      throw LaminaError(.format, "expected a function lamina_plugin_entry, found none: no plugin")
    }
    return unsafeBitCast(symbol, to: Entry.self)
  }
}
