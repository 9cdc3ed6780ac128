import LaminaCore
import LaminaKernels

/// y[n, c, o] = max of the window of o in x[n, c]; padding counts as −∞.
///
/// With `return_indices` a second output (`int64`) tells where each maximum lies in the whole input, row-major,
/// or with `storage_order = 1` with height running fastest within a plane.
package struct MaxPool: WindowPoolingLayer {
  package static let kind: LayerKind = "lamina.max_pool"
  let geometry: PoolingGeometry
  let returnIndices: Bool
  let storageOrder: Int

  package init(attributes: inout AttributeReader) throws {
    geometry = try PoolingGeometry(attributes: &attributes)
    returnIndices = try attributes.bool("return_indices", default: false)
    storageOrder = try attributes.int("storage_order", default: 0, in: 0...1)
  }

  package func encode(into attributes: inout AttributeWriter) {
    geometry.encode(into: &attributes)
    attributes.bool("return_indices", returnIndices)
    attributes.int("storage_order", storageOrder)
  }

  var operation: lk_pooling { LK_POOL_MAX }
  package var outputCount: Int { returnIndices ? 2 : 1 }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let shape = try geometry.outputShape(for: inputs[0].expecting(.float32).shape)
    return [TensorSpec(shape)] + (returnIndices ? [TensorSpec(shape, .int64)] : [])
  }

  package func forward(_ call: ForwardCall) throws {
    let shape = call.inputs[0].shape
    guard returnIndices else {
      return try PreparedPooling(self, shape, .plain, outputHalo: 0).run(call)
    }
    lk_f32_max_pool_indices(
      call.pool.handle, try geometry.axes(for: shape), storageOrder == 1, call.inputs[0].floats,
      call.outputs[0].floats, call.outputs[1].elements(as: Int64.self).baseAddress, shape.planes)
  }

  // Indices count through the whole batch.
  package func isBatchwise(for inputs: [TensorSpec]) -> Bool { !returnIndices }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    if returnIndices { return nil }
    return try PreparedPooling(
      self, context.inputs[0].shape, context.inputLayouts[0], outputHalo: context.outputHalos[0])
  }

  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    if returnIndices { return nil }
    return try PreparedPooling(
      self, context.inputs[0].shape, context.inputLayouts[0], outputHalo: context.outputHalos[0])
  }
}
