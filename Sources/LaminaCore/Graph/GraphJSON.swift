extension Graph {
  /// The version of the JSON form that this code writes.
  public static let formatVersion = 1

  /// The graph as JSON: inputs, nodes in order, outputs, and for each kind of a plugin's the plugin's id and
  /// version. The inverse of `init(json:registry:)`.
  public var json: JSON {
    func names(_ values: [ValueID]) -> JSON { .array(values.map { .string(name(of: $0)) }) }
    let inputsJSON = inputs.map { input in
      JSON.object([
        "name": .string(input.name),
        "type": .string(input.type.rawValue),
        "shape": .array(
          input.dimensions.map { dimension in
            switch dimension {
            case .fixed(let extent): .int(Int64(extent))
            case .symbol(let name, let extent): .string(extent == 1 ? name : "\(name)=\(extent)")
            }
          }),
      ])
    }
    let nodesJSON = nodes.map { node in
      let attributes = node.attributes
      let usualNames = (0..<node.outputs.count).map { $0 == 0 ? node.name : "\(node.name):\($0)" }
      // Without the layer nothing else tells how many it has.
      let needsOutputs = node.outputs.count > 1 && node.definition.kind.isOfThirdParty
      let bindings = node.bindings.sorted { $0.key < $1.key }.map { name, binding in
        switch binding {
        case .tensor(let key): JSON.Member(name, .object(["tensor": .string(key)]))
        case .value(let value): JSON.Member(name, .object(["value": .string(self.name(of: value))]))
        }
      }
      return JSON.object([
        "name": .string(node.name),
        "kind": .string(node.definition.kind.name),
        "version": node.definition.version == 1 ? nil : .int(Int64(node.definition.version)),
        "inputs": names(node.inputs),
        "outputs": usualNames == node.outputs.map(name(of:)) && !needsOutputs
          ? nil : names(node.outputs),
        "attributes": attributes.isEmpty ? nil : attributes.json,
        "parameters": bindings.isEmpty ? nil : .object(bindings),
      ])
    }
    let definitions = Dictionary(
      nodes.map { ($0.definition.kind, $0.definition) }, uniquingKeysWith: { $1 })
    let plugins = definitions.values.sorted { $0.kind < $1.kind }.compactMap { definition in
      definition.providerVersion.map {
        JSON.Member(
          definition.kind.name,
          .object(["id": .string(definition.provider), "version": .string($0)]))
      }
    }
    return .object([
      "format": .string("lamina.graph"),
      "version": .int(Int64(Graph.formatVersion)),
      "name": .string(name),
      "inputs": .array(inputsJSON),
      "nodes": .array(nodesJSON),
      "plugins": plugins.isEmpty ? nil : .object(plugins),
      "outputs": .array(
        outputs.map { output in
          output.name == name(of: output.value)
            ? .string(output.name)
            : .object(["name": .string(output.name), "value": .string(name(of: output.value))])
        }),
    ])
  }

  /// Reads a graph. Every problem of every node is reported at once. A node of a third party's kind that the registry
  /// does not have keeps its place, attributes and bindings: see `missingKinds`.
  ///
  /// - Throws: `format` for a field of a wrong type, `graph` for names and attributes that do not fit,
  ///   `notFound` for unknown kinds of Lamina's, `unsupported` for a later version.
  public init(
    json: JSON, registry: LayerRegistry, path: String = "lamina.graph", limits: Limits = Limits()
  ) throws {
    let top = try ObjectReader(json, path: path)
    guard try top.string("format") == "lamina.graph" else {
      throw LaminaError(.format, "expected format 'lamina.graph'", path: "\(path).format")
    }
    let version = try top.int("version")
    guard version >= 1, version <= Graph.formatVersion else {
      throw LaminaError(
        .unsupported, "expected version 1 to \(Graph.formatVersion), found \(version)",
        path: "\(path).version")
    }
    self.init(name: try top.string("name"))
    var problems: [LaminaError] = []
    func collect(_ body: () throws -> Void) throws {
      do { try body() } catch let error as LaminaError { problems.append(error) }
    }
    try top.rejectUnknown(["format", "version", "name", "inputs", "nodes", "plugins", "outputs"])
    var plugins: [LayerKind: PluginReference] = [:]
    try collect {
      guard let json = try top.optional("plugins") else { return }
      for member in try ObjectReader(json, path: "\(path).plugins").members {
        let object = try ObjectReader(
          member.value, path: "\(path).plugins.\(member.key.escapedForDisplay())")
        try object.rejectUnknown(["id", "version"])
        plugins[LayerKind(member.key)] = (try object.string("id"), try object.string("version"))
      }
    }

    for (index, element) in try top.array("inputs").enumerated() {
      try collect {
        let input = try ObjectReader(element, path: "\(path).inputs[\(index)]")
        try input.rejectUnknown(["name", "type", "shape"])
        guard let type = ElementType(rawValue: try input.string("type")) else {
          throw input.failure("type", "expected an element type")
        }
        let dimensions = try input.array("shape").map { try Dimension(json: $0, in: input) }
        try addInput(Input(try input.string("name"), dimensions, type))
      }
    }
    let nodes = try top.array("nodes")
    guard nodes.count <= limits.nodes else {
      throw LaminaError(
        .limit, "expected at most \(limits.nodes) nodes, found \(nodes.count)", path: path)
    }
    for (index, element) in nodes.enumerated() {
      try collect {
        let object = try ObjectReader(element, path: "\(path).nodes[\(index)]")
        try addNode(object, registry: registry, plugins: plugins)
      }
    }
    if let error = LaminaError.combining(problems) { throw error }

    let outputs = try top.array("outputs")
    guard !outputs.isEmpty else { throw top.failure("outputs", "expected at least one output") }
    for (index, element) in outputs.enumerated() {
      let at = "\(path).outputs[\(index)]"
      if let name = element.string {
        try addOutput(try withErrorPath(at) { try requireValue(named: name) })
      } else {
        let object = try ObjectReader(element, path: at)
        try object.rejectUnknown(["name", "value"])
        let value = try object.string("value")
        try addOutput(
          try withErrorPath(at) { try requireValue(named: value) }, name: try object.string("name"))
      }
    }
  }

  private typealias PluginReference = (id: String, version: String)

  private mutating func addNode(
    _ object: ObjectReader, registry: LayerRegistry, plugins: [LayerKind: PluginReference]
  ) throws {
    try object.rejectUnknown([
      "name", "kind", "version", "inputs", "outputs", "attributes", "parameters",
    ])
    let name = try object.string("name")
    let kind = LayerKind(try object.string("kind"))
    let path = "\(name.escapedForDisplay()) (\(kind.name.escapedForDisplay()))"
    try withErrorPath(path) {
      let attributes = try object.optional("attributes").map {
        try Attributes(json: $0, path: "\(object.path).attributes")
      }
      let version = try object.optional("version") == nil ? 1 : object.int("version")
      func values(_ field: String) throws -> [String] {
        try object.array(field).map { element in
          guard let name = element.string else {
            throw object.failure(field, "expected strings, found \(element.typeName)")
          }
          return name
        }
      }
      let outputNames = try object.optional("outputs") == nil ? nil : values("outputs")
      let layer: any Layer
      let definition: LayerDefinition
      if kind.isOfThirdParty, !registry.has(kind) {
        let plugin = plugins[kind]
        let reason = registry.unknown(kind, of: plugin)
        layer = MissingLayer(
          attributes ?? [:], outputCount: max(outputNames?.count ?? 1, 1), reason: reason)
        definition = LayerDefinition(
          kind: kind, version: version, arity: 0...Int.max, provider: plugin?.id ?? "",
          providerVersion: plugin?.version, make: { _ in throw reason })
      } else {
        (layer, definition) = try registry.makeLayer(kind, attributes ?? [:])
      }
      guard version >= 1, version <= definition.version else {
        throw LaminaError(
          .unsupported, "expected version 1 to \(definition.version), found \(version)")
      }
      let inputs = try values("inputs").map { name in
        guard let value = value(named: name) else {
          throw LaminaError(
            .graph, "input '\(name.escapedForDisplay())' is not a value defined before this node")
        }
        return value
      }
      var bindings: [String: ParameterBinding] = [:]
      for member in try object.optional("parameters").map({
        try ObjectReader($0, path: "\(object.path).parameters").members
      }) ?? [] {
        let target = try ObjectReader(member.value, path: "\(object.path).parameters.\(member.key)")
        try target.rejectUnknown(["tensor", "value"])
        if try target.optional("value") != nil {
          bindings[member.key] = .value(try requireValue(named: target.string("value")))
        } else {
          bindings[member.key] = .tensor(try target.string("tensor"))
        }
      }
      try addNode(
        name, definition, layer, inputs: inputs, outputNames: outputNames, bindings: bindings)
    }
  }
}

