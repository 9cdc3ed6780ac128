import LaminaCore

/// A whole model in one file: safetensors whose header carries the graph.
///
/// The tensors are the parameters; `__metadata__` holds
/// - `lamina.format`: `1`
/// - `lamina.graph`: the graph as JSON
/// - `lamina.labels`: a JSON array of strings
/// - `lamina.preprocessing`: a JSON object
/// - `lamina.output`: `logits`, `probabilities` or `features`
/// - `lamina.provenance`: a JSON object of strings
///
/// Any reader of safetensors opens it.
public enum ModelFile {
  /// The version that `save` writes.
  public static let formatVersion = 1

  // MARK: - Loading

  /// Loads a Lamina model file, an ONNX model or a whole model of Keras; the content decides, not
  /// the name.
  ///
  /// A file that needs a third party's layer which the registry does not have opens all the same: see
  /// `Graph.missingKinds`.
  ///
  /// - Throws: `format` when the bytes are neither or broken, `unsupported` for files that hold
  ///   weights only, saying how to use them, `graph`, `weights`, `notFound` for unknown layers or
  ///   no such file, `io`.
  public static func load(
    path: String, registry: LayerRegistry, limits: Limits = Limits()
  ) throws -> Model {
    try load(
      ByteSource(path: path, limits: limits), folder: path.folder, registry: registry,
      limits: limits)
  }

  /// Whether a file is a whole model of another program, with its graph: ONNX's, or Keras' with its configuration.
  ///
  /// - Throws: `notFound`, `io`; `format` for a broken header.
  public static func isForeignModel(path: String, limits: Limits = Limits()) throws -> Bool {
    let source = try ByteSource(path: path, limits: limits)
    switch try WeightFormat(source) {
    case .zip where try KerasFile.isArchive(source, limits: limits), .hdf5:
      return try KerasFile(source, limits: limits).config != nil
    case .safeTensors, .zip, .pickle, .tar, .numPy: return false
    case .unknown: return try ONNXImporter.isModel(source)
    }
  }

  /// Loads the bytes of a model file.
  public static func load(
    bytes: [UInt8], name: String = "bytes", registry: LayerRegistry, limits: Limits = Limits()
  ) throws -> Model {
    try load(.memory(bytes, name: name), registry: registry, limits: limits)
  }

  /// Loads a model file from a caller's descriptor, of which it takes a copy.
  public static func load(
    descriptor: Int32, registry: LayerRegistry, limits: Limits = Limits()
  ) throws -> Model {
    try load(ByteSource(descriptor: descriptor, limits: limits), registry: registry, limits: limits)
  }

  /// - Parameter folder: where an ONNX model's external data is looked up.
  static func load(
    _ source: ByteSource, folder: String? = nil, registry: LayerRegistry, limits: Limits
  ) throws -> Model {
    switch try WeightFormat(source) {
    case .safeTensors:
      return try load(try SafeTensors(source, limits: limits), name: source.name, registry, limits)
    case .zip where try KerasFile.isArchive(source, limits: limits), .hdf5:
      return try KerasImporter.load(
        KerasFile(source, limits: limits), name: source.name, registry: registry, limits: limits)
    case .zip, .pickle, .tar, .numPy:
      throw LaminaError(.unsupported, weightsOnly, path: source.name)
    case .unknown where try ONNXImporter.isModel(source):
      return try ONNXImporter.load(
        source, name: source.name, folder: folder, registry: registry, limits: limits
      ).model
    case .unknown:
      throw LaminaError(
        .unsupported, "expected a model of Lamina, ONNX or Keras, found another format",
        path: source.name)
    }
  }

  static let weightsOnly =
    "holds weights without a graph: create a model by its name and load these weights into it"

