import LaminaCore

/// A model that Lamina can build by name.
public struct CatalogEntry: Sendable {
  /// Stable name: `resnet50`.
  public let name: String
  /// Name for people: `ResNet-50`.
  public let title: String
  /// Authors, year, title and number of the paper.
  public let paper: String
  /// Channels of the input.
  public let inputChannels: Int
  /// Height and width the model was made for.
  public let inputSize: Preprocessing.Size
  /// Whether the input may have other sizes.
  public let acceptsOtherSizes: Bool
  /// How a picture becomes the input, for weights of the first origin.
  public let preprocessing: Preprocessing
  /// Classes when nothing else is asked for.
  public let defaultClassCount: Int
  /// How the names in weight files of each origin become the model's; empty: nobody's weights fit.
  public let keyMaps: [KeyMap]
  /// Names of the default classes, in the order of the output.
  public let labels: [String]
  let body: @Sendable (inout GraphBuilder, ValueID, _ classes: Int) throws -> ValueID

  init(
    name: String, title: String, paper: String, inputChannels: Int = 3, side: Int,
    acceptsOtherSizes: Bool = true, preprocessing: Preprocessing, classes: Int,
    keyMaps: [KeyMap], labels: [String],
    body: @escaping @Sendable (inout GraphBuilder, ValueID, _ classes: Int) throws -> ValueID
  ) {
    self.name = name
    self.title = title
    self.paper = paper
    self.inputChannels = inputChannels
    inputSize = Preprocessing.Size(height: side, width: side)
    self.acceptsOtherSizes = acceptsOtherSizes
    self.preprocessing = preprocessing
    defaultClassCount = classes
    self.keyMaps = keyMaps
    self.labels = labels
    self.body = body
  }

  /// Whose weights fit, for people: `torchvision, timm`.
  public var origins: String {
    keyMaps.isEmpty ? "none: train it" : keyMaps.map(\.origin).joined(separator: ", ")
  }

  /// The graph from `input`, `[batch, channels, height, width]`, to `output`, logits `[batch,
  /// classes]`.
  ///
  /// - Throws: `argument` for a number of classes outside 1...1000000, `notFound` when `registry`
  ///   lacks a kind.
  public func makeGraph(registry: LayerRegistry, classes: Int? = nil) throws -> Graph {
    let classes = classes ?? defaultClassCount
    guard (1...1_000_000).contains(classes) else {
      throw LaminaError(.argument, "expected 1 to 1000000 classes, found \(classes)")
    }
    func extent(_ name: String, _ size: Int) -> Dimension {
      acceptsOtherSizes ? .symbol(name, default: size) : .fixed(size)
    }
    var builder = GraphBuilder(name: name, registry: registry)
    let input = try builder.input(
      "input",
      [
        .batch, .fixed(inputChannels), extent("height", inputSize.height),
        extent("width", inputSize.width),
      ])
    let logits = try body(&builder, input, classes)
    try builder.output(logits, name: "output")
    return builder.graph
  }

  /// The model with freshly initialised parameters and the entry's preprocessing; with the default
  /// number of classes it carries their names.
  ///
  /// - Throws: as `makeGraph`; `limit` when there is no memory.
  public func makeModel(registry: LayerRegistry, classes: Int? = nil, seed: UInt64 = 0) throws
    -> Model
  {
    let classes = classes ?? defaultClassCount
    var metadata = ModelMetadata()
    metadata.preprocessing = preprocessing
    metadata.outputKind = .logits
    if classes == labels.count { metadata.labels = labels }
    metadata.provenance["architecture"] = "\(title), \(paper)"
    return try Model(
      initializing: makeGraph(registry: registry, classes: classes), seed: seed,
      metadata: metadata, registry: registry)
  }
}

/// The models that Lamina can build by name.
public enum ModelCatalog {
  /// All entries, by family.
  public static let entries: [CatalogEntry] =
    alexNets + vggs + squeezeNets + mobileNets
    + resNets + resNetsV1 + resNetsV2 + textbookResNets + cifarResNets + seResNets + legacySENets
    + efficientNetLites + smallNets

  /// The entry of a name.
  ///
  /// - Throws: `notFound` with the nearest name and all names.
  public static func entry(named name: String) throws -> CatalogEntry {
    if let entry = entries.first(where: { $0.name == name }) { return entry }
    let names = entries.map(\.name)
    let hint = nearestName(to: name, in: names).map { ", nearest is '\($0)'" } ?? ""
    throw LaminaError(
      .notFound,
      "no model named '\(name.escapedForDisplay())'\(hint); there are \(names.joined(separator: ", "))"
    )
  }
}
