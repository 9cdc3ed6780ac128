import Lamina

extension Command {
  static let models = Command(
    name: "models", summary: "list the models of the catalogue", options: [.json],
    example: """
      $ lamina models
      'lamina summary NAME' shows the layers of one; 'lamina import' gives it weights.
      """
  ) { arguments in
    let rows = try ModelCatalog.entries.map(CatalogRow.init)
    if arguments.has(.json) {
      try Terminal.write(JSON.array(rows.map(\.json)).text(pretty: true) + "\n")
    } else {
      let heading = ["name", "input", "parameters", "weights", "paper"]
      try Terminal.write(Table([heading] + rows.map(\.cells), trailing: [2]).text)
    }
    return .done
  }
}

/// A model of the catalogue and what its graph tells.
private struct CatalogRow {
  let entry: CatalogEntry
  let input: Shape
  let parameters: Int

  init(_ entry: CatalogEntry) throws {
    self.entry = entry
    let graph = try entry.makeGraph(registry: .standard)
    input = try graph.inputs[0].defaultSpec().shape
    let slots = try graph.parameterSlots(parameters: [:])
    parameters = slots.reduce(0) { $0 + ($1.spec.role == .weight ? $1.spec.spec.shape.count : 0) }
  }

  var cells: [String] {
    [entry.name, "\(input)", String(parameters), entry.origins, entry.paper]
  }

  var json: JSON {
    .object([
      "name": .string(entry.name),
      "title": .string(entry.title),
      "input": .array(input.dimensions.map { .int(Int64($0)) }),
      "parameters": .int(Int64(parameters)),
      "classes": .int(Int64(entry.defaultClassCount)),
      "weights": .array(entry.keyMaps.map { .string($0.origin) }),
      "paper": .string(entry.paper),
      "preprocessing": entry.preprocessing.json,
    ])
  }
}
