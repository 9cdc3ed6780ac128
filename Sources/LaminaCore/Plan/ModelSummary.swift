/// What a model is made of, node by node: output shape, parameters, multiply-adds, receptive field.
public struct ModelSummary: Sendable {
  /// One node.
  public struct Row: Sendable {
    /// Node name.
    public var name: String
    /// Layer kind.
    public var kind: LayerKind
    /// First output; nil where it depends on a missing layer.
    public var output: TensorSpec?
    /// Which kind is missing and who supplied it, when the node only keeps the place of a layer.
    public var missing: LaminaError?
    /// Elements of its learned parameters, biases included; shared tensors count at their first node.
    public var weights: Int
    /// Elements of its biases.
    public var biases: Int
    /// Elements of its buffers.
    public var buffers: Int
    /// Multiply-adds of one forward pass.
    public var multiplyAdds: Int
    /// What an output position sees of the input; nil without spatial axes.
    public var receptiveField: ReceptiveField?
    /// How height and width of the output follow from the input's: `⌊(224 + 3 + 3 − 7) / 2⌋ + 1 = 112`, once
    /// where both are equal; nil for layers without a window.
    public var sizeRule: String?
    /// Nodes and inputs it reads.
    public var inputs: [String]
  }

  /// Name of the graph.
  public let name: String
  /// Inputs with the shapes that were assumed.
  public let inputs: [(name: String, spec: TensorSpec)]
  /// Nodes in order.
  public let rows: [Row]

  /// Learned parameters.
  public var weightCount: Int { rows.reduce(0) { $0 + $1.weights } }
  /// Buffers such as running statistics.
  public var bufferCount: Int { rows.reduce(0) { $0 + $1.buffers } }
  /// Multiply-adds of one forward pass.
  public var multiplyAdds: Int { rows.reduce(0) { $0 + $1.multiplyAdds } }
  /// Bytes of parameters and buffers as `float32`.
  public var parameterByteCount: Int { (weightCount + bufferCount).saturatingProduct(4) }
  /// Bytes of all outputs: what training keeps; a session shares memory among them.
  public var activationByteCount: Int {
    rows.reduce(0) { $0.saturatingSum($1.output?.byteCount ?? 0) }
  }

  /// A summary for given input specs, by default each symbol at its default.
  public init(_ model: Model, inputs specs: [TensorSpec]? = nil) throws {
    try self.init(model.graph, parameters: model.parameters, inputs: specs)
  }

  /// A summary of a graph. Parameters are needed only where values of them decide shapes.
  public init(
    _ graph: Graph, parameters: [String: Tensor] = [:], inputs specs: [TensorSpec]? = nil
  ) throws {
    let specs = try specs ?? graph.inputs.map { try $0.defaultSpec() }
    try graph.checkInputs(specs)
    let inference = try graph.inferSpecs(
      inputs: specs, parameters: parameters, passingMissing: true)
    name = graph.name
    inputs = zip(graph.inputs, specs).map { ($0.name, $1) }
    var seen: Set<String> = []
    var fields = [ReceptiveField?](repeating: nil, count: graph.valueCount)
    for value in graph.inputValues { fields[value.index] = ReceptiveField() }
    var rows: [Row] = []
    for (index, node) in graph.nodes.enumerated() {
      var weights = 0
      var biases = 0
      var buffers = 0
      for parameter in inference.parameters[index] {
        if case .tensor(let key) = node.binding(of: parameter.name), !seen.insert(key).inserted {
          continue
        }
        if parameter.role == .weight {
          weights += parameter.spec.shape.count
          if parameter.name == "bias" { biases += parameter.spec.shape.count }
        } else {
          buffers += parameter.spec.shape.count
        }
      }
      let inputSpecs = node.inputs.compactMap { inference.values[$0.index] }
      let outputSpecs = node.outputs.compactMap { inference.values[$0.index] }
      let isKnown = outputSpecs.count == node.outputs.count
      if !isKnown {
        for key in node.ownKeys(among: parameters) where seen.insert(key).inserted {
          let count = parameters[key]?.shape.count ?? 0
          weights = weights.saturatingSum(count)
          if key.hasSuffix(".bias") { biases = biases.saturatingSum(count) }
        }
      }
      let known = node.inputs.compactMap { fields[$0.index] }
      var field = known.reduce(nil as ReceptiveField?) { $0?.union($1) ?? $1 }
      let output = isKnown ? outputSpecs.first ?? TensorSpec(.scalar) : nil
      if output == nil { field = nil }
      var sizeRule: String?
      if let output, let window = node.layer.window, let input = inputSpecs.first?.shape,
        input.rank == 4, output.shape.rank == 4, window.kernel.count == 2
      {
        field = field?.applying(window, extents: [input[2], input[3]])
        let rules = (0..<2).map {
          window.sizeRule($0, input: input[2 + $0], output: output.shape[2 + $0])
        }
        sizeRule = rules[0] == rules[1] ? rules[0] : rules.joined(separator: ", ")
      }
      for value in node.outputs { fields[value.index] = field }
      rows.append(
        Row(
          name: node.name, kind: node.definition.kind, output: output, missing: node.missing,
          weights: weights, biases: biases, buffers: buffers,
          multiplyAdds: isKnown
            ? node.layer.multiplyAdds(for: inputSpecs, outputs: outputSpecs) : 0,
          receptiveField: output?.shape.rank == 4 ? field : nil, sizeRule: sizeRule,
          inputs: node.inputs.map { graph.name(of: $0) }))
    }
    self.rows = rows
  }

