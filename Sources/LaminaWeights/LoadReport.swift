import LaminaCore

/// What became of every tensor of a weight file and of every parameter of a model.
public struct LoadReport: Sendable, Hashable {
  /// A parameter and the tensor it was read from.
  public struct Loaded: Sendable, Hashable {
    /// Name in the model.
    public var key: String
    /// Name in the file.
    public var source: String
  }

  /// A tensor that does not fit its parameter.
  public struct Mismatch: Sendable, Hashable {
    /// Name in the model.
    public var key: String
    /// Name in the file.
    public var source: String
    /// What was expected and what was found.
    public var problem: String
  }

  /// The file.
  public var provenance: String
  /// Whose names the file has, as the map that was used says: `torchvision`.
  public var origin = ""
  /// The common prefix that was taken off the file's names.
  public var strippedPrefix = ""
  /// Parameters read from the file, sorted.
  public var loaded: [Loaded] = []
  /// Parameters for which the file has no tensor, sorted.
  public var missing: [String] = []
  /// Tensors of the file that the model has no use for, in the order of the file.
  public var unused: [String] = []
  /// Tensors that do not fit, sorted.
  public var mismatched: [Mismatch] = []
  /// Tensors of the file that the map ignores, in the order of the file.
  public var ignored: [String] = []
  /// Parameters that keep their initial values because the caller said so, sorted.
  public var reinitialised: [String] = []

  /// Whether every parameter was loaded or reinitialised on purpose, and every tensor used or
  /// ignored.
  public var isComplete: Bool { missing.isEmpty && unused.isEmpty && mismatched.isEmpty }

  /// `62 loaded, 2 missing, 2 unused, 0 mismatched, 20 ignored, 0 reinitialised`.
  public var summary: String {
    "\(loaded.count) loaded, \(missing.count) missing, \(unused.count) unused, "
      + "\(mismatched.count) mismatched, \(ignored.count) ignored, \(reinitialised.count) reinitialised"
  }

  /// The problems on one line each, without a heading; empty when there are none.
  var problems: [String] {
    missing.map { "missing '\($0.escapedForDisplay())'" }
      + unused.map { "unused '\($0.escapedForDisplay())'" }
      + mismatched.map { mismatch in
        let source =
          mismatch.source == mismatch.key ? "" : " from '\(mismatch.source.escapedForDisplay())'"
        return "'\(mismatch.key.escapedForDisplay())'\(source): \(mismatch.problem)"
      }
  }

  /// The report for people: file, counts, then every problem and every reinitialised parameter.
  public var text: String {
    var lines = ["\(provenance): \(summary)"]
    if !origin.isEmpty { lines.append("names of \(origin)") }
    if !strippedPrefix.isEmpty { lines.append("prefix '\(strippedPrefix)' taken off") }
    lines += problems
    lines += reinitialised.map { "reinitialised '\($0.escapedForDisplay())'" }
    return lines.joined(separator: "\n")
  }

  /// The report for programs.
  public var json: JSON {
    func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
    return .object([
      "source": .string(provenance),
      "origin": origin.isEmpty ? nil : .string(origin),
      "stripped_prefix": strippedPrefix.isEmpty ? nil : .string(strippedPrefix),
      "loaded": .array(
        loaded.map { .object(["key": .string($0.key), "source": .string($0.source)]) }),
      "missing": strings(missing),
      "unused": strings(unused),
      "mismatched": .array(
        mismatched.map {
          .object([
            "key": .string($0.key), "source": .string($0.source), "problem": .string($0.problem),
          ])
        }),
      "ignored": strings(ignored),
      "reinitialised": strings(reinitialised),
    ])
  }
}
