import Lamina

extension Command {
  private static let output = Option(
    name: "output", letter: "o", value: .text("FILE"), help: "the Lamina model to write; required")
  private static let model = Option(
    name: "model", value: .text("NAME"),
    help: "the weights' model in the catalogue; default: the one FILE's name contains"
  )
  private static let labels = Option(
    name: "labels", value: .text("FILE"), help: "names of the classes, one a line")
  private static let preprocessing = Option(
    name: "preprocessing", value: .text("WAY"),
    help:
      "how pictures become the input: torch, tf, caffe or a JSON file; default: the model's")
  private static let rules = Option(
    name: "rules", value: .text("FILE"),
    help: "how names in FILE become the model's: lines 'pattern -> replacement', 'ignore pattern'")

  private static let reinitialise = Option(
    name: "reinitialise", value: .text("NAMES"),
    help: "parameters that FILE need not have, such as a head 'fc.*'; they start afresh")

  static let `import` = Command(
    name: "import", summary: "turn models and weights of other programs into a Lamina model",
    operands: "FILE", operandCount: 1...1,
    options: [output, model, rules, reinitialise, labels, preprocessing] + Option.plugins + [.json],
    example: """
      $ lamina import efficientnet-lite0-57934424.pth -o lite0.safetensors --labels imagenet.txt
      ONNX models and whole models of Keras (.h5, .keras) bring their own graph. Weights of PyTorch, Keras, NumPy and
      Caffe and .safetensors need a model of the catalogue; 'lamina models' tells whose weights fit which.
      """
  ) { arguments in
    let source = arguments.operands[0]
    guard let target = arguments.text(output) else {
      throw UsageError("option '--output FILE' is missing")
    }
    guard !System.isSameFile(source, target) else {
      throw UsageError("'\(target.escapedForDisplay())' is both input and output")
    }
    let names = try arguments.text(labels).map { try LabelFile.labels(path: $0) }
    var result =
      try bringsGraph(source, arguments.text(model))
      ? try importGraph(
        source, arguments.text(model), arguments.text(rules), arguments.registry())
      : try importWeights(
        source, arguments.text(model), classes: names?.count, arguments.text(rules),
        reinitialising: arguments.text(reinitialise))
    var metadata = result.model.metadata
    if let names { metadata.labels = names }
    if let way = arguments.text(preprocessing) {
      metadata.preprocessing = try readPreprocessing(way)
    }
    metadata.provenance["file"] = String(source.split(separator: "/").last ?? "")
    result.model = result.model.replacingMetadata(metadata)
    let bar = Progress("writing \(target.escapedForDisplay())")
    try Interruption.removingTemporaryFile(of: target) {
      defer { bar.finish() }
      try ModelFile.save(result.model, to: target)
    }
    if arguments.has(.json) {
      try Terminal.write(result.json.text(pretty: true) + "\n")
    } else {
      try Terminal.write(result.text + "\nwrote \(target.escapedForDisplay(limit: 4096))\n")
    }
    return .done
  }
}

/// A model and what its importer has to say.
private struct Imported {
  var model: Model
  var text: String
  var json: JSON
}

/// Whether to take a file's own graph: a whole model of Keras may also give its weights to a named one.
private func bringsGraph(_ path: String, _ name: String?) throws -> Bool {
  if path.lowercased().hasSuffix(".onnx") { return true }
  // What is wrong with a file, its reader says.
  return name == nil && (try? ModelFile.isForeignModel(path: path)) ?? false
}

private func importGraph(
  _ path: String, _ name: String?, _ rules: String?, _ registry: LayerRegistry
) throws -> Imported {
  guard rules == nil else {
    throw UsageError("'--rules' makes no sense with a file that has a graph")
  }
  guard name == nil else {
    throw UsageError("'--model' makes no sense with .onnx, which has a graph")
  }
  let bar = Progress("reading \(path.escapedForDisplay())")
  defer { bar.finish() }
  if path.lowercased().hasSuffix(".onnx") {
    let (model, report) = try ONNXImporter.load(path: path, registry: registry)
    return Imported(model: model, text: report.text, json: report.json)
  }
  let model = try ModelFile.load(path: path, registry: registry)
  let (nodes, tensors) = (model.graph.nodes.count, model.parameters.count)
  return Imported(
    model: model, text: "\(nodes) layers and \(tensors) tensors of '\(model.graph.name)'",
    json: .object(["nodes": .int(Int64(nodes)), "tensors": .int(Int64(tensors))]))
}

private func importWeights(
  _ path: String, _ name: String?, classes: Int?, _ rules: String?, reinitialising keys: String?
) throws -> Imported {
  guard let entry = try name.map(entry(named:)) ?? ModelArgument.entry(guessedFrom: path) else {
    throw UsageError(
      "no model of the catalogue is part of the file's name; name one with '--model'")
  }
  let source = try openTensorSource(path: path)
  let maps = try rules.map { [try KeyMap(rulesAt: $0)] } ?? entry.keyMaps
  let fresh = try entry.makeModel(registry: .standard, classes: classes)
  let bar = Progress("reading \(path.escapedForDisplay())", total: source.keys.count)
  defer { bar.finish() }
  let options = LoadOptions(
    reinitialise: (keys ?? "").split(separator: ",").map { KeyPattern(String($0)) })
  let (model, report) = try fresh.loadingWeights(
    from: WatchedSource(source, onRead: bar.advance), keyMaps: maps, options: options)
  return Imported(model: model, text: report.text, json: report.json)
}

/// - Throws: `UsageError` with the nearest name.
private func entry(named name: String) throws -> CatalogEntry {
  do {
    return try ModelCatalog.entry(named: name)
  } catch let error as LaminaError {
    throw UsageError(error.message)
  }
}

private func readPreprocessing(_ way: String) throws -> Preprocessing {
  switch way {
  case "torch": return .torch()
  case "tf": return .tf()
  case "caffe": return .caffe()
  default:
    let bytes = try FileReader(path: way, maximumBytes: Limits().jsonBytes).allBytes()
    return try Preprocessing(
      json: JSON.parse(bytes, path: way), path: way.escapedForDisplay(limit: 512))
  }
}
