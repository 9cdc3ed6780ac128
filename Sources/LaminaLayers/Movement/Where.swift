import LaminaCore

/// y = condition ? a : b, element for element.
///
/// - Inputs: condition (`bool`); a and b of one type; all three broadcast. Output: their common shape.
package struct Where: Layer {
  package static let kind: LayerKind = "lamina.where"
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }
  package static var arity: ClosedRange<Int> { 3...3 }

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    guard inputs[0].type == .bool else {
      throw LaminaError(.shape, "expected a bool condition, found \(inputs[0].type.rawValue)")
    }
    _ = try inputs.dropFirst().commonType()
    let shape = try inputs[0].shape.broadcast(with: inputs[1].shape).broadcast(
      with: inputs[2].shape)
    return [TensorSpec(shape, inputs[1].type)]
  }

  package func forward(_ call: ForwardCall) throws {
    switch call.outputs[0].type.byteCount {
    case 1: select(UInt8.self, call)
    case 2: select(UInt16.self, call)
    case 4: select(UInt32.self, call)
    default: select(UInt64.self, call)
    }
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    2 * ((try? outputs(for: inputs))?.first?.byteCount ?? 0)
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let condition = call.inputs[0],
      let scratch = call.floats
    else { return }
    let (isTrue, gradients) = (condition.elements(as: Bool.self), dy.elements(as: Float.self))
    for (input, choice) in [(1, true), (2, false)] {
      guard let gradient = call.inputGradients[input] else { continue }
      var walk = StrideWalk(
        dy.shape.dimensions, condition.shape.strides(broadcastTo: dy.shape))
      for index in gradients.indices {
        scratch[index] = isTrue[walk.offset] == choice ? gradients[index] : 0
        walk.advance()
      }
      BroadcastSum(gradient.shape, in: dy.shape).add(
        scratch, into: gradient.floats, scratch: scratch + dy.shape.count, call.pool)
    }
  }

  private func select<T: BitwiseCopyable>(_: T.Type, _ call: ForwardCall) {
    let output = call.outputs[0]
    let shape = output.shape
    guard shape.count > 0 else { return }
    let rowLength = shape.dimensions.last ?? 1
    let outer = shape.dimensions.dropLast()
    let strides = call.inputs.map { $0.shape.strides(broadcastTo: shape) }
    let steps = strides.map { $0.last ?? 0 }
    nonisolated(unsafe) let condition = call.inputs[0].baseAddress.assumingMemoryBound(
      to: UInt8.self)
    nonisolated(unsafe) let a = call.inputs[1].baseAddress.assumingMemoryBound(to: T.self)
    nonisolated(unsafe) let b = call.inputs[2].baseAddress.assumingMemoryBound(to: T.self)
    nonisolated(unsafe) let y = output.baseAddress.assumingMemoryBound(to: T.self)
    call.pool.parallelFor(shape.count / rowLength) { row in
      var offsets = [0, 0, 0]
      var rest = row
      for axis in outer.indices.reversed() {
        let (next, index) = rest.quotientAndRemainder(dividingBy: outer[axis])
        for input in 0..<3 { offsets[input] += index * strides[input][axis] }
        rest = next
      }
      let (c, a, b) = (condition + offsets[0], a + offsets[1], b + offsets[2])
      let y = y + row * rowLength
      for i in 0..<rowLength {
        y[i] = c[i * steps[0]] != 0 ? a[i * steps[1]] : b[i * steps[2]]
      }
    }
  }
}
