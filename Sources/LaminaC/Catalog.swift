import CLamina
import LaminaCore
import LaminaModels

/// `lamina_catalog_count` of `lamina.h`.
@_cdecl("lamina_catalog_count") @implementation
public func lamina_catalog_count() -> Int { catalogNames.count }

/// `lamina_catalog_name` of `lamina.h`.
@_cdecl("lamina_catalog_name") @implementation
public func lamina_catalog_name(_ index: Int) -> UnsafePointer<CChar>? {
  catalogNames.indices.contains(index) ? catalogNames[index] : nil
}

private nonisolated(unsafe) let catalogNames = ModelCatalog.entries.map { immortal($0.name) }

/// `lamina_model_create` of `lamina.h`.
@_cdecl("lamina_model_create") @implementation
public func lamina_model_create(
  _ context: lamina_context, _ architecture: UnsafePointer<CChar>?, _ classes: Int, _ seed: UInt64,
  _ model: UnsafeMutablePointer<lamina_model>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try handles.object(context, ContextObject.self)
    let name = try text(architecture, "architecture")
    let model = try require(model, "model")
    guard classes >= 0, classes <= Shape.maximumExtent else {
      throw LaminaError(
        .argument,
        "expected at most \(Shape.maximumExtent) classes, found \(UInt(bitPattern: classes))",
        path: "classes")
    }
    let entry = try ModelCatalog.entry(named: name)
    let made = try entry.makeModel(
      registry: context.registry, classes: classes == 0 ? nil : classes, seed: seed)
    model.pointee = try handles.insert(ModelObject(made, context))
  }
}