  private static func load(
    _ file: SafeTensors, name: String, _ registry: LayerRegistry, _ limits: Limits
  ) throws -> Model {
    guard let graphText = file.metadata("lamina.graph") else {
      throw LaminaError(.unsupported, weightsOnly, path: name)
    }
    guard file.metadata("lamina.format") == String(formatVersion) else {
      throw LaminaError(
        .unsupported,
        "expected format version \(formatVersion), found \(file.metadata("lamina.format")?.escapedForDisplay() ?? "none")",
        path: "\(name): lamina.format")
    }
    func json(_ key: String) throws -> JSON? {
      try file.metadata(key).map {
        try JSON.parse(text: $0, path: "\(name): \(key)", limits: limits)
      }
    }
    let graphPath = "\(name): lamina.graph"
    let graph = try Graph(
      json: try JSON.parse(text: graphText, path: graphPath, limits: limits), registry: registry,
      path: graphPath, limits: limits)
    var metadata = ModelMetadata()
    if let labels = try json("lamina.labels") {
      guard let elements = labels.array, let texts = elements.map(\.string) as? [String] else {
        throw LaminaError(.format, "expected an array of strings", path: "\(name): lamina.labels")
      }
      metadata.labels = texts
    }
    metadata.preprocessing = try json("lamina.preprocessing").map {
      try Preprocessing(json: $0, path: "\(name): lamina.preprocessing")
    }
    if let kind = file.metadata("lamina.output") {
      guard let known = ModelMetadata.OutputKind(rawValue: kind) else {
        let names = ModelMetadata.OutputKind.allCases.map(\.rawValue).joined(separator: ", ")
        throw LaminaError(
          .format, "expected one of \(names), found '\(kind.escapedForDisplay())'",
          path: "\(name): lamina.output")
      }
      metadata.outputKind = known
    }
    if let provenance = try json("lamina.provenance") {
      for member in try ObjectReader(provenance, path: "\(name): lamina.provenance").members {
        guard let text = member.value.string else {
          throw LaminaError(
            .format, "expected a string, found \(member.value.typeName)",
            path: "\(name): lamina.provenance.\(member.key.escapedForDisplay())")
        }
        metadata.provenance[member.key] = text
      }
    }
    return try Model(
      graph: graph, parameters: try parameters(of: file, graph: graph, name: name, limits: limits),
      metadata: metadata, registry: registry)
  }

  /// All tensors of the file, as the types that the graph wants.
  private static func parameters(
    of file: SafeTensors, graph: Graph, name: String, limits: Limits
  ) throws -> [String: Tensor] {
    var byteCount = 0
    for key in file.keys { byteCount += try file.spec(key).byteCount }
    try limits.checkMemory(byteCount, for: name)
    var parameters: [String: Tensor] = [:]
    for key in file.keys { parameters[key] = try file.tensor(key, limits: limits) }
    // What belongs to a missing layer, and of which type it is to be, only the layer knows.
    guard graph.missingKinds.isEmpty else { return parameters }
    var unused = Set(file.keys)
    for slot in try graph.parameterSlots(parameters: parameters) {
      guard case .tensor(let key) = slot.binding else { continue }
      unused.remove(key)
      if slot.spec.spec.type == .float32, let tensor = parameters[key], tensor.type.isFloatingPoint
      {
        parameters[key] = try withErrorPath("\(name): \(key.escapedForDisplay())") {
          try tensor.convertedToFloat32()
        }
      }
    }
    let problems = file.keys.filter(unused.contains).map { key in
      LaminaError(
        .weights, "tensor '\(key.escapedForDisplay())' belongs to no node of the graph", path: name)
    }
    if let error = LaminaError.combining(problems) { throw error }
    return parameters
  }

  // MARK: - Saving

  /// Writes the model; the file appears whole or not at all. Equal models give equal bytes.
  ///
  /// - Throws: `io`, `notFound`, `argument`.
  public static func save(_ model: Model, to path: String) throws {
    try SafeTensors.write(model.parameters, metadata: metadata(of: model), to: path)
  }

  /// The bytes of the file that `save` makes.
  public static func bytes(of model: Model) throws -> [UInt8] {
    try SafeTensors.bytes(model.parameters, metadata: metadata(of: model))
  }

  private static func metadata(of model: Model) -> [(key: String, value: String)] {
    [
      (key: "lamina.format", value: String(formatVersion)),
      (key: "lamina.graph", value: model.graph.json.text()),
    ] + description(of: model.metadata)
  }

  /// Labels, preprocessing, kind of the output and provenance as texts.
  static func description(of metadata: ModelMetadata) -> [(key: String, value: String)] {
    var result: [(key: String, value: String)] = []
    if !metadata.labels.isEmpty {
      result.append(("lamina.labels", JSON.array(metadata.labels.map { .string($0) }).text()))
    }
    if let preprocessing = metadata.preprocessing {
      result.append(("lamina.preprocessing", preprocessing.json.text()))
    }
    if let kind = metadata.outputKind { result.append(("lamina.output", kind.rawValue)) }
    if !metadata.provenance.isEmpty {
      let members = metadata.provenance.sorted { $0.key < $1.key }.map {
        JSON.Member($0.key, .string($0.value))
      }
      result.append(("lamina.provenance", JSON.object(members).text()))
    }
    return result
  }
}
