import CLamina
import LaminaCore
import Synchronization

/// What `lamina_model` names.
final class ModelObject: HandleObject, @unchecked Sendable {
  static let kind = HandleKind.model
  let context: ContextObject
  let model: Model
  /// What was loaded, missing and left over.
  let report: JSON?
  let name: UnsafePointer<CChar>
  let inputs: [lamina_value_info]
  /// Sessions that plan or run.
  let gate = Gate()
  private let texts = BorrowedTexts()
  private let labels: [UnsafePointer<CChar>]
  private let outputs = Mutex<[lamina_value_info]?>(nil)
  /// Labels of a model that has none: its classes' numbers.
  private let numbers = Mutex<[UnsafePointer<CChar>]>([])

  init(_ model: Model, _ context: ContextObject, report: JSON? = nil) throws {
    self.context = context
    self.model = model
    self.report = report
    name = try texts.add(model.graph.name)
    labels = try model.metadata.labels.map { [texts] in try texts.add($0) }
    inputs = try model.graph.inputs.map { [texts] input in
      var info = lamina_value_info()
      info.name = try texts.add(input.name)
      info.type = input.type.code
      info.rank = Int32(truncatingIfNeeded: input.dimensions.count)
      for (axis, dimension) in input.dimensions.enumerated() {
        switch dimension {
        case .fixed(let extent): info.setExtent(Int64(extent), name: nil, at: axis)
        case .symbol(let name, _): info.setExtent(-1, name: try texts.add(name), at: axis)
        }
      }
      return info
    }
  }

  /// The outputs' shapes; an extent that follows an input's is -1.
  func outputInfos() throws -> [lamina_value_info] {
    try outputs.withLock { known in
      if let known { return known }
      let made = try makeOutputInfos()
      known = made
      return made
    }
  }

  private func makeOutputInfos() throws -> [lamina_value_info] {
    let graph = model.graph
    let shapes = try outputSpecs { $1 }
    var infos = try zip(graph.outputs, shapes).map { output, spec in
      var info = lamina_value_info()
      info.name = try texts.add(output.name)
      info.type = spec.type.code
      info.rank = Int32(truncatingIfNeeded: spec.shape.rank)
      for axis in 0..<spec.shape.rank {
        info.setExtent(Int64(spec.shape[axis]), name: nil, at: axis)
      }
      return info
    }
    // Which extents follow a symbol is seen by changing it.
    for (symbol, extent, other) in symbols() {
      guard let probed = try? outputSpecs({ $0 == symbol ? other : $1 }) else { continue }
      for (index, (before, after)) in zip(shapes, probed).enumerated()
      where before.shape.rank == after.shape.rank {
        for axis in 0..<before.shape.rank where before.shape[axis] != after.shape[axis] {
          let isSymbol = before.shape[axis] == extent && after.shape[axis] == other
          infos[index].setExtent(-1, name: isSymbol ? try texts.add(symbol) : nil, at: axis)
        }
      }
    }
    return infos
  }

  /// A multiple of the strides of usual networks, so that each halving shows.
  private static let probeStep = 64

  /// The extents that may vary: name, default, and another to try.
  func symbols() -> [(name: String, extent: Int, other: Int)] {
    var seen: Set<String> = []
    return model.graph.inputs.flatMap(\.dimensions).compactMap { dimension in
      guard case .symbol(let name, let extent) = dimension, seen.insert(name).inserted else {
        return nil
      }
      return (name, extent, extent.saturatingSum(ModelObject.probeStep))
    }
  }

  /// The outputs' specs with each symbol at `extent(name, default)`.
  private func outputSpecs(_ extent: (String, Int) -> Int) throws -> [TensorSpec] {
    let graph = model.graph
    let inference = try graph.inferSpecs(
      inputs: inputSpecs(extent), parameters: model.parameters)
    return graph.outputs.map { inference[$0.value] }
  }

  /// The inputs' specs with each symbol at `extent(name, default)`.
  func inputSpecs(_ extent: (String, Int) -> Int) throws -> [TensorSpec] {
    try model.graph.inputs.map { input in
      let extents = input.dimensions.map { dimension in
        switch dimension {
        case .fixed(let value): value
        case .symbol(let name, let value): extent(name, value)
        }
      }
      return TensorSpec(try Shape(extents), input.type)
    }
  }

  /// The name of a class.
  func label(at index: Int) throws -> UnsafePointer<CChar> {
    try element(index, of: labels, "index")
  }

  /// The name of a class of a prediction, by number when the model has no names.
  func predictionLabel(at index: Int) throws -> UnsafePointer<CChar> {
    if index < labels.count { return labels[index] }
    return try numbers.withLock { numbers in
      while numbers.count <= index { numbers.append(try texts.add(String(numbers.count))) }
      return numbers[index]
    }
  }
}

