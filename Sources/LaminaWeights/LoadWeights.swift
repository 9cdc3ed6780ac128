import LaminaCore

/// How strictly weights must fit.
public struct LoadOptions: Sendable, Hashable {
  /// Whether a missing, unused or mismatched tensor is an error. Otherwise it is only reported.
  public var isStrict = true
  /// Parameters that keep their present values, such as a new head: `fc.*`. Tensors of the file
  /// under these names are ignored.
  public var reinitialise: [KeyPattern] = []
  /// Bounds on memory.
  public var limits = Limits()

  /// Strict, nothing reinitialised.
  public init(isStrict: Bool = true, reinitialise: [KeyPattern] = [], limits: Limits = Limits()) {
    self.isStrict = isStrict
    self.reinitialise = reinitialise
    self.limits = limits
  }
}

extension Model {
  /// The same model with the tensors of `source` as its parameters, and a report.
  ///
  /// `float16`, `bfloat16` and `float64` become `float32` where the parameter is `float32`.
  ///
  /// - Throws: `weights` listing every problem when the file does not fit: in strict mode every
  ///   missing, unused and mismatched tensor; in any mode when no tensor fits, when two tensors
  ///   claim one parameter, or when a pattern of `reinitialise` names no parameter. Also what
  ///   `source` throws.
  public func loadingWeights(
    from source: any TensorSource, keyMap: KeyMap = KeyMap(), options: LoadOptions = LoadOptions()
  ) throws -> (model: Model, report: LoadReport) {
    try loadingWeights(from: source, keyMaps: [keyMap], options: options)
  }

  /// As with one map, by the map under which the most tensors fit; of equal ones the first.
  public func loadingWeights(
    from source: any TensorSource, keyMaps: [KeyMap], options: LoadOptions = LoadOptions()
  ) throws -> (model: Model, report: LoadReport) {
    let expected = try parameterSpecs()
    var loader = try WeightLoader.best(source, keyMaps, options, expected)
    let loaded = try loader.read()
    let report = loader.report
    guard !report.loaded.isEmpty else { throw loader.nothingMatched() }
    if options.isStrict, !report.isComplete {
      throw LaminaError(
        .weights, "\(report.summary): \(report.problems.joined(separator: "; "))",
        path: source.provenance)
    }
    let model = try replacingParameters(parameters.merging(loaded) { $1 })
    return (model, report)
  }

  /// The spec of every tensor that the graph's nodes are bound to, by key.
  func parameterSpecs() throws -> [String: TensorSpec] {
    var specs: [String: TensorSpec] = [:]
    for slot in try graph.parameterSlots(parameters: parameters) {
      if case .tensor(let key) = slot.binding { specs[key] = slot.spec.spec }
    }
    return specs
  }
}

private struct WeightLoader {
  let source: any TensorSource
  let keyMap: KeyMap
  let options: LoadOptions
  let expected: [String: TensorSpec]
  var report: LoadReport
  /// Name in the file by name in the model.
  var sources: [String: String] = [:]
  /// Names in the file and the names they were looked up under, where the model has none such.
  var unmatched: [(source: String, target: String)] = []

  init(
    source: any TensorSource, keyMap: KeyMap, options: LoadOptions, expected: [String: TensorSpec]
  ) {
    self.source = source
    self.keyMap = keyMap
    self.options = options
    self.expected = expected
    report = LoadReport(provenance: source.provenance, origin: keyMap.origin)
  }

  /// The loader under whose map the most tensors find their parameter and the fewest do not.
  static func best(
    _ source: any TensorSource, _ keyMaps: [KeyMap], _ options: LoadOptions,
    _ expected: [String: TensorSpec]
  ) throws -> WeightLoader {
    var best: (loader: WeightLoader, score: Int)?
    var firstError: (any Error)?
    for keyMap in keyMaps.isEmpty ? [KeyMap()] : keyMaps {
      var loader = WeightLoader(
        source: source, keyMap: keyMap, options: options, expected: expected)
      do {
        try loader.match()
        let score = loader.fittingCount - loader.report.missing.count - loader.report.unused.count
        if score > best?.score ?? Int.min { best = (loader, score) }
      } catch {
        firstError = firstError ?? error
      }
    }
    if let best { return best.loader }
    throw firstError ?? LaminaError(.internal, "no key map")
  }

