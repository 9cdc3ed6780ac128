import LaminaCore

extension ModelObject {
  /// What is known of a node before it runs.
  private typealias Inferred = (outputs: [TensorSpec], parameters: [ParameterSpec])

  /// The nodes, for programs to look at; what does not follow from the graph is null.
  var layers: JSON {
    let known = infer { $1 }
    let probes = symbols().map { symbol, extent, other in
      (symbol, extent, other, infer { $0 == symbol ? other : $1 })
    }
    return .array(
      model.graph.nodes.indices.map { index in
        let node = model.graph.nodes[index]
        return .object([
          "name": .string(node.name),
          "kind": .string(node.definition.kind.name),
          "version": .int(Int64(node.definition.version)),
          "provider": .string(node.definition.provider),
          "attributes": node.attributes.json,
          "inputs": .array(node.inputs.map { .string(model.graph.name(of: $0)) }),
          "outputs": .array(
            node.outputs.enumerated().map { position, value in
              func spec(_ inferred: [Inferred?]) -> TensorSpec? {
                guard let outputs = inferred[index]?.outputs else { return nil }
                return outputs.indices.contains(position) ? outputs[position] : nil
              }
              let found = spec(known)
              return .object([
                "name": .string(model.graph.name(of: value)),
                "type": found.map { .string($0.type.rawValue) } ?? .null,
                "shape": found.map { found in
                  extents(
                    found.shape, probes.map { ($0.0, $0.1, $0.2, spec($0.3)?.shape) })
                } ?? .null,
              ])
            }),
          "parameters": .array(parameters(of: node, known[index]?.parameters)),
        ])
      })
  }

  /// A shape, with the symbols that its extents follow.
  ///
  /// - Parameter probes: each symbol with its default, another extent, and the shape for that.
  private func extents(
    _ shape: Shape, _ probes: [(symbol: String, extent: Int, other: Int, shape: Shape?)]
  ) -> JSON {
    .array(
      (0..<shape.rank).map { axis in
        for probe in probes {
          guard let probed = probe.shape, probed.rank == shape.rank, probed[axis] != shape[axis]
          else { continue }
          let isSymbol = shape[axis] == probe.extent && probed[axis] == probe.other
          return isSymbol ? .string(probe.symbol) : .null
        }
        return .int(Int64(shape[axis]))
      })
  }

  private func parameters(of node: Graph.Node, _ specs: [ParameterSpec]?) -> [JSON] {
    func describe(_ name: String, _ spec: TensorSpec, _ role: ParameterRole?) -> JSON {
      var members = [JSON.Member("name", .string(name))]
      switch node.binding(of: name) {
      case .tensor(let key): members.append(JSON.Member("key", .string(key)))
      case .value(let value):
        members.append(JSON.Member("value", .string(model.graph.name(of: value))))
      }
      members.append(JSON.Member("role", role.map { .string($0.rawValue) } ?? .null))
      members.append(JSON.Member("type", .string(spec.type.rawValue)))
      members.append(
        JSON.Member("shape", .array(spec.shape.dimensions.map { .int(Int64($0)) })))
      return .object(members)
    }
    if let specs { return specs.map { describe($0.name, $0.spec, $0.role) } }
    let prefix = "\(node.name)."
    return model.parameters.filter {
      $0.key.hasPrefix(prefix) && !$0.key.dropFirst(prefix.count).contains(".")
    }
    .sorted { $0.key < $1.key }
    .map { describe(String($0.key.dropFirst(prefix.count)), $0.value.spec, nil) }
  }

  /// Outputs and parameters of each node with each symbol at `extent(name, default)`; nil for nodes whose shapes
  /// are not known.
  private func infer(_ extent: (String, Int) -> Int) -> [Inferred?] {
    let graph = model.graph
    let pool = ThreadPool(threads: 1)
    var values = [TensorSpec?](repeating: nil, count: graph.valueCount)
    for (value, spec) in zip(graph.inputValues, (try? inputSpecs(extent)) ?? []) {
      values[value.index] = spec
    }
    return graph.nodes.map { node in
      guard
        let inferred = try? graph.infer(
          node, values: values, parameters: model.parameters, pool: pool)
      else { return nil }
      for (value, spec) in zip(node.outputs, inferred.outputs) { values[value.index] = spec }
      return inferred
    }
  }
}
