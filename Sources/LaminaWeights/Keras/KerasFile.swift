import LaminaCore

/// Weights of Keras: `.h5` and `.hdf5` files of Keras 1, 2 and 3, `.weights.h5` and `.keras`.
///
/// The tensors appear in Lamina's layout and under Lamina's last names: `conv1.weight` [out, in,
/// height, width], `bn.running_mean`, `fc.weight` [out, in]; of a separable convolution
/// `<layer>.depthwise.weight` and `<layer>.pointwise.weight`. A layer's name is that of the file,
/// for files without names its class and number, `conv2d_3`. Layers of models within the model have
/// no prefix unless their name is taken. Optimizer states and seeds are left out.
public struct KerasFile: TensorSource {
  private struct Entry {
    var dataset: HDF5Dataset
    var variable: KerasVariable
    var type: ElementType
  }

  /// Names in the order of the layers.
  public let keys: [String]
  /// `model.h5 (Keras)`.
  public let provenance: String
  /// The model's configuration; nil in files of weights.
  let config: JSON?
  private let entries: [String: Entry]
  private let name: String

  /// Reads names, shapes and where the numbers lie.
  ///
  /// - Throws: `format` for broken files, `unsupported` naming what is not read, `limit`, `io`.
  public init(_ source: ByteSource, limits: Limits = Limits()) throws {
    name = source.name
    var collector = Collector(name: source.name, limits: limits)
    let head = try source.bytes(0..<min(source.byteCount, 2))
    if head == [0x50, 0x4B] {
      let (weights, config) = try KerasFile.unpack(source, limits: limits)
      self.config = config
      provenance = "\(source.name) (Keras)"
      let file = try HDF5File(weights, limits: limits)
      let reader = HDF5Reader(file.format)
      try collector.collectGroups(
        file.root(reader), at: file.rootAddress, reader,
        config: try KerasConfig(config, path: "\(source.name): config.json", limits: limits))
    } else {
      let file = try HDF5File(source, limits: limits)
      let reader = HDF5Reader(file.format)
      let root = try file.root(reader)
      config = try root.strings("model_config", reader).flatMap(\.first).map {
        try JSON.parse(text: $0, path: "\(source.name): model_config", limits: limits)
      }
      let group = try file.object(["model_weights"], from: root, reader) ?? root
      if let layers = try group.strings("layer_names", reader) {
        let parsed = try config.map {
          try KerasConfig($0, path: "\(source.name): model_config", limits: limits)
        }
        provenance = "\(source.name) (Keras HDF5)"
        try collector.collectLayers(layers, of: group, reader, config: parsed)
      } else {
        provenance = "\(source.name) (Keras weights)"
        try collector.collectGroups(root, at: file.rootAddress, reader, config: nil)
      }
    }
    guard !collector.keys.isEmpty else {
      throw LaminaError(
        .format, "expected layers of Keras with weights, found none", path: source.name)
    }
    keys = collector.orderedKeys
    entries = collector.entries
  }

  // MARK: - .keras

  /// Whether a zip archive is a `.keras` file: it has a `config.json`.
  static func isArchive(_ source: ByteSource, limits: Limits) throws -> Bool {
    try ZipArchive(source, limits: limits)["config.json"] != nil
  }

  /// The weights and the configuration of a `.keras` archive.
  private static func unpack(_ source: ByteSource, limits: Limits) throws -> (ByteSource, JSON) {
    let archive = try ZipArchive(source, limits: limits)
    guard let configEntry = archive["config.json"] else {
      throw LaminaError(.format, "expected an entry 'config.json', found none", path: source.name)
    }
    guard configEntry.count <= limits.jsonBytes else {
      throw LaminaError(
        .limit, "expected at most \(limits.jsonBytes) bytes of JSON, found \(configEntry.count)",
        path: "\(source.name): config.json")
    }
    let config = try JSON.parse(
      archive.bytes(configEntry), path: "\(source.name): config.json", limits: limits)
    let path = "\(source.name): model.weights.h5"
    guard let entry = archive["model.weights.h5"] else {
      let isArrays = archive["model.weights.npz"] != nil
      throw LaminaError(
        isArrays ? .unsupported : .format,
        isArrays
          ? "weights in model.weights.npz are pickled objects: save the model with weights in hdf5"
          : "expected an entry 'model.weights.h5', found none", path: source.name)
    }
    try withErrorPath(path) { try limits.checkMemory(entry.count, for: "the entry") }
    return (.memory(try archive.bytes(entry), name: path), config)
  }

  // MARK: - Reading

  /// Shape and type of a tensor.
  public func spec(_ key: String) throws -> TensorSpec {
    guard let entry = entries[key] else { throw unknownKey(key) }
    return TensorSpec(entry.variable.shape, entry.type)
  }

