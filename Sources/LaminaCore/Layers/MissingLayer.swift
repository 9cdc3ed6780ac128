/// The place of a layer whose kind nobody supplies. It keeps what a graph file says of the layer, so that the file can be
/// looked at and saved again; shapes that depend on it are not known, and it does not run.
struct MissingLayer: Layer {
  static let kind: LayerKind = "lamina.missing"

  /// As they stand in the file.
  let attributes: Attributes
  let outputCount: Int
  /// Which kind is missing, and who supplied it.
  let reason: LaminaError

  init(_ attributes: Attributes, outputCount: Int, reason: LaminaError) {
    self.attributes = attributes
    self.outputCount = outputCount
    self.reason = reason
  }

  init(attributes: inout AttributeReader) throws {
    throw LaminaError(.unsupported, "a graph file alone makes the place of a missing layer")
  }

  func encode(into attributes: inout AttributeWriter) { attributes.values(self.attributes) }

  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] { throw reason }
  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] { throw reason }
  func forward(_ call: ForwardCall) throws { throw reason }
}

extension LayerKind {
  /// Whether the name is under a domain other than Lamina's: `com.example.mish`.
  var isOfThirdParty: Bool { name.contains(".") && !name.hasPrefix("lamina.") }
}

extension Graph.Node {
  /// Which kind is missing and who supplied it, when the node only keeps the place of a layer.
  public var missing: LaminaError? { (layer as? MissingLayer)?.reason }
}

extension Graph {
  /// The kinds that nobody supplied when the graph was read, sorted. A graph that has such opens and is saved again
  /// unchanged, but does not run.
  public var missingKinds: [LayerKind] {
    Set(nodes.filter { $0.missing != nil }.map(\.definition.kind)).sorted()
  }
}
