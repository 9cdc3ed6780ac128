import LaminaCore

/// The validator of plugins: loads one, and tries each of its layer classes in many ways, every case in a process of
/// its own with a time limit, so that what crashes, hangs or ends the process is a case that failed.
public struct PluginCheck: Sendable {
  /// What came of a case.
  public enum Outcome: Sendable, Hashable {
    case passed
    /// What was expected, and what was found.
    case failed(String)
    /// Why there was nothing to try.
    case skipped(String)
  }

  /// A case that was tried.
  public struct Result: Sendable {
    /// The layer class; empty for the plugin as a whole.
    public var kind: String
    /// Which case.
    public var name: String
    /// What came of it.
    public var outcome: Outcome
    /// How long it took.
    public var seconds: Double
  }

  /// What came of all cases.
  public struct Report: Sendable {
    /// Id of the plugin; empty when it was not loaded.
    public fileprivate(set) var id = ""
    /// Version of the plugin.
    public fileprivate(set) var version = ""
    /// Every case in order.
    public fileprivate(set) var results: [Result] = []
    /// Whether none failed.
    public var passed: Bool {
      results.allSatisfy { if case .failed = $0.outcome { false } else { true } }
    }
  }

  /// Attributes of the layers that are made.
  public var attributes = Attributes()
  /// Shapes of the inputs; nil: a list of usual ones, of which those count that the layer accepts.
  public var inputs: [Shape]?
  /// What the elements of inputs and parameters follow from: the same seed gives the same case again.
  public var seed: UInt64 = 1
  /// Longest that a case may take.
  public var secondsPerCase = 20.0
  /// The one case to try; nil: all.
  public var only: String?

  /// No attributes, usual inputs, seed 1, 20 s, all cases.
  public init() {}

  /// The names of all cases: first those of the plugin as a whole, then those of each layer class.
  public static var caseNames: [String] {
    ["load"] + pluginCases.map(\.name) + layerClassCases.map(\.name)
  }

  /// Tries the plugin in a file.
  ///
  /// - Parameter report: is told each result at once.
  /// - Throws: `argument` for an unknown case; `notFound` or `io` when there is no such file, or the system makes no
  ///   process; what `report` throws.
  public func run(path: String, report: (Result) throws -> Void) throws -> Report {
    if let only, !Self.caseNames.contains(only) {
      let hint = nearestName(to: only, in: Self.caseNames).map { ", nearest is '\($0)'" } ?? ""
      throw LaminaError(.argument, "unknown case '\(only.escapedForDisplay())'\(hint)")
    }
    var result = Report()
    func add(_ kind: String, _ name: String, _ body: () throws -> Outcome) throws {
      let start = ContinuousClock.now
      let outcome = try body()
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      result.results.append(Result(kind: kind, name: name, outcome: outcome, seconds: seconds))
      if let last = result.results.last { try report(last) }
    }
    var kinds: [String] = []
    var file: PluginFile?
    try add("", "load") {
      do {
        let found = try PluginFile(path: path)
        let (outcome, text) = try isolated {
          let plugin = try Plugin(entry: Plugin.entry(of: found))
          return
            ([plugin.id, plugin.version.escapedForDisplay()] + plugin.classes.map(\.kind.name))
            .joined(separator: "\n")
        }
        var facts = text.split(separator: "\n").map(String.init)[...]
        result.id = facts.popFirst() ?? ""
        result.version = facts.popFirst() ?? ""
        kinds = Array(facts)
        if case .passed = outcome { file = found }
        return outcome
      } catch let error as LaminaError where error.code != .notFound && error.code != .io {
        return .failed(error.message)
      }
    }
    guard let file else { return result }
    for row in pluginCases where only == nil || only == row.name {
      try add("", row.name) {
        try isolated {
          try row.body(file)
          return ""
        }.outcome
      }
    }
    for (index, kind) in kinds.enumerated() {
      for row in layerClassCases where only == nil || only == row.name {
        try add(kind, row.name) {
          try isolated {
            let plugin = try Plugin(entry: Plugin.entry(of: file))
            guard plugin.classes.indices.contains(index) else {
              throw LaminaError(
                .format,
                "expected a layer class at \(index) as before, found \(plugin.classes.count)")
            }
            try row.body(
              CheckSubject(plugin: plugin, layerClass: plugin.classes[index], check: self))
            return ""
          }.outcome
        }
      }
    }
    return result
  }

  /// Runs a case in a process of its own; what it returns is the text.
  private func isolated(
    _ body: () throws -> String
  ) throws -> (outcome: Outcome, text: String) {
    let verdict = try PluginProbe.run(seconds: secondsPerCase) {
      do {
        return "+" + (try body())
      } catch let reason as DoesNotApply {
        return "-" + reason.text
      } catch let error as LaminaError {
        throw LaminaError(error.code, error.description)
      }
    }
    switch verdict {
    case .done(let text) where text.hasPrefix("-"): return (.skipped(String(text.dropFirst())), "")
    case .done(let text): return (.passed, String(text.dropFirst()))
    case .failed(let error): return (.failed(error.message), "")
    case .lost(let reason): return (.failed(reason), "")
    }
  }
}

/// Thrown by a case that has nothing to try.
struct DoesNotApply: Error {
  let text: String