  /// Reads the elements of a tensor.
  public func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws {
    guard let entry = entries[key] else { throw unknownKey(key) }
    guard target.count == entry.dataset.spec.byteCount else {
      throw LaminaError(
        .argument,
        "expected a buffer of \(entry.dataset.spec.byteCount) bytes, found \(target.count)",
        path: "\(name): \(key.escapedForDisplay())")
    }
    let permutation = entry.variable.permutation
    let stored = entry.dataset.spec.shape
    guard permutation != Array(0..<stored.rank) else { return try entry.dataset.read(into: target) }
    let tensor = try Tensor(uninitialized: stored, entry.dataset.spec.type)
    try tensor.withMutableBytes { try entry.dataset.read(into: $0) }
    let strides = stored.strides
    let view = PickleTensor(
      storage: 0, offset: 0, shape: try Shape(permutation.map { stored[$0] }),
      strides: permutation.map { strides[$0] })
    tensor.withBytes {
      view.gather(from: $0, elementBytes: entry.type.byteCount, into: target)
    }
  }

  // MARK: - Collecting

  private struct Collector {
    let name: String
    let limits: Limits
    var keys: [String] = []
    var entries: [String: Entry] = [:]
    private var modules: Set<String> = []
    private var byteCount = 0
    private var hasConfig = false
    /// For files that do not tell the order of their layers: the group of each layer, where its data
    /// start, and its keys.
    private var starts: [(path: [String], position: Int, keys: Range<Int>)] = []

    /// The keys in the order of the layers. Where nothing else tells, that is the order of the
    /// numbers within a class, and of the places of their data between classes.
    var orderedKeys: [String] {
      guard !starts.isEmpty else { return keys }
      var positions: [[String]: Int] = [:]
      for start in starts {
        for depth in 1...max(start.path.count, 1) {
          positions[Array(start.path.prefix(depth)), default: .max] =
            min(positions[Array(start.path.prefix(depth)), default: .max], start.position)
        }
      }
      var ranks: [[String]: Int] = [:]
      for (_, siblings) in Dictionary(grouping: positions.keys, by: { $0.dropLast() }) {
        let byPosition = siblings.sorted {
          (positions[$0] ?? 0, $0.last ?? "") < (positions[$1] ?? 0, $1.last ?? "")
        }
        var numbered = Dictionary(grouping: siblings) { Self.className($0.last ?? "") }
          .mapValues { $0.sorted { Self.number($0.last ?? "") > Self.number($1.last ?? "") } }
        for (rank, place) in byPosition.enumerated() {
          if let next = numbered[Self.className(place.last ?? "")]?.popLast() { ranks[next] = rank }
        }
      }
      let order = starts.map { start in
        start.path.indices.map { ranks[Array(start.path[...$0])] ?? 0 }
      }
      return starts.indices.sorted { order[$0].lexicographicallyPrecedes(order[$1]) }
        .flatMap { keys[starts[$0].keys] }
    }

    init(name: String, limits: Limits) {
      self.name = name
      self.limits = limits
    }

    /// `module`, behind `scope` where that is taken; nil once that is taken too.
    private mutating func unique(_ module: String, in scope: String) throws -> String {
      if modules.insert(module).inserted { return module }
      let longer = scope.isEmpty ? module : "\(scope).\(module)"
      guard modules.insert(longer).inserted else {
        throw LaminaError(
          .format, "two layers are named '\(longer.escapedForDisplay())'", path: name)
      }
      return longer
    }

    private mutating func add(
      _ module: String, _ variable: String, of className: String?, _ object: HDF5Object,
      _ reader: HDF5Reader, path: String
    ) throws {
      let shown = "\(name): \(path.escapedForDisplay())"
      let dataset = try HDF5Dataset(object, reader, path: shown)
      let converted = try withErrorPath(shown) {
        try KerasVariable(variable, of: className, shape: dataset.spec.shape)
      }
      let isBfloat =
        try dataset.spec.type == .uint16
        && object.strings("dtype", reader)?.first == "bfloat16"
      let key = "\(module).\(converted.name)"
      let entry = Entry(
        dataset: dataset, variable: converted,
        type: isBfloat ? .bfloat16 : dataset.spec.type)
      guard entries.updateValue(entry, forKey: key) == nil else {
        throw LaminaError(
          .format, "two tensors are named '\(key.escapedForDisplay())'", path: shown)
      }
      keys.append(key)
      guard keys.count <= limits.tensorsPerFile else {
        throw LaminaError(
          .limit, "expected at most \(limits.tensorsPerFile) tensors, found more", path: name)
      }
      byteCount += dataset.spec.byteCount
      try limits.checkMemory(byteCount, for: "\(name) up to '\(key.escapedForDisplay())'")
    }

