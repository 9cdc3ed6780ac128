import CLamina
import LaminaCore

/// Runs `make` with the object of `model` and hands out the model it makes.
private func derive(
  _ model: lamina_model, _ result: UnsafeMutablePointer<lamina_model>?,
  _ make: (ModelObject) throws -> Model
) throws {
  let object = try handles.object(model, ModelObject.self)
  let result = try require(result, "result")
  let derived = try ModelObject(make(object), object.context, report: object.report)
  result.pointee = try handles.insert(derived)
}

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
      return object.model.replacingMetadata(metadata)
    }
  }
}

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
      return object.model.replacingMetadata(metadata)
    }
  }
}
