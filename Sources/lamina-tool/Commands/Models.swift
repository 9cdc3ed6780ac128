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
      let heading = ["name", "input", "parameters", "MACs", "weights of", "paper"]
      try Terminal.write(Table([heading] + rows.map(\.cells), trailing: [2, 3]).text)
    }
    return .done
  }
}

/// A model of the catalogue and what its graph tells.
private struct CatalogRow {
  let entry: CatalogEntry
  let summary: ModelSummary

  init(_ entry: CatalogEntry) throws {
    self.entry = entry
    summary = try ModelSummary(entry.makeGraph(registry: .standard))
  }

  private var input: [Int] { summary.inputs[0].spec.shape.dimensions }

  var cells: [String] {
    [
      entry.name, input.dropFirst().map(String.init).joined(separator: "×"),
      String(summary.weightCount), String(summary.multiplyAdds),
      entry.origins.isEmpty ? "none: train it" : entry.origins.joined(separator: ", "),
      entry.paper,
    ]
  }

  var json: JSON {
    .object([
      "name": .string(entry.name),
      "title": .string(entry.title),
      "input": .array(input.map { .int(Int64($0)) }),
      "parameters": .int(Int64(summary.weightCount)),
      "macs": .int(Int64(summary.multiplyAdds)),
      "classes": .int(Int64(entry.defaultClassCount)),
      "weights": .array(entry.origins.map { .string($0) }),
      "paper": .string(entry.paper),
      "preprocessing": entry.preprocessing.json,
    ])
  }
}