    // MARK: Layers by name

    /// The addresses of objects below a group; groups that names lead through are read once.
    private struct Members {
      private let reader: HDF5Reader
      private var groups: [[String]: [String: Int]]

      init(_ group: HDF5Object, _ reader: HDF5Reader) throws {
        self.reader = reader
        groups = [[]: Dictionary(try group.members(reader)) { first, _ in first }]
      }

      /// Names of layers and weights may have slashes: `fire2/squeeze1x1`.
      mutating func address(_ path: [String]) throws -> Int? {
        guard path.count <= 64 else { return nil }
        var address: Int?
        for depth in path.indices {
          let prefix = Array(path[..<depth])
          if groups[prefix] == nil, let address {
            let inner = try HDF5Object(reader, at: address)
            groups[prefix] =
              inner.isGroup ? Dictionary(try inner.members(reader)) { first, _ in first } : [:]
          }
          address = groups[prefix]?[path[depth]]
          if address == nil { return nil }
        }
        return address
      }
    }

    /// Files that list `layer_names`, and `weight_names` in each layer's group.
    mutating func collectLayers(
      _ layers: [String], of group: HDF5Object, _ reader: HDF5Reader, config: KerasConfig?
    ) throws {
      var classes: [String: String] = [:]
      var models: Set<String> = []
      var pending = config.map { [$0] } ?? []
      while let model = pending.popLast() {
        for layer in model.layers {
          classes[layer.name] = layer.snakeName
          if let inner = layer.model {
            pending.append(inner)
            models.insert(layer.name)
          }
        }
      }
      var members = try Members(group, reader)
      for layer in layers {
        let shown = "\(name): \(layer.escapedForDisplay())"
        guard let address = try members.address(layer.split(separator: "/").map(String.init)) else {
          throw LaminaError(.format, "expected a group of the layer, found none", path: shown)
        }
        let object = try HDF5Object(reader, at: address)
        guard let weights = try object.strings("weight_names", reader) else {
          throw LaminaError(
            .format, "expected an attribute 'weight_names', found none", path: shown)
        }
        try collectLayer(
          layer, weights, object, reader, classes: classes, isModel: models.contains(layer))
      }
    }

    private mutating func collectLayer(
      _ layer: String, _ weights: [String], _ object: HDF5Object, _ reader: HDF5Reader,
      classes: [String: String], isModel: Bool
    ) throws {
      let paths = weights.map { $0.split(separator: "/").map(String.init) }
      let scopes = Set(paths.map { $0.dropLast().last ?? "" })
      var modules: [String: String] = [:]
      var members = try Members(object, reader)
      for (weight, path) in zip(weights, paths) {
        let shown = "\(name): \(layer.escapedForDisplay())/\(weight.escapedForDisplay())"
        guard let last = path.last else {
          throw LaminaError(
            .format, "expected the name of a weight, found '\(weight.escapedForDisplay())'",
            path: shown)
        }
        guard let address = try members.address(path) else {
          throw LaminaError(.format, "expected a dataset, found none", path: shown)
        }
        let scope = path.dropLast().last ?? ""
        let inner = isModel || scopes.count > 1 ? scope : layer
        if modules[scope] == nil { modules[scope] = try unique(inner, in: layer) }
        let variable = Self.variable(last, of: layer.split(separator: "/").last ?? "")
        let siblings = paths.filter { $0.dropLast().last ?? "" == scope }.compactMap(\.last)
        let isSeparable = siblings.contains { $0.hasPrefix("pointwise_kernel") }
        let className = classes[inner] ?? (isSeparable ? "separable_conv2d" : nil)
        try add(
          modules[scope] ?? inner, variable, of: className ?? Self.className(inner),
          HDF5Object(reader, at: address), reader, path: "\(layer)/\(weight)")
      }
    }

    /// `kernel:0` → `kernel`; of Keras 1 `convolution2d_1_W` → `kernel`.
    private static func variable(_ name: String, of layer: Substring) -> String {
      let name = String(name.prefix { $0 != ":" })
      let old = [
        "_W": "kernel", "_b": "bias", "_gamma": "gamma", "_beta": "beta",
        "_running_mean": "running_mean", "_running_std": "running_std",
      ]
      guard name.hasPrefix(layer) else { return name }
      return old[String(name.dropFirst(layer.count))] ?? name
    }

    /// The number of a group among those of its class: `depthwise_conv2d_7` → 7.
    private static func number(_ group: String) -> Int {
      Int(group.dropFirst(className(group).count + 1)) ?? 0
    }