  /// A table for people, with totals: volumes, learned weights without biases, biases, multiply-adds, bytes of
  /// the output, receptive field with jump and start, and how the output's size follows. What depends on a missing layer
  /// is `?`.
  public var text: String {
    func pair<T: Equatable>(_ values: [T]?, _ separator: String) -> String {
      guard let values else { return "" }
      return values.map { "\($0)" }.joined(separator: separator)
    }
    func single<T: Equatable>(_ values: [T]?) -> String {
      guard let values, let first = values.first else { return "" }
      return values.allSatisfy { $0 == first } ? "\(first)" : pair(values, "×")
    }
    var table = [
      [
        "layer", "kind", "output", "weights", "biases", "MACs", "bytes", "field", "jump", "start",
        "size",
      ]
    ]
    for row in rows {
      let field = row.receptiveField
      table.append([
        row.name, row.kind.name + (row.missing == nil ? "" : " (missing)"),
        row.output?.shape.description ?? "?", String(row.weights - row.biases),
        String(row.biases), String(row.multiplyAdds),
        row.output.map { String($0.byteCount) } ?? "?",
        pair(field?.size, "×"), single(field?.jump), single(field?.start), row.sizeRule ?? "",
      ])
    }
    let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
    func padded(_ text: String, _ width: Int, right: Bool) -> String {
      let space = String(repeating: " ", count: max(width - text.count, 0))
      return right ? space + text : text + space
    }
    var lines = ["\(name)"]
    for (name, spec) in inputs { lines.append("input \(name): \(spec)") }
    for (number, row) in table.enumerated() {
      var line = row.enumerated().map { column, text in
        padded(text, widths[column], right: (3...9).contains(column))
      }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      lines.append(line)
      if number == 0 {
        lines.append(
          String(repeating: "─", count: widths.reduce(0, +) + 2 * (widths.count - 1)))
      }
    }
    func mebibytes(_ bytes: Int) -> String {
      "\(((Double(bytes) / 0x1p20) * 10).rounded() / 10) MiB"
    }
    var told: Set<LayerKind> = []
    for row in rows {
      if let missing = row.missing, told.insert(row.kind).inserted { lines.append(missing.message) }
    }
    let biasCount = rows.reduce(0) { $0 + $1.biases }
    lines.append(
      "\(weightCount) parameters (\(weightCount - biasCount) without biases), \(bufferCount) buffer elements, "
        + "\(multiplyAdds) multiply-adds")
    lines.append(
      "\(mebibytes(parameterByteCount)) of parameters and buffers, \(mebibytes(activationByteCount)) of outputs"
    )
    return lines.joined(separator: "\n") + "\n"
  }

  /// The same as JSON.
  public var json: JSON {
    func ints(_ values: [Int]) -> JSON { .array(values.map { .int(Int64($0)) }) }
    func shape(_ shape: Shape) -> JSON { ints(shape.dimensions) }
    func layer(_ row: Row) -> JSON {
      let field = row.receptiveField
      return .object([
        "name": .string(row.name),
        "kind": .string(row.kind.name),
        "inputs": .array(row.inputs.map { .string($0) }),
        "missing": row.missing.map { .string($0.message) },
        "output": row.output.map { shape($0.shape) },
        "type": row.output.map { .string($0.type.rawValue) },
        "parameters": .int(Int64(row.weights)),
        "biases": .int(Int64(row.biases)),
        "buffers": .int(Int64(row.buffers)),
        "macs": .int(Int64(row.multiplyAdds)),
        "bytes": row.output.map { .int(Int64($0.byteCount)) },
        "receptive_field": field.map { ints($0.size) },
        "jump": field.map { ints($0.jump) },
        "start": field.map { .array($0.start.map { .double($0) }) },
        "size_rule": row.sizeRule.map { .string($0) },
      ])
    }
    return .object([
      "name": .string(name),
      "inputs": .array(
        inputs.map { .object(["name": .string($0.name), "shape": shape($0.spec.shape)]) }),
      "layers": .array(rows.map(layer)),
      "parameters": .int(Int64(weightCount)),
      "buffers": .int(Int64(bufferCount)),
      "macs": .int(Int64(multiplyAdds)),
    ])
  }
}

extension Graph.Node {
  /// The keys of the tensors that are its own by their names, for a node whose layer cannot tell; sorted.
  fileprivate func ownKeys(among parameters: [String: Tensor]) -> [String] {
    let bound = bindings.values.compactMap { if case .tensor(let key) = $0 { key } else { nil } }
    let named = parameters.keys.filter { key in
      key.lastIndex(of: ".").map { key[..<$0] == name } ?? false
    }
    return Set(bound + named).intersection(parameters.keys).sorted()
  }
}
