import CLamina
import LaminaCore
import LaminaModels
import LaminaWeights

/// Hands out the model that `load` makes with the context's layers and limits.
private func load(
  _ context: lamina_context, _ model: UnsafeMutablePointer<lamina_model>?,
  _ load: (ContextObject) throws -> Model
) throws {
  let context = try handles.object(context, ContextObject.self)
  let model = try require(model, "model")
  let object = try ModelObject(load(context), context)
  context.log(
    LAMINA_LOG_INFO, "loaded \(object.model.graph.name), \(object.model.graph.nodes.count) nodes")
  model.pointee = try handles.insert(object)
}

/// `lamina_model_load` of `lamina.h`.
@_cdecl("lamina_model_load") @implementation
public func lamina_model_load(
  _ context: lamina_context, _ path: UnsafePointer<CChar>?,
  _ model: UnsafeMutablePointer<lamina_model>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let path = try text(path, "path")
    try load(context, model) {
      try ModelFile.load(path: path, registry: $0.registry, limits: $0.limits)
    }
  }
}

/// `lamina_model_load_memory` of `lamina.h`.
@_cdecl("lamina_model_load_memory") @implementation
public func lamina_model_load_memory(
  _ context: lamina_context, _ data: UnsafeRawPointer?, _ size: Int,
  _ model: UnsafeMutablePointer<lamina_model>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let bytes = try bytes(data, size, "data")
    try load(context, model) {
      guard bytes.count <= $0.limits.weightFileBytes else {
        throw LaminaError(
          .limit, "expected at most \($0.limits.weightFileBytes) bytes, found \(bytes.count)",
          path: "size")
      }
      return try ModelFile.load(bytes: Array(bytes), registry: $0.registry, limits: $0.limits)
    }
  }
}

/// `lamina_model_load_descriptor` of `lamina.h`.
@_cdecl("lamina_model_load_descriptor") @implementation
public func lamina_model_load_descriptor(
  _ context: lamina_context, _ descriptor: Int32, _ model: UnsafeMutablePointer<lamina_model>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    try load(context, model) {
      try ModelFile.load(descriptor: descriptor, registry: $0.registry, limits: $0.limits)
    }
  }
}

/// `lamina_model_create_from_graph` of `lamina.h`.
@_cdecl("lamina_model_create_from_graph") @implementation
public func lamina_model_create_from_graph(
  _ context: lamina_context, _ graph: UnsafePointer<CChar>?, _ seed: UInt64,
  _ model: UnsafeMutablePointer<lamina_model>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try handles.object(context, ContextObject.self)
    let json = try text(graph, "graph", limit: context.limits.jsonBytes)
    let model = try require(model, "model")
    let registry = context.registry
    let graph = try Graph(
      json: JSON.parse(text: json, path: "graph", limits: context.limits), registry: registry,
      path: "graph", limits: context.limits)
    let parameters = try graph.parameterSlots(parameters: [:])
    try context.limits.checkMemory(
      parameters.reduce(0) { $0.saturatingSum($1.spec.spec.byteCount) }, for: "the parameters")
    let made = try Model(initializing: graph, seed: seed, registry: registry)
    model.pointee = try handles.insert(ModelObject(made, context))
  }
}

/// `lamina_model_save` of `lamina.h`.
@_cdecl("lamina_model_save") @implementation
public func lamina_model_save(
  _ model: lamina_model, _ path: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(model, ModelObject.self)
    try ModelFile.save(object.model, to: text(path, "path"))
  }
}

/// `lamina_model_export` of `lamina.h`.
@_cdecl("lamina_model_export") @implementation
public func lamina_model_export(
  _ model: lamina_model, _ path: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(model, ModelObject.self)
    let path = try text(path, "path")
    try ExportFormat(path: path).write(object.model, to: path)
  }
}

/// Hands out the model, and its report, that `make` makes of `model`.
func derive(
  _ model: lamina_model, _ result: UnsafeMutablePointer<lamina_model>?,
  _ make: (ModelObject) throws -> (model: Model, report: JSON?)
) throws {
  let object = try handles.object(model, ModelObject.self)
  let result = try require(result, "result")
  let (derived, report) = try make(object)
  result.pointee = try handles.insert(ModelObject(derived, object.context, report: report))
}

/// `lamina_model_with_weights` of `lamina.h`.
@_cdecl("lamina_model_with_weights") @implementation
public func lamina_model_with_weights(
  _ model: lamina_model, _ path: UnsafePointer<CChar>?,
  _ options: UnsafePointer<lamina_weights_options>?, _ result: UnsafeMutablePointer<lamina_model>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let path = try text(path, "path")
    let given =
      try options.map { try LaminaC.options($0, lamina_weights_options(), "options") }
      ?? lamina_weights_options()
    guard given.partial == 0 || given.partial == 1 else {
      throw LaminaError(.argument, "expected partial of 0 or 1, found \(given.partial)")
    }
    let kept = try array(given.keep, given.keep_count, "keep").map { try text($0, "keep") }
    let rules = try given.rules.map { try text($0, "rules") }
    try derive(model, result) { object in
      let limits = object.context.limits
      let maps = try rules.map { [try KeyMap(rulesAt: $0, limits: limits)] } ?? object.keyMaps
      let loaded = try object.model.loadingWeights(
        from: openTensorSource(path: path, limits: limits), keyMaps: maps,
        options: LoadOptions(
          isStrict: given.partial == 0, reinitialise: kept.map { KeyPattern($0) }, limits: limits))
      let isComplete = loaded.report.isComplete
      object.context.log(
        isComplete ? LAMINA_LOG_INFO : LAMINA_LOG_WARNING, "\(path): \(loaded.report.summary)")
      return (loaded.model, loaded.report.json)
    }
  }
}

extension ModelObject {
  /// How names of tensors in files become the model's, where its architecture is a built-in one.
  fileprivate var keyMaps: [KeyMap] {
    (try? ModelCatalog.entry(named: model.graph.name))?.keyMaps ?? []
  }
}

/// `lamina_model_with_labels` of `lamina.h`.
@_cdecl("lamina_model_with_labels") @implementation
public func lamina_model_with_labels(
  _ model: lamina_model, _ labels: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
  _ result: UnsafeMutablePointer<lamina_model>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let labels = try array(labels, count, "labels").map { try text($0, "labels") }
    try derive(model, result) { object in
      var metadata = object.model.metadata
      metadata.labels = labels
      return (object.model.replacingMetadata(metadata), object.report)
    }
  }
}

/// `lamina_model_with_preprocessing` of `lamina.h`.
@_cdecl("lamina_model_with_preprocessing") @implementation
public func lamina_model_with_preprocessing(
  _ model: lamina_model, _ json: UnsafePointer<CChar>?,
  _ result: UnsafeMutablePointer<lamina_model>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let json = try text(json, "json")
    try derive(model, result) { object in
      var metadata = object.model.metadata
      let recipe = try JSON.parse(text: json, path: "json", limits: object.context.limits)
      metadata.preprocessing = try Preprocessing(json: recipe)
      return (object.model.replacingMetadata(metadata), object.report)
    }
  }
}
