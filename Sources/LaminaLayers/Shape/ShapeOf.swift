import LaminaCore

/// y = the extents of x on the axes `start` ..< `end`, as `int64`.
///
/// `start` (0) and `end` (the rank) may count from the end; beyond the axes they are clamped.
package struct ShapeOf: Layer {
  package static let kind: LayerKind = "lamina.shape"
  let start: Int
  let end: Int?

  package init(attributes: inout AttributeReader) throws {
    start = try attributes.int("start", default: 0)
    end = try attributes.optionalInt("end")
  }

  package func encode(into attributes: inout AttributeWriter) {
    if start != 0 { attributes.int("start", start) }
    if let end { attributes.int("end", end) }
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    [TensorSpec(constant: try value(of: inputs[0].shape))]
  }

  private func value(of shape: Shape) throws -> Tensor {
    func clamped(_ axis: Int) -> Int {
      min(max(axis < 0 ? axis + shape.rank : axis, 0), shape.rank)
    }
    let first = clamped(start)
    let last = max(clamped(end ?? shape.rank), first)
    let extents = shape.dimensions[first..<last].map { Int64($0) }
    return try Tensor(Shape([extents.count]), extents)
  }

  package func forward(_ call: ForwardCall) throws {
    call.write(try value(of: call.inputs[0].shape))
  }
}