extension Dimension {
  /// `3`, `"batch"` (1 by default) or `"height=224"`.
  fileprivate init(json: JSON, in object: ObjectReader) throws {
    if let extent = json.int, extent >= 0, extent <= Shape.maximumExtent {
      self = .fixed(extent)
      return
    }
    guard let text = json.string else {
      throw object.failure("shape", "expected extents or names, found \(json.typeName)")
    }
    let parts = text.split(separator: "=", omittingEmptySubsequences: false)
    let extent = parts.count == 2 ? Int(parts[1]) : 1
    guard parts.count <= 2, !parts[0].isEmpty, let extent, extent >= 0,
      extent <= Shape.maximumExtent
    else {
      throw object.failure(
        "shape", "expected 'name' or 'name=extent', found '\(text.escapedForDisplay())'")
    }
    self = .symbol(String(parts[0]), default: extent)
  }
}

/// Typed access to the members of a JSON object, with the path in every error.
public struct ObjectReader {
  /// The members in order.
  public let members: [JSON.Member]
  /// Where the object stands.
  public let path: String

  /// - Throws: `format` when `json` is no object.
  public init(_ json: JSON, path: String) throws {
    guard let members = json.members else {
      throw LaminaError(.format, "expected an object, found \(json.typeName)", path: path)
    }
    self.members = members
    self.path = path
  }