  /// How many parameters have a tensor of their shape.
  private var fittingCount: Int {
    sources.count { key, name in
      guard let wanted = expected[key]?.shape, let spec = try? source.spec(name) else {
        return false
      }
      guard let transform = keyMap.transform(of: name) else { return spec.shape == wanted }
      return (try? transform.shape(of: spec.shape, for: wanted)) == wanted
    }
  }

  /// What tells modules apart whose order in the file says nothing: a file may have all its
  /// convolutions before all its norms.
  private enum ModuleKind: Hashable {
    case norm, dense, depthwise, pointwise, other

    init(_ module: Substring, hasStatistics: Bool, weight: Shape?) {
      self =
        if hasStatistics {
          .norm
        } else if weight?.rank == 2 {
          .dense
        } else if module.hasSuffix(".pointwise") {
          .pointwise
        } else if let weight, weight.rank == 4, weight[0] > 1, weight[1] == 1 {
          .depthwise
        } else {
          .other
        }
    }
  }

  /// The places of `modules` by their kinds, or one after the other where the kinds are not those of
  /// the map.
  private func places(of modules: [Substring], keys: Set<String>) -> [Int] {
    let theirs = modules.map { module in
      ModuleKind(
        module, hasStatistics: keys.contains("\(module).running_mean"),
        weight: try? source.spec("\(module).weight").shape)
    }
    let ours = keyMap.modules.map { module in
      ModuleKind(
        Substring(module), hasStatistics: expected["\(module).running_mean"] != nil,
        weight: expected["\(module).weight"]?.shape)
    }
    var free = Dictionary(grouping: ours.indices.reversed()) { ours[$0] }
    let places = theirs.compactMap { free[$0]?.popLast() }
    return places.count == modules.count ? places : Array(modules.indices)
  }

  /// The names with the model's modules in place of the file's, by kind and position.
  private func placed(_ keys: [String]) throws -> [String: String] {
    guard !keyMap.modules.isEmpty else { return [:] }
    func module(_ key: String) -> Substring { key[..<(key.lastIndex(of: ".") ?? key.startIndex)] }
    var modules: [Substring] = []
    var seen: Set<Substring> = []
    for key in keys where seen.insert(module(key)).inserted { modules.append(module(key)) }
    guard modules.count == keyMap.modules.count else {
      throw LaminaError(
        .weights, "expected \(keyMap.modules.count) layers with weights, found \(modules.count)",
        path: source.provenance)
    }
    let order = places(of: modules, keys: Set(keys))
    let places = Dictionary(uniqueKeysWithValues: zip(modules, order))
    return keys.reduce(into: [:]) { result, key in
      let module = module(key)
      guard let position = places[module] else { return }
      result[key] = keyMap.modules[position] + key.dropFirst(module.count)
    }
  }