extension lamina_value_info {
  fileprivate mutating func setExtent(_ extent: Int64, name: UnsafePointer<CChar>?, at axis: Int) {
    withUnsafeMutableBytes(of: &shape) { $0.assumingMemoryBound(to: Int64.self)[axis] = extent }
    withUnsafeMutableBytes(of: &axis_names) {
      $0.assumingMemoryBound(to: UnsafePointer<CChar>?.self)[axis] = name
    }
  }
}

/// `lamina_model_release` of `lamina.h`.
@_cdecl("lamina_model_release") @implementation
public func lamina_model_release(_ model: lamina_model) { handles.release(model, .model) }

/// `lamina_model_get_info` of `lamina.h`.
@_cdecl("lamina_model_get_info") @implementation
public func lamina_model_get_info(
  _ model: lamina_model, _ info: UnsafeMutablePointer<lamina_model_info>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(model, ModelObject.self)
    let graph = object.model.graph
    var facts = lamina_model_info()
    facts.name = object.name
    facts.input_count = graph.inputs.count
    facts.output_count = graph.outputs.count
    facts.label_count = object.model.metadata.labels.count
    facts.node_count = graph.nodes.count
    facts.parameter_count = UInt64(try object.model.weightCount())
    try write(facts, to: require(info, "info"), "info")
  }
}

/// `lamina_model_get_input` of `lamina.h`.
@_cdecl("lamina_model_get_input") @implementation
public func lamina_model_get_input(
  _ model: lamina_model, _ index: Int, _ info: UnsafeMutablePointer<lamina_value_info>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(model, ModelObject.self)
    try write(element(index, of: object.inputs, "index"), to: require(info, "info"), "info")
  }
}

/// `lamina_model_get_output` of `lamina.h`.
@_cdecl("lamina_model_get_output") @implementation
public func lamina_model_get_output(
  _ model: lamina_model, _ index: Int, _ info: UnsafeMutablePointer<lamina_value_info>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let outputs = try handles.object(model, ModelObject.self).outputInfos()
    try write(element(index, of: outputs, "index"), to: require(info, "info"), "info")
  }
}

/// `lamina_model_get_label` of `lamina.h`.
@_cdecl("lamina_model_get_label") @implementation
public func lamina_model_get_label(
  _ model: lamina_model, _ index: Int, _ label: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(model, ModelObject.self)
    let label = try require(label, "label")
    label.pointee = try object.label(at: index)
  }
}

/// `lamina_model_get_text` of `lamina.h`.
@_cdecl("lamina_model_get_text") @implementation
public func lamina_model_get_text(
  _ model: lamina_model, _ which: Int32, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  _ needed: UnsafeMutablePointer<Int>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let object = try handles.object(model, ModelObject.self)
    try write(object.text(which), to: buffer, capacity, needed: needed)
  }
}

extension ModelObject {
  fileprivate func text(_ which: Int32) throws -> String {
    let metadata = model.metadata
    switch Int(which) {
    case LAMINA_MODEL_SUMMARY: return try ModelSummary(model).text
    case LAMINA_MODEL_SUMMARY_JSON: return try ModelSummary(model).json.text()
    case LAMINA_MODEL_PREPROCESSING:
      return (metadata.preprocessing?.json ?? .null).text(pretty: true)
    case LAMINA_MODEL_PROVENANCE:
      let notes = metadata.provenance.sorted { $0.key < $1.key }
      return JSON.object(notes.map { JSON.Member($0.key, .string($0.value)) }).text(pretty: true)
    case LAMINA_MODEL_REPORT: return (report ?? .null).text(pretty: true)
    case LAMINA_MODEL_VALUE_NAMES:
      return JSON.array(model.graph.allValueNames.map { .string($0) }).text()
    case LAMINA_MODEL_GRAPH: return model.graph.json.text()
    case LAMINA_MODEL_LAYERS: return layers.text()
    default:
      throw LaminaError(.argument, "expected a text of lamina.h, found \(which)", path: "which")
    }
  }
}

/// `lamina_model_get_tensor` of `lamina.h`.
@_cdecl("lamina_model_get_tensor") @implementation
public func lamina_model_get_tensor(
  _ model: lamina_model, _ key: UnsafePointer<CChar>?,
  _ tensor: UnsafeMutablePointer<lamina_tensor>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let parameters = try handles.object(model, ModelObject.self).model.parameters
    let key = try text(key, "key")
    let target = try require(tensor, "tensor")
    guard let found = parameters[key] else {
      let hint = nearestName(to: key, in: parameters.keys.sorted()).map {
        ", nearest is '\($0.escapedForDisplay())'"
      }
      throw LaminaError(
        .notFound, "no parameter is named '\(key.escapedForDisplay())'\(hint ?? "")")
    }
    try target.pointee.receive(found)
  }
}