    /// The class that a group is named for: `depthwise_conv2d_7` → `depthwise_conv2d`.
    private static func className(_ group: String) -> String {
      guard let place = group.lastIndex(of: "_"),
        group[group.index(after: place)...].allSatisfy(\.isNumber), group.last != "_"
      else { return group }
      return String(group[..<place])
    }

    // MARK: Groups by class

    /// Files of Keras 3: datasets `0`, `1`, … in a group `vars` of each layer, groups numbered by
    /// class in the order of the layers.
    mutating func collectGroups(
      _ root: HDF5Object, at rootAddress: Int, _ reader: HDF5Reader, config: KerasConfig?
    ) throws {
      var stack: [(group: HDF5Object, path: [String], config: KerasConfig?, layer: KerasLayer?)] =
        [(root, [], config, nil)]
      var seen: Set<Int> = [rootAddress]
      hasConfig = config != nil
      while let (group, path, config, layer) = stack.popLast() {
        let members = try group.members(reader)
        if let vars = members.first(where: { $0.name == "vars" }) {
          try collectVariables(
            HDF5Object(reader, at: vars.address), reader, path: path, layer: layer)
        }
        let layers = path.last == "layers" ? Self.layersByGroup(config) : [:]
        var inner: [(group: HDF5Object, path: [String], config: KerasConfig?, layer: KerasLayer?)] =
          []
        for (name, address) in members where name != "vars" {
          let isState =
            name == "seed_generator" || (path.isEmpty && (name == "optimizer" || name == "metrics"))
          if isState { continue }
          guard path.count < 64 else {
            throw LaminaError(
              .limit, "expected at most 64 groups within each other", path: self.name)
          }
          guard seen.insert(address).inserted else {
            throw LaminaError(
              .format,
              "the group '\((path + [name]).joined(separator: "/").escapedForDisplay())' is linked twice",
              path: self.name)
          }
          let object = try HDF5Object(reader, at: address)
          guard object.isGroup else { continue }
          if path.last == "layers" {
            inner.append((object, path + [name], layers[name]?.model, layers[name]))
          } else {
            inner.append((object, path + [name], config, nil))
          }
        }
        // In the order of the configuration, where there is one.
        if path.last == "layers", let config {
          let order = Dictionary(
            zip(Self.groupNames(config), 0...)
          ) { first, _ in first }
          inner.sort { order[$0.path.last ?? ""] ?? .max < order[$1.path.last ?? ""] ?? .max }
        }
        stack += inner.reversed()
      }
    }

    private static func groupNames(_ config: KerasConfig) -> [String] {
      var counts: [String: Int] = [:]
      return config.layers.map { layer in
        let name = layer.snakeName
        let number = counts[name, default: 0]
        counts[name] = number + 1
        return number == 0 ? name : "\(name)_\(number)"
      }
    }

    private static func layersByGroup(_ config: KerasConfig?) -> [String: KerasLayer] {
      guard let config else { return [:] }
      return Dictionary(zip(groupNames(config), config.layers)) { first, _ in first }
    }

    private mutating func collectVariables(
      _ vars: HDF5Object, _ reader: HDF5Reader, path: [String], layer: KerasLayer?
    ) throws {
      guard vars.isGroup else {
        throw LaminaError(
          .format, "expected a group 'vars', found a dataset",
          path: "\(name): \(path.joined(separator: "/").escapedForDisplay())")
      }
      let members = Dictionary(try vars.members(reader)) { first, _ in first }
      guard !members.isEmpty else { return }
      let shown = "\(name): \(path.joined(separator: "/").escapedForDisplay())"
      let objects = try (0..<members.count).map { number in
        guard let address = members[String(number)] else {
          throw LaminaError(
            .format, "expected variables 0 to \(members.count - 1), found no \(number)", path: shown
          )
        }
        return try HDF5Object(reader, at: address)
      }
      let shapes = try objects.enumerated().map { index, object in
        try HDF5Dataset(object, reader, path: "\(shown)/vars/\(index)").spec.shape
      }
      let group = path.last ?? ""
      let className = layer?.snakeName ?? Self.className(group)
      let names = KerasVariable.names(of: className, config: layer?.config, shapes: shapes)
      let stored = try vars.strings("name", reader)?.first
      let containers: Set<String> = ["layers"]
      let parent = path.dropLast().last { !containers.contains($0) } ?? ""
      let module = try unique(layer?.name ?? stored ?? group, in: parent)
      let count = keys.count
      let known = names.contains("pointwise_kernel") ? "separable_conv2d" : className
      for (index, object) in objects.enumerated() {
        try add(
          module, names[index], of: known, object, reader,
          path: "\(path.joined(separator: "/"))/vars/\(index)")
      }
      if !hasConfig, let first = entries[keys[count]] {
        starts.append((path, first.dataset.position, count..<keys.count))
      }
    }
  }
}
