import Lamina

extension Command {
  static let layers = Command(
    name: "layers", summary: "list the kinds of layers, or the attributes of one",
    operands: "[KIND]", operandCount: 0...1, options: Option.plugins + [.json],
    example: """
      $ lamina layers lamina.conv_transpose
      lamina.conv_transpose  version 1, 1 input, from lamina
        bias
        dilations
        kernel_size  required
        …
      """
  ) { arguments in
    let registry = try arguments.registry()
    let kinds = arguments.operands.isEmpty ? registry.kinds : [LayerKind(arguments.operands[0])]
    let entries = try kinds.map { LayerEntry(try registry.definition(of: $0)) }
    if arguments.has(.json) {
      try Terminal.write(JSON.array(entries.map(\.json)).text(pretty: true) + "\n")
    } else if let entry = entries.first, !arguments.operands.isEmpty {
      let rows = entry.attributes.map { ["  \($0.name)", $0.isRequired ? "required" : ""] }
      try Terminal.write(
        "\(entry.definition.kind)  version \(entry.definition.version), \(entry.inputs), "
          + "from \(entry.definition.provider)\n" + Table(rows).text)
    } else {
      try Terminal.write(
        Table(entries.map { [$0.definition.kind.name, $0.inputs, $0.definition.provider] }).text)
    }
    return .done
  }
}

/// A kind of layer with the attributes it reads.
private struct LayerEntry {
  let definition: LayerDefinition
  let attributes: [(name: String, isRequired: Bool)]

  /// Learns the attributes by making the layer: while it asks for one that has no default, it gets one.
  init(_ definition: LayerDefinition) {
    self.definition = definition
    var required = Attributes()
    while true {
      var reader = AttributeReader(required)
      do {
        _ = try definition.make(&reader)
      } catch {
        if let (name, value) = LayerEntry.answer(to: error), required[name] == nil {
          required[name] = value
          continue
        }
      }
      attributes = reader.known.map { ($0, required[$0] != nil) }
      return
    }
  }

  /// A value for the attribute that `expected attribute 'NAME' (WHAT), found none` asks for.
  private static func answer(to error: any Error) -> (String, AttributeValue)? {
    guard let message = (error as? LaminaError)?.message else { return nil }
    let quoted = message.split(separator: "'")
    guard quoted.count == 3, quoted[0] == "expected attribute ",
      let what = quoted[2].split(separator: "(").last?.split(separator: ")").first
    else { return nil }
    let value: AttributeValue =
      switch what {
      case "a number": 1.0
      case "a string": ""
      case "true or false": false
      case _ where what.hasPrefix("one of "):
        .string(String(what.dropFirst("one of ".count).prefix { $0 != "," }))
      default: 1
      }
    return (String(quoted[1]), value)
  }

  var inputs: String {
    let range = definition.arity
    if range.upperBound == .max { return "\(range.lowerBound) or more inputs" }
    if range.count > 1 { return "\(range.lowerBound) to \(range.upperBound) inputs" }
    return range.lowerBound == 1 ? "1 input" : "\(range.lowerBound) inputs"
  }

  var json: JSON {
    .object([
      "kind": .string(definition.kind.name),
      "version": .int(Int64(definition.version)),
      "inputs": .object([
        "minimum": .int(Int64(definition.arity.lowerBound)),
        "maximum": definition.arity.upperBound == .max
          ? nil : .int(Int64(definition.arity.upperBound)),
      ]),
      "provider": .string(definition.provider),
      "attributes": .array(
        attributes.map { attribute in
          .object(["name": .string(attribute.name), "required": .bool(attribute.isRequired)])
        }),
    ])
  }
}
