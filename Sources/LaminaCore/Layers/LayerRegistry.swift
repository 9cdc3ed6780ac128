/// Everything the executor must know about a kind of layer, captured when it is registered.
public struct LayerDefinition: Sendable {
  /// Stable name.
  public var kind: LayerKind
  /// Version of the meaning.
  public var version: Int
  /// How many inputs.
  public var arity: ClosedRange<Int>
  /// Where the first output may live.
  public var outputMemory: OutputMemory
  /// What the backward pass reads.
  public var gradient: Gradient
  /// Whether training draws random numbers.
  public var isRandom: Bool
  /// Who supplies it: `lamina`, or a plugin's id.
  public var provider: String
  /// Version of the plugin that supplies it; nil when none does. Graph files then name the plugin.
  public var providerVersion: String?
  /// Whether somebody else supplies it for a kind of Lamina's.
  var isReplacement: Bool { provider != "lamina" && kind.name.hasPrefix("lamina.") }
  /// Makes a layer from its attributes.
  public var make: @Sendable (inout AttributeReader) throws -> any Layer

  /// A definition written out, for providers whose layers share one Swift type.
  public init(
    kind: LayerKind, version: Int = 1, arity: ClosedRange<Int> = 1...1,
    outputMemory: OutputMemory = .separate, gradient: Gradient = .unsupported,
    isRandom: Bool = false, provider: String, providerVersion: String? = nil,
    make: @escaping @Sendable (inout AttributeReader) throws -> any Layer
  ) {
    self.kind = kind
    self.version = version
    self.arity = arity
    self.outputMemory = outputMemory
    self.gradient = gradient
    self.isRandom = isRandom
    self.provider = provider
    self.providerVersion = providerVersion
    self.make = make
  }

  /// The definition of a layer type.
  public init<L: Layer>(_ type: L.Type, provider: String) {
    self.init(
      kind: L.kind, version: L.version, arity: L.arity, outputMemory: L.outputMemory,
      gradient: L.gradient, isRandom: L.isRandom, provider: provider,
      make: { try L(attributes: &$0) })
  }
}

/// The kinds of layers and the rewrites that a graph may use. A value: whoever loads a graph is handed one.
public struct LayerRegistry: Sendable {
  private var definitions: [LayerKind: LayerDefinition] = [:]
  /// Rewrites in the order in which they run.
  public private(set) var rewrites: [any GraphRewrite] = []

  /// An empty registry.
  public init() {}

  /// Adds a kind.
  ///
  /// - Throws: `argument` when the kind is taken, naming both providers.
  public mutating func register(_ definition: LayerDefinition) throws {
    if let present = definitions[definition.kind] {
      throw LaminaError(
        .argument,
        "\(definition.kind) of '\(definition.provider)' is already supplied by '\(present.provider)'"
      )
    }
    definitions[definition.kind] = definition
  }

  /// Adds a layer type.
  public mutating func register<L: Layer>(_ type: L.Type, provider: String = "lamina") throws {
    try register(LayerDefinition(type, provider: provider))
  }

  /// Adds a kind or puts it in place of the present one.
  public mutating func replace(_ definition: LayerDefinition) {
    definitions[definition.kind] = definition
  }

  /// Adds a layer type or puts it in place of the present one.
  public mutating func replace<L: Layer>(_ type: L.Type, provider: String) {
    replace(LayerDefinition(type, provider: provider))
  }

  /// Adds a rewrite behind those present.
  ///
  /// - Throws: `argument` when its name is taken.
  public mutating func register(rewrite: any GraphRewrite) throws {
    guard !rewrites.contains(where: { $0.name == rewrite.name }) else {
      throw LaminaError(.argument, "rewrite '\(rewrite.name)' is already registered")
    }
    rewrites.append(rewrite)
  }

  /// Adds a rewrite, or puts it in place of the one of its name.
  public mutating func replace(rewrite: any GraphRewrite) {
    if let index = rewrites.firstIndex(where: { $0.name == rewrite.name }) {
      rewrites[index] = rewrite
    } else {
      rewrites.append(rewrite)
    }
  }

  /// All kinds, sorted.
  public var kinds: [LayerKind] { definitions.keys.sorted() }

  /// The definition of `kind`.
  ///
  /// - Throws: `notFound` with the nearest name and what is registered.
  public func definition(of kind: LayerKind) throws -> LayerDefinition {
    guard let definition = definitions[kind] else { throw unknown(kind) }
    return definition
  }

  /// Whether a kind is registered.
  public func has(_ kind: LayerKind) -> Bool { definitions[kind] != nil }

  /// The error for a kind that is not registered.
  ///
  /// - Parameter plugin: the one that supplied it, where that is known: `com.example.mish`, and its version.
  func unknown(_ kind: LayerKind, of plugin: (id: String, version: String)? = nil) -> LaminaError {
    var message = "unknown layer kind '\(kind.name.escapedForDisplay())'"
    if let nearest = nearestName(to: kind.name, in: kinds.map(\.name)) {
      message += ", nearest is '\(nearest)'"
    }
    if let plugin {
      message +=
        ", usually supplied by plugin '\(plugin.id.escapedForDisplay())' \(plugin.version.escapedForDisplay())"
    } else if let vendor = kind.name.lastIndex(of: "."), kind.isOfThirdParty {
      message +=
        ", usually supplied by a plugin of '\(kind.name[..<vendor].description.escapedForDisplay())'"
    }
    message += "; \(definitions.count) kinds are registered"
    return LaminaError(.notFound, message)
  }

  /// Makes a layer.
  ///
  /// - Throws: `notFound` for an unknown kind; `graph` for an attribute of a wrong type or out of range, or
  ///   one that the layer does not know, with the nearest name it does.
  public func makeLayer(_ kind: LayerKind, _ attributes: Attributes) throws -> (
    layer: any Layer, definition: LayerDefinition
  ) {
    let definition = try definition(of: kind)
    var reader = AttributeReader(attributes)
    let layer = try definition.make(&reader)
    let problems = reader.unread.map { name in
      let hint = nearestName(to: name, in: reader.known).map { ", nearest is '\($0)'" } ?? ""
      return LaminaError(.graph, "unknown attribute '\(name.escapedForDisplay())'\(hint)")
    }
    if let error = LaminaError.combining(problems) { throw error }
    return (layer, definition)
  }
}
