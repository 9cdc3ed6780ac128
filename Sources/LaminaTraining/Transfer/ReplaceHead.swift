import LaminaCore

extension Model {
  /// The model for other classes: the last layer with weights before each output is made anew with as many outputs, and
  /// starts afresh; all others keep their weights.
  ///
  /// - Parameters:
  ///   - labels: names of the classes, in the order of the output.
  ///   - seed: of the new weights.
  /// - Returns: the model, and the names of the layers that are new.
  /// - Throws: `argument` for fewer than two classes; `unsupported` when an output is not made by a dense layer or a
  ///   convolution with anything but layers without weights behind it.
  public func replacingHead(labels: [String], seed: UInt64 = 0) throws -> (
    model: Model, head: [String]
  ) {
    guard labels.count >= 2 else {
      throw LaminaError(.argument, "expected at least two classes, found \(labels.count)")
    }
    var graph = graph
    let heads = try headLayers()
    for name in heads {
      guard let index = graph.nodes.firstIndex(where: { $0.name == name }) else { continue }
      var attributes = graph.nodes[index].attributes
      let field = attributes["out_features"] != nil ? "out_features" : "out_channels"
      attributes[field] = .int(labels.count)
      graph = try graph.remakingLayer(of: index, attributes: attributes, registry: registry)
    }
    var parameters = parameters
    for slot in try graph.parameterSlots(parameters: [:])
    where heads.contains(graph.nodes[slot.nodeIndex].name) {
      guard case .tensor(let key) = slot.binding else { continue }
      parameters[key] = try slot.spec.makeTensor(seed: seed, key: key)
    }
    var metadata = metadata
    metadata.labels = labels
    let model = try Model(
      graph: graph, parameters: parameters, metadata: metadata, registry: registry)
    return (model, heads)
  }

  /// Names of the layers that make the classes: the last one with weights before each output.
  ///
  /// - Throws: `unsupported` when an output is not made by a dense layer or a convolution with anything but layers
  ///   without weights behind it.
  public func headLayers() throws -> [String] {
    var heads: [String] = []
    for (name, value) in graph.outputs {
      guard let index = try head(of: value), !heads.contains(graph.nodes[index].name) else {
        throw LaminaError(
          .unsupported,
          "expected an output of a dense layer or a convolution, found another: the head cannot be replaced",
          path: "output \(name.escapedForDisplay())")
      }
      heads.append(graph.nodes[index].name)
    }
    return heads
  }

  /// The last node with weights above a value, where only layers without weights and with one input lie between.
  private func head(of value: ValueID) throws -> Int? {
    let slots = Set(try graph.parameterSlots(parameters: parameters).map(\.nodeIndex))
    var value = value
    while let index = graph.nodes.firstIndex(where: { $0.outputs.contains(value) }) {
      let node = graph.nodes[index]
      if slots.contains(index) {
        let attributes = node.attributes
        let isKnown = attributes["out_features"] != nil || attributes["out_channels"] != nil
        return isKnown ? index : nil
      }
      guard node.inputs.count == 1 else { return nil }
      value = node.inputs[0]
    }
    return nil
  }
}
