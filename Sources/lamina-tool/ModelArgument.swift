import Lamina

/// The models that a user can name: files, and the catalogue.
enum ModelArgument {
  /// The model in a file, or one of the catalogue with freshly initialised weights.
  ///
  /// - Parameters:
  ///   - arguments: which may name plugins.
  ///   - seed: of these weights, for a model that is to be trained: it then has its auxiliary heads.
  /// - Throws: what is wrong with a plugin; `notFound` with the nearest name of the catalogue when there is neither.
  static func load(
    _ text: String, _ arguments: Arguments, trainingBy seed: UInt64? = nil
  ) throws -> Model {
    let registry = try arguments.registry()
    if !System.fileExists(text), !text.contains("/") {
      if let entry = ModelCatalog.entries.first(where: { $0.name == text }) {
        return try entry.makeModel(
          registry: registry, auxiliary: seed != nil, seed: seed ?? 0)
      }
      if let nearest = nearestName(to: text, in: ModelCatalog.entries.map(\.name)) {
        throw LaminaError(
          .notFound, "no such file or model of the catalogue, nearest is '\(nearest)'",
          path: text.escapedForDisplay())
      }
    }
    return try ModelFile.load(path: text, registry: registry)
  }

  /// The catalogue's entry whose name the file's name contains; the longest one when there are several.
  static func entry(guessedFrom path: String) -> CatalogEntry? {
    func folded(_ text: String) -> String { String(text.lowercased().map { $0 == "-" ? "_" : $0 }) }
    let file = folded(String(path.split(separator: "/").last ?? ""))
    return ModelCatalog.entries.filter { file.contains(folded($0.name)) }
      .max { $0.name.count < $1.name.count }
  }
}

extension Model {
  /// The specs of the inputs: `text` holds one shape for each, `1,3,224,224`, several joined by `;`; without
  /// it, every symbol has its default, and `batch` on the first axis where that is free.
  ///
  /// - Throws: `UsageError` when the shapes do not fit the model.
  func inputSpecs(_ text: String? = nil, batch: Int? = nil) throws -> [TensorSpec] {
    do {
      guard let text else {
        return try graph.inputs.map { input in
          var extents = input.dimensions.map(\.defaultExtent)
          if let batch, let first = input.dimensions.first {
            if case .fixed(let extent) = first, extent != batch {
              throw UsageError(
                "input '\(input.name.escapedForDisplay())' has a fixed batch of \(extent)")
            }
            extents[0] = batch
          }
          return TensorSpec(try Shape(extents), input.type)
        }
      }
      let shapes = try text.split(separator: ";", omittingEmptySubsequences: false).map { part in
        let extents = part.split(separator: ",", omittingEmptySubsequences: false)
        return try Shape(
          extents.map { extent in
            guard let number = Int(extent), number >= 1 else {
              throw UsageError(
                "expected a shape such as 1,3,224,224, found '\(part.description.escapedForDisplay())'"
              )
            }
            return number
          })
      }
      guard shapes.count == graph.inputs.count else {
        throw UsageError("expected shapes for \(graph.inputs.count) inputs, found \(shapes.count)")
      }
      let specs = zip(shapes, graph.inputs).map { TensorSpec($0, $1.type) }
      try graph.checkInputs(specs)
      return specs
    } catch let error as LaminaError {
      throw UsageError(error.description)
    }
  }
}