  init(_ text: String) { self.text = text }
}

/// A case of the plugin as a whole, tried with its file.
struct PluginCase: Sendable {
  let name: String
  let body: @Sendable (PluginFile) throws -> Void
}

/// A case of a layer class.
struct LayerClassCase: Sendable {
  let name: String
  let body: @Sendable (CheckSubject) throws -> Void
}

/// The cases of a plugin behind `load`.
let pluginCases: [PluginCase] = [
  PluginCase(name: "entry-twice", body: entryTwice),
  PluginCase(name: "entry-newer-host", body: entryNewerHost),
  PluginCase(name: "entry-on-threads", body: entryOnThreads),
  PluginCase(name: "entry-leaves-process", body: entryLeavesProcess),
  PluginCase(name: "decoder-other-files", body: decoderOtherFiles),
]

/// The cases of each layer class, from its table to its backward pass.
let layerClassCases: [LayerClassCase] = [
  LayerClassCase(name: "table", body: tableIsConsistent),
  LayerClassCase(name: "attribute-names", body: attributeNames),
  LayerClassCase(name: "extension-unknown", body: extensionUnknown),

  LayerClassCase(name: "create", body: createWorks),
  LayerClassCase(name: "create-unknown-attribute", body: createUnknownAttribute),
  LayerClassCase(name: "create-wrong-types", body: createWrongTypes),
  LayerClassCase(name: "create-extremes", body: createExtremes),
  LayerClassCase(name: "create-failure", body: createFailure),
  LayerClassCase(name: "create-alike", body: createAlike),
  LayerClassCase(name: "create-many", body: createMany),
  LayerClassCase(name: "create-on-threads", body: createOnThreads),
  LayerClassCase(name: "create-memory", body: createMemory),
  LayerClassCase(name: "outputs-count", body: outputsCount),

  LayerClassCase(name: "shapes", body: shapesAccepted),
  LayerClassCase(name: "shapes-ranks", body: shapesRanks),
  LayerClassCase(name: "shapes-types", body: shapesTypes),
  LayerClassCase(name: "shapes-batch", body: shapesBatch),
  LayerClassCase(name: "shapes-zero", body: shapesZero),
  LayerClassCase(name: "shapes-odd", body: shapesOdd),
  LayerClassCase(name: "shapes-huge", body: shapesHuge),
  LayerClassCase(name: "shapes-twice", body: shapesTwice),
  LayerClassCase(name: "shapes-on-threads", body: shapesOnThreads),
  LayerClassCase(name: "shapes-newer-host", body: shapesNewerHost),
  LayerClassCase(name: "inputs-too-few", body: inputsTooFew),
  LayerClassCase(name: "inputs-too-many", body: inputsTooMany),
  LayerClassCase(name: "errors", body: errorsFit),
  LayerClassCase(name: "parameters-twice", body: parametersTwice),
  LayerClassCase(name: "parameters-capacity", body: parametersCapacity),

  LayerClassCase(name: "forward-writes-all", body: forwardWritesAll),
  LayerClassCase(name: "forward-twice", body: forwardTwice),
  LayerClassCase(name: "forward-guards", body: forwardGuards),
  LayerClassCase(name: "forward-inputs", body: forwardInputs),
  LayerClassCase(name: "forward-unaligned", body: forwardUnaligned),
  LayerClassCase(name: "forward-threads", body: forwardThreads),
  LayerClassCase(name: "forward-concurrent", body: forwardConcurrent),
  LayerClassCase(name: "forward-instances", body: forwardInstances),
  LayerClassCase(name: "forward-reentry", body: forwardReentry),
  LayerClassCase(name: "forward-nan", body: forwardNaN),
  LayerClassCase(name: "forward-infinity", body: forwardInfinity),
  LayerClassCase(name: "forward-denormals", body: forwardDenormals),
  LayerClassCase(name: "forward-batch", body: forwardBatch),
  LayerClassCase(name: "forward-in-place", body: forwardInPlace),
  LayerClassCase(name: "forward-training", body: forwardTraining),
  LayerClassCase(name: "forward-buffers", body: forwardBuffers),
  LayerClassCase(name: "forward-keeps-nothing", body: forwardKeepsNothing),
  LayerClassCase(name: "forward-leaves-process", body: forwardLeavesProcess),
  LayerClassCase(name: "forward-memory", body: forwardMemory),
  LayerClassCase(name: "graph", body: graphRuns),

  LayerClassCase(name: "gradient-inputs", body: gradientInputs),
  LayerClassCase(name: "gradient-parameters", body: gradientParameters),
  LayerClassCase(name: "backward-adds", body: backwardAdds),
  LayerClassCase(name: "backward-unwanted", body: backwardUnwanted),
  LayerClassCase(name: "backward-zero", body: backwardZero),
  LayerClassCase(name: "backward-twice", body: backwardTwice),
  LayerClassCase(name: "backward-guards", body: backwardGuards),
  LayerClassCase(name: "backward-inputs", body: backwardInputs),
  LayerClassCase(name: "backward-threads", body: backwardThreads),
  LayerClassCase(name: "backward-concurrent", body: backwardConcurrent),
  LayerClassCase(name: "backward-nan", body: backwardNaN),
  LayerClassCase(name: "backward-memory", body: backwardMemory),
]
