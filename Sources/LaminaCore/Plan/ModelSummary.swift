/// What a model is made of, node by node: output shape, parameters, multiply-adds, receptive field.
public struct ModelSummary: Sendable {
  /// One node.
  public struct Row: Sendable {
    /// Node name.
    public var name: String
    /// Layer kind.
    public var kind: LayerKind
    /// First output.
    public var output: TensorSpec
    /// Elements of its learned parameters; shared tensors count at their first node.
    public var weights: Int
    /// Elements of its buffers.
    public var buffers: Int
    /// Multiply-adds of one forward pass.
    public var multiplyAdds: Int
    /// Input pixels (height, width) that one output position depends on; nil without spatial axes.
    public var receptiveField: [Int]?
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

  /// A summary for given input specs, by default each symbol at its default.
  public init(_ model: Model, inputs specs: [TensorSpec]? = nil) throws {
    let graph = model.graph
    let specs = try specs ?? graph.inputs.map { try $0.defaultSpec() }
    try graph.checkInputs(specs)
    let inference = try graph.inferSpecs(inputs: specs, parameters: model.parameters)
    name = graph.name
    inputs = zip(graph.inputs, specs).map { ($0.name, $1) }
    var seen: Set<String> = []
    var fields = [ReceptiveField?](repeating: nil, count: graph.valueCount)
    for value in graph.inputValues { fields[value.index] = ReceptiveField() }
    var rows: [Row] = []
    for (index, node) in graph.nodes.enumerated() {
      var weights = 0
      var buffers = 0
      for parameter in inference.parameters[index] {
        if case .tensor(let key) = node.binding(of: parameter.name), !seen.insert(key).inserted {
          continue
        }
        if parameter.role == .weight {
          weights += parameter.spec.shape.count
        } else {
          buffers += parameter.spec.shape.count
        }
      }
      let inputSpecs = node.inputs.map { inference[$0] }
      let outputSpecs = node.outputs.map { inference[$0] }
      let known = node.inputs.compactMap { fields[$0.index] }
      var field = known.reduce(nil as ReceptiveField?) { $0?.union($1) ?? $1 }
      if let window = node.layer.window { field = field?.applying(window) }
      for value in node.outputs { fields[value.index] = field }
      let output = outputSpecs.first ?? TensorSpec(.scalar)
      rows.append(
        Row(
          name: node.name, kind: node.definition.kind, output: output, weights: weights,
          buffers: buffers,
          multiplyAdds: node.layer.multiplyAdds(for: inputSpecs, outputs: outputSpecs),
          receptiveField: output.shape.rank == 4 ? field?.size : nil,
          inputs: node.inputs.map { graph.name(of: $0) }))
    }
    self.rows = rows
  }

  /// A table for people, with totals.
  public var text: String {
    var table = [["layer", "kind", "output", "parameters", "MACs", "receptive field"]]
    for row in rows {
      table.append([
        row.name, row.kind.name, row.output.shape.description, String(row.weights + row.buffers),
        String(row.multiplyAdds),
        row.receptiveField.map { $0.map(String.init).joined(separator: "×") } ?? "",
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
      let cells = row.enumerated().map { column, text in
        padded(text, widths[column], right: column >= 3)
      }
      lines.append(cells.joined(separator: "  "))
      if number == 0 { lines.append(String(repeating: "─", count: widths.reduce(0, +) + 10)) }
    }
    lines.append(
      "\(weightCount) parameters, \(bufferCount) buffer elements, \(multiplyAdds) multiply-adds")
    return lines.joined(separator: "\n") + "\n"
  }

  /// The same as JSON.
  public var json: JSON {
    func shape(_ shape: Shape) -> JSON { .array(shape.dimensions.map { .int(Int64($0)) }) }
    return .object([
      "name": .string(name),
      "inputs": .array(
        inputs.map { .object(["name": .string($0.name), "shape": shape($0.spec.shape)]) }),
      "layers": .array(
        rows.map { row in
          .object([
            "name": .string(row.name),
            "kind": .string(row.kind.name),
            "inputs": .array(row.inputs.map { .string($0) }),
            "output": shape(row.output.shape),
            "type": .string(row.output.type.rawValue),
            "parameters": .int(Int64(row.weights)),
            "buffers": .int(Int64(row.buffers)),
            "macs": .int(Int64(row.multiplyAdds)),
            "receptive_field": row.receptiveField.map { .array($0.map { .int(Int64($0)) }) },
          ])
        }),
      "parameters": .int(Int64(weightCount)),
      "buffers": .int(Int64(bufferCount)),
      "macs": .int(Int64(multiplyAdds)),
    ])
  }
}

/// How far an output position sees, and how far apart two neighbours look, per spatial axis. Saturates.
private struct ReceptiveField {
  var size = [1, 1]
  var jump = [1, 1]

  func applying(_ window: Window) -> ReceptiveField {
    guard window.kernel.count == 2 else { return self }
    var result = self
    for axis in 0..<2 {
      let reach = (window.kernel[axis] - 1).saturatingProduct(window.dilation[axis])
      result.size[axis] = size[axis].saturatingSum(reach.saturatingProduct(jump[axis]))
      result.jump[axis] = jump[axis].saturatingProduct(window.stride[axis])
    }
    return result
  }

  func union(_ other: ReceptiveField) -> ReceptiveField {
    var result = self
    for axis in 0..<2 {
      result.size[axis] = max(size[axis], other.size[axis])
      result.jump[axis] = max(jump[axis], other.jump[axis])
    }
    return result
  }
}

extension Int {
  /// The product, or the largest number where it overflows; for non-negative factors.
  public func saturatingProduct(_ other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }

  /// The sum, or the largest number where it overflows; for non-negative terms.
  public func saturatingSum(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