  /// Finds the tensor of each parameter by name.
  mutating func match() throws {
    let modelKeys = expected.keys.sorted()
    for pattern in options.reinitialise {
      let matching = modelKeys.filter(pattern.matches)
      guard !matching.isEmpty else {
        let hint = nearestName(to: pattern.text, in: modelKeys).map {
          ", nearest is '\($0.escapedForDisplay())'"
        }
        throw LaminaError(
          .weights,
          "no parameter matches '\(pattern.text.escapedForDisplay())', which is to be reinitialised\(hint ?? "")"
        )
      }
      report.reinitialised += matching
    }
    report.reinitialised = Set(report.reinitialised).sorted()
    let reinitialised = Set(report.reinitialised)

    let ignoredPatterns = keyMap.ignored
    let isIgnored = { (key: String) in ignoredPatterns.contains { $0.matches(key) } }
    report.ignored = source.keys.filter(isIgnored)
    let keys = source.keys.filter { !isIgnored($0) }
    report.strippedPrefix = keyMap.commonPrefix(of: keys, modelKeys: Set(modelKeys))
    let placed = try placed(keys)
    for key in keys {
      let target = keyMap.target(
        of: placed[key] ?? String(key.dropFirst(report.strippedPrefix.count)))
      if reinitialised.contains(target) {
        report.ignored.append(key)
      } else if expected[target] == nil {
        report.unused.append(key)
        unmatched.append((key, target))
      } else if let other = sources.updateValue(key, forKey: target) {
        throw LaminaError(
          .weights,
          "tensors '\(other.escapedForDisplay())' and '\(key.escapedForDisplay())' both become '\(target.escapedForDisplay())'",
          path: source.provenance)
      }
    }
    report.missing = modelKeys.filter { sources[$0] == nil && !reinitialised.contains($0) }
  }

  /// Reads the tensors that fit; those that do not are noted in the report.
  mutating func read() throws -> [String: Tensor] {
    // Nothing is read in vain: all shapes are compared first.
    var plans: [(key: String, source: String, shape: Shape, transform: KeyMap.Transform?)] = []
    var byteCount = 0
    for (key, name) in sources.sorted(by: { $0.key < $1.key }) {
      guard let wanted = expected[key] else { continue }
      do {
        let spec = try source.spec(name)
        let transform = keyMap.transform(of: name)
        let shape = try transform?.shape(of: spec.shape, for: wanted.shape) ?? spec.shape
        let converts = wanted.type == .float32 && spec.type.isFloatingPoint
        guard shape == wanted.shape, spec.type == wanted.type || converts else {
          let found = shape == spec.shape ? "\(spec)" : "\(spec), changed to \(shape)"
          report.mismatched.append(
            LoadReport.Mismatch(
              key: key, source: name, problem: "expected \(wanted), found \(found)"))
          continue
        }
        plans.append((key, name, shape, transform))
        byteCount += wanted.byteCount
      } catch let error as LaminaError where error.code == .unsupported || error.code == .weights {
        report.mismatched.append(
          LoadReport.Mismatch(key: key, source: name, problem: error.message))
      }
    }
    report.loaded = plans.map { LoadReport.Loaded(key: $0.key, source: $0.source) }
    if options.isStrict, !report.isComplete { return [:] }
    try options.limits.checkMemory(byteCount, for: source.provenance)
    var result: [String: Tensor] = [:]
    for plan in plans {
      var tensor = try source.tensor(plan.source, limits: options.limits)
      if let transform = plan.transform {
        tensor = try transform.apply(to: tensor, shape: plan.shape)
      }
      if expected[plan.key]?.type == .float32 {
        tensor = try withErrorPath("\(source.provenance): \(plan.source.escapedForDisplay())") {
          try tensor.convertedToFloat32()
        }
      }
      result[plan.key] = tensor
    }
    return result
  }

  /// The error when no tensor fits any parameter, with the nearest names of the first few.
  func nothingMatched() -> LaminaError {
    let modelKeys = expected.keys.sorted()
    let hints = unmatched.prefix(3).map { name in
      let nearest = nearestName(to: name.target, in: modelKeys).map {
        ", nearest is '\($0.escapedForDisplay())'"
      }
      return "'\(name.source.escapedForDisplay())'\(nearest ?? " is like no parameter")"
    }
    let examples = modelKeys.prefix(3).map { "'\($0.escapedForDisplay())'" }.joined(separator: ", ")
    let mismatches = report.mismatched.prefix(3).map {
      "'\($0.key.escapedForDisplay())': \($0.problem)"
    }
    let details = (hints + mismatches).joined(separator: "; ")
    return LaminaError(
      .weights,
      "none of \(source.keys.count) tensors fits a parameter of the model (\(examples)\(modelKeys.count > 3 ? ", …" : ""))"
        + (details.isEmpty ? "" : ": \(details)"),
      path: source.provenance)
  }
}
