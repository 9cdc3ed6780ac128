import LaminaCore

/// A classifier on a value inside a network, whose loss helps the layers below it to learn.
///
/// A graph for training ends in one more output for each head, `[batch, classes]` under the head's
/// name; a graph for inference has none of its nodes, and the weight files' heads are ignored.
public struct AuxiliaryHead: Sendable {
  /// Name of the output, and of the scope of its nodes: `aux1`.
  public let name: String
  /// The value it is on.
  public let value: String
  /// Factor of its loss in the sum of losses; that of the network's own output is 1.
  public let lossWeight: Double
  let body: @Sendable (inout GraphBuilder, ValueID, _ classes: Int) throws -> ValueID
}

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
  /// How the weights of convolutions and dense layers start; nil: as each layer asks for.
  public let initializer: Initializer?
  /// The classifiers that only training has.
  public let auxiliaryHeads: [AuxiliaryHead]
  let body: @Sendable (inout GraphBuilder, ValueID, _ classes: Int) throws -> ValueID

  init(
    name: String, title: String, paper: String, inputChannels: Int = 3, side: Int,
    acceptsOtherSizes: Bool = true, preprocessing: Preprocessing, classes: Int,
    keyMaps: [KeyMap], labels: [String], initializer: Initializer? = nil,
    auxiliaryHeads: [AuxiliaryHead] = [],
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
    self.initializer = initializer
    self.auxiliaryHeads = auxiliaryHeads
    self.body = body
  }

  /// Whose weights fit: `["torchvision, timm", "Keras"]`; empty for a model that has to be trained.
  public var origins: [String] {
    var seen: Set<String> = []
    return keyMaps.map(\.origin).filter { seen.insert($0).inserted }
  }

  /// The graph from `input`, `[batch, channels, height, width]`, to `output`, logits `[batch,
  /// classes]`.
  ///
  /// - Parameter auxiliary: whether the auxiliary heads are there, each with an output of its name.
  /// - Throws: `argument` for a number of classes outside 1...1000000, `notFound` when `registry`
  ///   lacks a kind.
  public func makeGraph(
    registry: LayerRegistry, classes: Int? = nil, auxiliary: Bool = false
  ) throws -> Graph {
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
    for head in auxiliary ? auxiliaryHeads : [] {
      let x = try builder.graph.requireValue(named: head.value)
      try builder.output(head.body(&builder, x, classes), name: head.name)
    }
    return builder.graph
  }

  /// The model with freshly initialised parameters and the entry's preprocessing; with the default
  /// number of classes it carries their names, with auxiliary heads the weights of the losses as
  /// `loss_weight.aux1`.
  ///
  /// - Throws: as `makeGraph`; `limit` when there is no memory.
  public func makeModel(
    registry: LayerRegistry, classes: Int? = nil, auxiliary: Bool = false, seed: UInt64 = 0
  ) throws -> Model {
    let classes = classes ?? defaultClassCount
    var metadata = ModelMetadata()
    metadata.preprocessing = preprocessing
    metadata.outputKind = .logits
    if classes == labels.count { metadata.labels = labels }
    metadata.provenance["architecture"] = "\(title), \(paper)"
    for head in auxiliary ? auxiliaryHeads : [] {
      metadata.provenance["loss_weight.\(head.name)"] = "\(head.lossWeight)"
    }
    return try Model(
      initializing: makeGraph(registry: registry, classes: classes, auxiliary: auxiliary),
      seed: seed, initializer: initializer, metadata: metadata, registry: registry)
  }
}

/// The models that Lamina can build by name.
public enum ModelCatalog {
  /// All entries, by family.
  public static let entries: [CatalogEntry] =
    alexNets + vggs + squeezeNets + mobileNets
    + resNets + resNetsV1 + resNetsV2 + thinResNets + textbookResNets + cifarResNets + seResNets
    + legacySENets
    + efficientNetLites + leNets + smallNets
    + googLeNets + inceptionV3s + inceptionV4s + inceptionResNets + xceptions

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
