import LaminaCore

/// y[…, j₀, …, …] = x[…, index[j₀, …], …] along `axis` (0). Negative indices count from the end.
///
/// - Inputs: x; indices of `int32` or `int64`, any shape. Output: x's shape with the indices' shape in place
///   of `axis`.
package struct Gather: Layer {
  package static let kind: LayerKind = "lamina.gather"
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  package static var arity: ClosedRange<Int> { 2...2 }
  let axis: Int

  package init(attributes: inout AttributeReader) throws {
    axis = try attributes.int("axis", default: 0)
  }

  package func encode(into attributes: inout AttributeWriter) {
    if axis != 0 { attributes.int("axis", axis) }
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let (data, indices) = (inputs[0].shape, inputs[1].shape)
    let axis = try data.axis(axis)
    guard inputs[1].type == .int64 || inputs[1].type == .int32 else {
      throw LaminaError(.shape, "expected int64 or int32 indices, found \(inputs[1].type.rawValue)")
    }
    if let value = inputs[1].value { _ = try positions(value.view, extent: data[axis]) }
    let dimensions = data.dimensions[..<axis] + indices.dimensions + data.dimensions[(axis + 1)...]
    return [TensorSpec(try Shape(Array(dimensions)), inputs[0].type)]
  }

  /// The indices counted from 0.
  ///
  /// - Throws: `argument` for an index outside −extent ..< extent.
  private func positions(_ indices: TensorView, extent: Int) throws -> [Int] {
    let numbers =
      indices.type == .int64
      ? indices.elements(as: Int64.self).map(Int.init)
      : indices.elements(as: Int32.self).map(Int.init)
    return try numbers.map { index in
      guard index >= -extent, index < extent else {
        throw LaminaError(
          .argument,
          extent == 0
            ? "expected no indices into an axis of extent 0, found \(index)"
            : "expected indices in \(-extent)...\(extent - 1), found \(index)")
      }
      return index < 0 ? index + extent : index
    }
  }

  package func forward(_ call: ForwardCall) throws {
    let data = call.inputs[0]
    let axis = try data.shape.axis(axis)
    let extent = data.shape[axis]
    let positions = try positions(call.inputs[1], extent: extent)
    let outer = data.shape.count(before: axis)
    let inner = axis + 1 < data.shape.rank ? data.shape.count(from: axis + 1) : 1
    let runBytes = inner * data.type.byteCount
    let (source, target) = (data.baseAddress, call.outputs[0].baseAddress)
    guard runBytes > 0, !positions.isEmpty else { return }
    nonisolated(unsafe) let (from, to) = (source, target)
    let runs = outer * positions.count
    let runsPerChunk = max(1, (1 << 16) / runBytes)
    call.pool.parallelFor((runs + runsPerChunk - 1) / runsPerChunk) { chunk in
      let first = chunk * runsPerChunk
      for run in first..<min(first + runsPerChunk, runs) {
        let (row, column) = run.quotientAndRemainder(dividingBy: positions.count)
        (to + run * runBytes).copyMemory(
          from: from + (row * extent + positions[column]) * runBytes, byteCount: runBytes)
      }
    }
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let dx = call.inputGradients[0],
      let indices = call.inputs[1]
    else { return }
    let axis = try dx.shape.axis(axis)
    let extent = dx.shape[axis]
    let positions = try positions(indices, extent: extent)
    let inner = axis + 1 < dx.shape.rank ? dx.shape.count(from: axis + 1) : 1
    nonisolated(unsafe) let (from, to) = (dy.floats, dx.floats)
    call.pool.parallelFor(dx.shape.count(before: axis)) { row in
      for (column, position) in positions.enumerated() {
        let read = from + (row * positions.count + column) * inner
        let write = to + (row * extent + position) * inner
        for i in 0..<inner { write[i] += read[i] }
      }
    }
  }
}