  /// An error about `field`.
  public func failure(_ field: String, _ message: String) -> LaminaError {
    LaminaError(.format, message, path: "\(path).\(field)")
  }

  /// The member, or nil.
  public func optional(_ field: String) throws -> JSON? { members.first { $0.key == field }?.value }

  private func require(_ field: String, _ expected: String) throws -> JSON {
    guard let value = try optional(field) else {
      throw failure(field, "expected \(expected), found nothing")
    }
    return value
  }

  /// A text.
  public func string(_ field: String) throws -> String {
    let value = try require(field, "a string")
    guard let text = value.string else {
      throw failure(field, "expected a string, found \(value.typeName)")
    }
    return text
  }

  /// An integer.
  public func int(_ field: String) throws -> Int {
    let value = try require(field, "an integer")
    guard let number = value.int else {
      throw failure(field, "expected an integer, found \(value.typeName)")
    }
    return number
  }

  /// A list.
  public func array(_ field: String) throws -> [JSON] {
    let value = try require(field, "an array")
    guard let elements = value.array else {
      throw failure(field, "expected an array, found \(value.typeName)")
    }
    return elements
  }

  /// - Throws: `format` when a member is not among `known`.
  public func rejectUnknown(_ known: [String]) throws {
    for member in members where !known.contains(member.key) {
      let hint = nearestName(to: member.key, in: known).map { ", nearest is '\($0)'" } ?? ""
      throw LaminaError(
        .format, "unknown field '\(member.key.escapedForDisplay())'\(hint)", path: path)
    }
  }
}
